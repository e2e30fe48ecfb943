"""The life of a finding: who may do what, and what only an assessment may."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelwarden.audit import read_records, verify
from otelwarden.compliance import ComplianceFinding, Decision, FindingStore, Refused, Status
from otelwarden.compliance.findings import ALLOWED, EXCEPTIONS
from otelwarden.core import ConfigError
from otelwarden.pipeline import Warden

from .conftest import Service

DAY_NS = 86_400 * 10**9


def decision(status: Status, **more: object) -> Decision:
    whole = {"actor": "ada", "approver": "grace", "reason": "as said", "expires_ns": time.time_ns() + DAY_NS}
    return Decision(status=status, **{**whole, **more})  # type: ignore[arg-type]


@pytest.fixture
def warden(service: Service) -> Warden:
    """A running service with one thing wrong."""
    service.document["processors"]["redaction"]["on_error"] = "pass"
    service.document["compliance"]["inline"] = "off"
    service.prepare()
    running = service.start()
    yield running
    running.shutdown(60)


def the_finding(warden: Warden) -> ComplianceFinding:
    (found,) = [each for each in warden.compliance.store.findings() if each.check == "redaction.fails-closed"]
    return found


def test_a_life(warden: Warden, service: Service) -> None:
    warden.assess()
    finding = the_finding(warden)
    assert finding.status is Status.OPEN
    assert finding.pointer == "/processors/redaction/on_error"
    assert "iso-27001-2022/A.8.12" in finding.requirements
    assert finding.severity == "critical"
    for status in (Status.ACKNOWLEDGED, Status.IN_PROGRESS, Status.ACCEPTED):
        warden.compliance.decide(finding.fingerprint, decision(status))
    warden.assess()
    assert the_finding(warden).status is Status.ACCEPTED  # still wrong, and still accepted
    warden.compliance.decide(finding.fingerprint, decision(Status.REOPENED))
    warden.shutdown(60)

    # Only a passing run settles it, and a failing one brings it back under the same fingerprint.
    service.document["processors"]["redaction"]["on_error"] = "drop"
    service.run()
    assessor = service.assessor()
    assessor.assess()
    assert assessor.store.finding(finding.fingerprint).status is Status.RESOLVED
    service.document["processors"]["redaction"]["on_error"] = "pass"
    service.run()
    assessor = service.assessor()
    assessor.assess()
    again = assessor.store.finding(finding.fingerprint)
    assert again.status is Status.REOPENED
    assert again.first_seen_ns == finding.first_seen_ns
    states = [(each.before, each.after) for each in assessor.store.transitions(finding.fingerprint)]
    assert states == [
        ("", "open"), ("open", "acknowledged"), ("acknowledged", "in_progress"), ("in_progress", "accepted"),
        ("accepted", "reopened"), ("reopened", "resolved"), ("resolved", "reopened"),
    ]  # fmt: skip

    told = [r for r in read_records(service.directory / "audit") if r["component"] == "compliance"]
    assert verify(service.directory / "audit", against=service.directory / "elsewhere.txt").ok
    actions = [(r["action"], r["actor"]) for r in told if r.get("target") == finding.fingerprint]
    system, ada = "system:compliance", "user:ada"
    assert actions == [
        ("finding_open", system),
        ("finding_acknowledged", ada),
        ("finding_in_progress", ada),
        ("finding_accepted", ada),
        ("finding_reopened", ada),
        ("finding_resolved", system),  # the service looks as it ends
        ("finding_reopened", system),
    ]


def test_an_exception_that_ends_is_reopened(warden: Warden) -> None:
    warden.assess()
    finding = the_finding(warden)
    ends = time.time_ns() + 2_000_000_000
    warden.compliance.decide(finding.fingerprint, decision(Status.SUPPRESSED, expires_ns=ends))
    while time.time_ns() < ends:
        time.sleep(0.01)
    warden.assess()
    assert the_finding(warden).status is Status.REOPENED


@pytest.mark.parametrize("status", sorted(EXCEPTIONS, key=lambda each: each.value), ids=lambda each: each.value)
@pytest.mark.parametrize(
    "lacking",
    [
        {"approver": " "},
        {"reason": ""},
        {"expires_ns": 0},
        {"expires_ns": 1},
        {"expires_ns": time.time_ns() + 400 * DAY_NS},
        {"actor": ""},
    ],
    ids=["approver", "reason", "end", "past", "too far", "actor"],
)
def test_an_exception_needs_all_of_it(status: Status, lacking: dict[str, object]) -> None:
    with pytest.raises(Refused):
        decision(status, **lacking).check(Status.OPEN, time.time_ns())


@given(st.sampled_from(Status), st.sampled_from(Status))
def test_only_legal_ways(current: Status, wanted: Status) -> None:
    try:
        decision(wanted).check(current, time.time_ns())
    except Refused:
        assert wanted not in ALLOWED[current]
    else:
        assert wanted in ALLOWED[current]
    assert Status.RESOLVED not in ALLOWED[current]


def test_a_refused_decision_changes_nothing(warden: Warden) -> None:
    warden.assess()
    finding = the_finding(warden)
    with pytest.raises(Refused, match="open cannot become reopened"):
        warden.compliance.decide(finding.fingerprint, decision(Status.REOPENED))
    with pytest.raises(Refused):
        warden.compliance.decide("feedfeedfeedfeed", decision(Status.ACKNOWLEDGED))
    with pytest.raises(Refused):
        warden.compliance.decide("", decision(Status.ACKNOWLEDGED))
    assert the_finding(warden) == finding


def test_approvals_and_controls_need_two_people_and_evidence(warden: Warden, service: Service) -> None:
    with pytest.raises(Refused, match="of their own"):
        warden.compliance.approve(author="ada", approver="ADA ")
    with pytest.raises(Refused, match="needs evidence"):
        warden.compliance.set_control("erasure", "verified", actor="ada")
    with pytest.raises(Refused, match="no control"):
        warden.compliance.set_control("no-such", "fully", actor="ada")
    with pytest.raises(Refused, match="allowed: not, partially"):
        warden.compliance.set_control("erasure", "done", actor="ada")
    warden.compliance.set_control("erasure", "verified", evidence="minutes", actor="ada")
    warden.shutdown(60)
    told = [r for r in read_records(service.directory / "audit") if r["action"] == "control_status"]
    assert [(r["target"], r["reason"], r["actor"]) for r in told] == [("erasure", "verified", "user:ada")]


def test_manual_requirements_follow_the_word_of_people(warden: Warden) -> None:
    def result() -> str:
        (gdpr,) = warden.assess(["gdpr"]).frameworks
        return next(each.result.value for each in gdpr.requirements if each.requirement.id == "30(1)(g)")

    seen = [result()]
    for status in ("not", "partially", "fully", "verified"):
        warden.compliance.set_control("records-of-processing", status, evidence="minutes", actor="ada")
        seen.append(result())
    assert seen == ["insufficient_evidence", "fail", "fail", "warn", "pass"]


def test_a_store_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "findings.sqlite").write_bytes(b"no database at all, but long enough to look at" * 30)
    with pytest.raises(ConfigError, match=r"findings\.sqlite:/: the findings cannot be read"):
        FindingStore(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with sqlite3.connect(other / "findings.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="another version; given 99"):
        FindingStore(other)


def test_the_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = FindingStore(tmp_path / "new")
    assert store.path.stat().st_mode & 0o077 == 0
