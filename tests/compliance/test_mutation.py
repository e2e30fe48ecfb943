"""Each control is broken in turn: its requirements turn red, and no others do."""

from __future__ import annotations

import pytest

from otelwarden.compliance import Result, all_checks

from .conftest import Service, ordinary_work, requirements, results
from .mutations import MUTATIONS, Mutation


def test_everything_is_met_to_begin_with(service: Service) -> None:
    assessment = service.assess()
    assert {
        key: run.outcome.message for key, run in assessment.runs.items() if run.outcome.result is not Result.PASS
    } == {}
    assert {each.framework.id: each.score for each in assessment.frameworks} == {
        each.framework.id: 100.0 for each in assessment.frameworks
    }


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_is_broken_turns_red_alone(mutation: Mutation, service: Service) -> None:
    service.flush = mutation.flush
    mutation.setting(service.document)
    service.write()
    mutation.files(service.directory)
    if mutation.work is not None:
        service.work = lambda warden: (ordinary_work(warden), mutation.work(warden))[1]
    assessor = service.prepare(approved=mutation.approved, rotated=mutation.rotated)
    mutation.before(service)
    service.run()
    mutation.after(service)
    if not assessor.store.history().assessed_ns:
        assessor.assess()
    assessment = assessor.assess()

    red = {key for key, result in results(assessment).items() if not result.holds}
    messages = {key: assessment.runs[key].outcome.message for key in red}
    assert {assessment.runs[key].check.id for key in red} == mutation.broken, messages
    wanted = {f"{f.framework.id}/{r.requirement.id}" for f in assessment.frameworks for r in f.requirements
              if red.intersection(r.checks)}  # fmt: skip
    assert wanted
    assert {name for name, result in requirements(assessment).items() if not result.holds} == wanted


def test_every_check_can_be_broken() -> None:
    assert set().union(*(mutation.broken for mutation in MUTATIONS)) == set(all_checks())
