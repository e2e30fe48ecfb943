"""Whether people and processes look at what is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.checks.trail import moment
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, failed, insufficient, judged
from otelwarden.core import parse_duration

ATTESTED: Final = ("fully", "verified")
"""States of a control in which somebody vouches for it."""


def _scheduled(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    within = parse_duration(parameters["within"])
    schedule = evidence.declared.schedule
    if schedule is None or schedule > within:
        said = "only by command" if schedule is None else f"every {schedule:g} seconds"
        message = f"assessments are made {said}, not within {parameters['within']}"
        return failed(
            [Problem(target=f"schedule/{parameters['within']}", message=message, pointer="/compliance/schedule")]
        )
    assessed = evidence.history.assessed_ns
    if not assessed:
        return insufficient("this is the first assessment")
    if evidence.now_ns - assessed > within * 1e9:
        message = f"the last assessment before this one was made at {moment(assessed)}"
        return failed([Problem(target=f"assessment/{parameters['within']}", message=message)])
    return judged([], f"assessments are made within {parameters['within']}", last=moment(assessed))


def _continuous(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problem = Problem(
        target="inline", message="the running pipeline does not look at what leaves", pointer="/compliance/inline"
    )
    watching = evidence.declared.inline != "off" and evidence.declared.sample_items > 0
    return judged([] if watching else [problem], "the running pipeline looks at what leaves")


def _reviewed(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if not evidence.history.assessed_ns:
        return insufficient("nothing was assessed yet, so there was nothing to look at")
    oldest = evidence.now_ns - int(evidence.declared.review_within * 1e9)
    problems = [
        Problem(
            target=finding.fingerprint,
            message=f"nobody has looked at finding {finding.fingerprint} since {moment(finding.first_seen_ns)}",
        )
        for finding in evidence.history.findings
        if finding.status in ("open", "reopened") and finding.first_seen_ns < oldest
    ]
    return judged(problems, "somebody has looked at every finding in time")


def _exceptions(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if not evidence.history.assessed_ns:
        return insufficient("nothing was assessed yet, so there was nothing to except")
    problems = [
        Problem(
            target=finding.fingerprint,
            message=f"the exception for finding {finding.fingerprint} ended at {moment(finding.expires_ns)}",
        )
        for finding in evidence.history.findings
        if finding.expires_ns and finding.expires_ns < evidence.now_ns
    ]
    return judged(problems, "no exception has outlived its time")


def _attested(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    control, within = parameters["control"], parse_duration(parameters["within"])
    state = evidence.history.controls.get(control)
    if state is None:
        return insufficient(f"nobody has said anything about the control {control}")
    target = f"{control}/{parameters['within']}"
    if state.status not in ATTESTED:
        return failed(
            [Problem(target=target, message=f"the control {control} is said to be {state.status} implemented")]
        )
    if evidence.now_ns - state.time_ns > within * 1e9:
        message = f"the control {control} was last attested at {moment(state.time_ns)}"
        return failed([Problem(target=target, message=message)])
    return judged([], f"the control {control} was attested at {moment(state.time_ns)}", status=state.status)


CHECKS: Final = (
    Check(
        id="assessment.scheduled",
        title="Assessments are made regularly",
        source="history",
        advice="Set the schedule, and let the service run",
        judge=_scheduled,
        parameters={"within": "time from one assessment to the next at most, a duration"},
        pointer="/compliance/schedule",
    ),
    Check(
        id="monitoring.continuous",
        title="The running pipeline looks at what leaves",
        source="configuration",
        advice="Set `inline` to `observe` or `block`",
        judge=_continuous,
        pointer="/compliance/inline",
    ),
    Check(
        id="findings.reviewed",
        title="Somebody looks at every finding in time",
        source="history",
        advice="Acknowledge the findings with `otelwarden findings ack`, or settle them",
        judge=_reviewed,
        pointer="/compliance/review_within",
    ),
    Check(
        id="findings.exceptions-current",
        title="No exception has outlived its time",
        source="history",
        advice="Settle the finding, or decide about it again",
        judge=_exceptions,
    ),
    Check(
        id="attestation.current",
        title="Somebody vouched for the control recently",
        source="history",
        advice="Do what the control asks for, and record it with `otelwarden controls set`",
        judge=_attested,
        parameters={"control": "id of the control", "within": "how recently, a duration"},
    ),
)
