"""Missing evidence never passes, whatever the check."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from otelwarden.compliance import (
    Check,
    Evidence,
    Outcome,
    Problem,
    Result,
    SampleFacts,
    Snapshot,
    all_checks,
    assess,
    load_frameworks,
)
from otelwarden.core import Balance
from otelwarden.testing import FakeClock

from .conftest import Service, requirements, results


def test_a_file_alone_proves_nothing(service: Service) -> None:
    """Nobody has run it, approved it, assessed it or vouched for it: all is good, and nothing shows it."""
    assessment = service.assessor().assess()
    lacking = {key: result for key, result in results(assessment).items() if result is not Result.INSUFFICIENT}
    weekly = {key for key in lacking if key.startswith("assessment.scheduled")}
    assert set(lacking) == weekly == set()
    assert {run.check.id for run in assessment.runs.values()} == set(all_checks())
    assert {each.score for each in assessment.frameworks} == {0.0}
    assert set(requirements(assessment).values()) == {Result.INSUFFICIENT}


def test_another_configuration_is_no_evidence(service: Service) -> None:
    service.assess()
    service.document["compliance"]["regions"].append("us")
    again = results(service.assessor().assess())
    assert again["redaction.every-pipeline"] is Result.INSUFFICIENT
    assert again["accounts.balanced"] is Result.INSUFFICIENT
    assert again["sample.personal-data"] is Result.INSUFFICIENT
    assert again["trail.configuration"] is Result.FAIL


def test_keys_of_which_nothing_shows_their_age(service: Service) -> None:
    """A trail that is younger than the period says nothing of keys that were there before; an old one does."""
    service.prepare(rotated=None)
    service.run()
    asked = [key for key in service.assessor().assess().runs if key.startswith("keys.replaced")]
    assert len(asked) == 2
    assert {results(service.assessor().assess())[key] for key in asked} == {Result.INSUFFICIENT}
    later = FakeClock(time.time_ns() + 366 * 86_400 * 10**9)
    assert [results(service.assessor(clock=later).assess())[key] for key in sorted(asked)] == [
        Result.FAIL,
        Result.INSUFFICIENT,
    ]


def test_a_store_of_which_nothing_is_known(service: Service) -> None:
    for signal in service.document["service"]["pipelines"].values():
        signal["processors"].remove("quota")
    service.run()
    assert results(service.assessor().assess())["quota.store"] is Result.INSUFFICIENT


def test_archives_where_there_are_none(service: Service) -> None:
    del service.document["processors"]["redaction"]["archives"]
    service.document["processors"]["redaction"]["policies"] = ["pii", "secrets"]
    service.run()
    found = results(service.assessor().assess())
    assert found["archives.encrypted"] is Result.NOT_APPLICABLE
    assert found["redaction.keys-of-persons"] is Result.FAIL


def test_a_snapshot_grows_old(service: Service) -> None:
    service.assess()
    for file in (service.directory / "compliance" / "snapshots").iterdir():
        document = json.loads(file.read_text())
        document["taken_ns"] -= 2 * 86_400 * 10**9
        file.write_text(json.dumps(document))
    assert results(service.assessor().assess())["losses.bounded"] is Result.INSUFFICIENT


def test_a_damaged_snapshot_is_no_evidence_and_no_error(service: Service) -> None:
    service.assess()
    assessor = service.assessor()
    assert results(assessor.assess())["losses.bounded"] is Result.PASS
    for damage in (b"", b"{", b"[]", b'{"format": "x"}', b"\xff" * 100, b'{"format":null}'):
        for file in (service.directory / "compliance" / "snapshots").iterdir():
            file.write_bytes(damage)
        assert results(assessor.assess())["losses.bounded"] is Result.INSUFFICIENT, damage


def test_a_snapshot_survives_its_file(service: Service) -> None:
    service.run()
    assessor = service.assessor()
    (snapshot,) = assessor.snapshots.read(assessor.configuration.digest, now_ns=assessor.runtime.clock.time_ns())
    assert snapshot.sample.items > 0
    assert Snapshot.from_document(json.loads(json.dumps(snapshot.as_document()))) == snapshot


def _always(result: Result) -> Callable[..., Outcome]:
    problems = (Problem(target="x", message="wrong"),) if result in (Result.FAIL, Result.WARN) else ()
    return lambda evidence, parameters: Outcome(result=result, message="said", problems=problems)


def _raises(evidence: Evidence, parameters: object) -> Outcome:
    raise RuntimeError("with a secret in its text")


def test_all_six_results_and_what_they_come_to(service: Service, tmp_path: Path) -> None:
    """Checks of others, in a framework of one's own."""
    judges = {each.value.replace("_", "-"): _always(each) for each in Result if each is not Result.ERROR}
    judges["error"] = _raises
    checks = {
        f"own.{name}": Check(id=f"own.{name}", title="It holds", source="history", advice="Do it", judge=judge)
        for name, judge in judges.items()
    }
    file = tmp_path / "own.json"
    requirements_ = [
        {"id": f"R{number}", "title": name, "category": "c", "severity": "high", "controls": ["own"], "checks": [name]}
        for number, name in enumerate(sorted(checks))
    ]
    control = {"id": "own", "title": "Own", "objective": "x", "checks": sorted(checks)}
    document = {"id": "own", "title": "Own", "version": "1", "controls": [control], "requirements": requirements_}
    file.write_text(json.dumps(document))
    (framework,) = load_frameworks([str(file)], checks)
    assessor = service.assessor()
    evidence = Evidence(now_ns=1, configuration=assessor.configuration, declared=assessor.config)
    assessment = assess(evidence, [framework], checks, id="a-1")

    assert {key: result.value.replace("_", "-") for key, result in results(assessment).items()} == {
        f"own.{name}": name for name in judges
    }
    assert assessment.result is Result.FAIL
    assert "secret" not in json.dumps(assessment.runs["own.error"].outcome.message)
    # pass and warn of five that apply
    assert assessment.frameworks[0].score == 40.0


