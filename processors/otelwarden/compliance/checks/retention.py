"""Whether what is kept is kept long enough, and no longer: what is declared, and what the trail is set to drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.facts import Component, Evidence
from otelwarden.compliance.results import Outcome, Problem, absent, failed, judged
from otelwarden.core import parse_duration
from otelwarden.schemas import json_pointer

_DAY: Final = 86_400


def _rules(component: Component) -> Mapping[str, Mapping[str, float | None]]:
    """Kind of record -> `at_least` and `at_most`, in seconds; nothing where records stay for ever."""
    return component.options["retention"] or {}


def _dropped_after(rule: Mapping[str, float | None]) -> float | None:
    """Seconds after which records under a rule go; None for never."""
    return rule["at_most"] if rule["at_least"] is None else rule["at_least"]


def _problem(component: Component, kind: str, message: str) -> Problem:
    pointer = component.pointer + json_pointer(["retention", kind])
    return Problem(target=f"{component.id}/{kind}", message=message, pointer=pointer)


def _declared(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    kinds = [*evidence.configuration.pipelines, *(["audit"] if any(evidence.configuration.used("audit")) else [])]
    problems = [
        Problem(
            target=kind,
            message=f"nobody has said for how long {kind} are kept",
            pointer=f"/compliance/retention/{kind}",
        )
        for kind in kinds
        if kind not in evidence.declared.retention
    ]
    return judged(problems, f"it is declared for how long {', '.join(kinds)} are kept")


def _trail(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    least = parse_duration(parameters["least"])
    kept = evidence.declared.retention.get("audit")
    used = list(evidence.configuration.used("audit"))
    if not used:
        return failed([absent("audit")])
    problems = []
    if kept is None or kept < least:
        said = "nobody has said for how long" if kept is None else f"{kept / _DAY:g} days are declared"
        problems.append(
            Problem(
                target=f"audit/{parameters['least']}",
                message=f"the audit trail is to be kept {least / _DAY:g} days; {said}",
                pointer="/compliance/retention/audit",
            )
        )
    for component in used:
        for kind, rule in _rules(component).items():
            after = _dropped_after(rule)
            if after is not None and after < least:
                message = f"the audit trail is to be kept {least / _DAY:g} days; {kind} goes after {after / _DAY:g}"
                problems.append(_problem(component, kind, message))
    return judged(problems, f"the audit trail is kept at least {least / _DAY:g} days")


def _limited(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("audit"))
    if not used:
        return failed([absent("audit")])
    problems = [
        _problem(component, "default", "nothing drops records of the trail when their time is over")
        for component in used
        if "default" not in _rules(component)
    ]
    return judged(problems, "records of the trail go when their time is over")


def _conflicts(component: Component) -> Iterator[Problem]:
    rules = _rules(component)
    longest = max((rule["at_least"] or 0.0 for rule in rules.values()), default=0.0)
    for kind, rule in rules.items():
        most = rule["at_most"]
        if most is not None and most < longest:
            message = (
                f"{kind} may be kept {most / _DAY:g} days at most, beside records that must stay {longest / _DAY:g}"
            )
            yield _problem(component, kind, message)


def _consistent(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("audit"))
    if not used:
        return failed([absent("audit")])
    problems = [problem for component in used for problem in _conflicts(component)]
    return judged(problems, "no least and no most retention of the trail contradict each other")


CHECKS: Final = (
    Check(
        id="retention.declared",
        title="It is declared for how long everything is kept",
        source="configuration",
        advice="Give a duration for each signal, and for the audit trail",
        judge=_declared,
        pointer="/compliance/retention",
    ),
    Check(
        id="retention.trail",
        title="The audit trail is kept long enough",
        source="configuration",
        advice="Raise the retention of the audit trail",
        judge=_trail,
        parameters={"least": "for how long at least, a duration"},
        pointer="/compliance/retention/audit",
    ),
    Check(
        id="retention.trail-limited",
        title="Records of the trail go when their time is over",
        source="configuration",
        advice="Give a rule for `default` under `retention` of the trail",
        judge=_limited,
        pointer="/processors/audit/retention",
    ),
    Check(
        id="retention.consistent",
        title="What must be kept and what must go do not contradict each other",
        source="configuration",
        advice="Shorten the longest `at_least`, or lengthen `at_most`: all kinds of records stand in the same files",
        judge=_consistent,
        pointer="/processors/audit/retention",
    ),
)