def test_an_empty_framework_has_no_score(service: Service, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("{id: empty, title: Empty, version: '1', requirements: []}")
    service.document["compliance"]["frameworks"] = ["empty.yaml"]
    assessment = service.assessor().assess()
    assert [each.score for each in assessment.frameworks] == [None]
    assert not assessment.result.holds


def test_a_few_losses_warn_and_many_fail(service: Service) -> None:
    assessor = service.assessor()
    digest = assessor.configuration.digest
    outcomes = {}
    for lost in (0, 1, 100):
        balance = Balance(component="batch", signal="logs", tenant="acme", received=10_000, forwarded=10_000 - lost,
                          dropped={"queue_full": lost})  # fmt: skip
        snapshot = Snapshot(process="p", digest=digest, taken_ns=1, balances=(balance,), sample=SampleFacts())
        evidence = Evidence(
            now_ns=1, configuration=assessor.configuration, declared=assessor.config, snapshots=(snapshot,)
        )
        outcomes[lost] = all_checks()["losses.bounded"].judge(evidence, {}).result
    assert outcomes == {0: Result.PASS, 1: Result.WARN, 100: Result.FAIL}


def test_the_same_evidence_gives_the_same_digest(service: Service) -> None:
    service.run()
    assessor = service.assessor()
    first = assessor.assess()  # settles what changes by being assessed
    evidence = assessor.gather()
    again = [assess(evidence, assessor.frameworks, assessor.checks, id=f"a-{number}") for number in range(2)]
    assert again[0].digest == again[1].digest
    assert len({first.id, again[0].id, again[1].id}) == 3
    later = dataclasses.replace(evidence, now_ns=evidence.now_ns + 10**9)
    assert assess(later, assessor.frameworks, assessor.checks, id="a-3").digest == again[0].digest
    other = dataclasses.replace(evidence, trails=())
    assert assess(other, assessor.frameworks, assessor.checks, id="a-4").digest != again[0].digest


FIND = """
import os, sys
from otelwarden.compliance import all_checks
from otelwarden.core import ConfigError
for installed in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.path.insert(0, installed)
        try:
            print(sorted(check for check in all_checks() if check[:5] == "house"), flush=True)
        except ConfigError as error:
            print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_checks_of_others_are_found(tmp_path: Path) -> None:
    """Distributions that are really installed, as far as Python knows: folders with metadata on the path."""
    entries = "[otelwarden.compliance.checks]\none = house:ONE\nmore = house:more\n"
    places = []
    for number, more in enumerate(("", "again = house:ONE\n", "bad = house:nothing\n")):
        place = tmp_path / str(number)
        metadata = place / "house-1.0.dist-info"
        metadata.mkdir(parents=True)
        (place / "house.py").write_text(
            "from otelwarden.compliance import Check, Outcome, Result\n"
            "def judge(evidence, parameters):\n"
            "    return Outcome(result=Result.PASS, message='fine')\n"
            "ONE = Check(id='house.one', title='One', source='history', advice='-', judge=judge)\n"
            "def more():\n"
            "    make = lambda n: Check(id=f'house.{n}', title=n, source='trail', advice='-', judge=judge)\n"
            "    return map(make, ('two', 'three'))\n"
        )
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: house\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entries + more)
        places.append(str(place))
    done = subprocess.run([sys.executable, "-c", FIND, *places], capture_output=True, text=True, check=True)
    found, twice, broken = done.stdout.splitlines()
    assert found == "['house.one', 'house.three', 'house.two']"
    assert "two checks have this id" in twice
    assert "cannot be loaded: AttributeError" in broken
