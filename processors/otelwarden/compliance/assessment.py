"""An assessment: every question of every framework, asked once, and what the answers come to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.compliance.checks import Check, CheckRun, Source
from otelwarden.compliance.checks.check import run
from otelwarden.compliance.facts import ControlState, Evidence
from otelwarden.compliance.framework import Framework, Requirement
from otelwarden.compliance.results import SEVERITIES, WEIGHTS, Outcome, Result, Severity, combine

FORMAT: Final = "otelwarden.assessment/1"

_MANUAL: Final[Mapping[str, Result]] = {
    "not": Result.FAIL,
    "partially": Result.FAIL,
    "fully": Result.WARN,
    "verified": Result.PASS,
}
"""What people say of a control -> what that makes of a requirement that nobody else can judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementResult:
    """What became of one requirement."""

    requirement: Requirement
    result: Result
    checks: tuple[str, ...]
    """Keys of the questions that were asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkResult:
    """What became of one framework."""

    framework: Framework
    requirements: tuple[RequirementResult, ...]

    @property
    def score(self) -> float | None:
        """What is met, in percent, to one digit; None when there is nothing to divide by.

        The sum of the weights of the requirements that pass or warn, over that of all that apply and are not merely
        waiting for somebody's word.
        """
        judged = [
            each
            for each in self.requirements
            if each.result is not Result.NOT_APPLICABLE
            and not (each.requirement.manual and each.result is Result.INSUFFICIENT)
        ]
        whole = sum(WEIGHTS[each.requirement.severity] for each in judged)
        met = sum(WEIGHTS[each.requirement.severity] for each in judged if each.result.holds)
        # Rounded down: 99.96 is not everything.
        return int(1000 * met / whole) / 10 if whole else None

    def count(self, result: Result) -> int:
        """How many requirements have this result."""
        return sum(each.result is result for each in self.requirements)

    @property
    def unattended(self) -> int:
        """Manual requirements of whose controls nobody has said anything."""
        return sum(each.requirement.manual and each.result is Result.INSUFFICIENT for each in self.requirements)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What was found at one moment."""

    id: str
    """Unique."""
    time_ns: int
    """When the evidence was gathered, nanoseconds since the Unix epoch."""
    frameworks: tuple[FrameworkResult, ...]
    runs: Mapping[str, CheckRun]
    """Every question that was asked, by its key, with its answer."""
    evidence: Mapping[str, Any]
    """What it rests on: the configuration, the range of each trail with its root hash, the processes, the sample."""

    @property
    def result(self) -> Result:
        """What all of it comes to; requirements that merely wait for somebody's word are left out."""
        return combine(
            each.result
            for framework in self.frameworks
            for each in framework.requirements
            if not (each.requirement.manual and each.result is Result.INSUFFICIENT)
        )

    @property
    def digest(self) -> str:
        """SHA-256 over every question, every answer and what they rest on, in hexadecimal: the same evidence, the same
        digest, however often and whenever it is assessed.
        """
        content = [
            [run.key, run.outcome.result.value, run.outcome.message, [p.target for p in run.outcome.problems]]
            for run in self.runs.values()
        ] + [[f.framework.id, r.requirement.id, r.result.value] for f in self.frameworks for r in f.requirements]
        text = json.dumps([content, self.evidence], sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    def severity_of(self, key: str) -> Severity:
        """The highest severity of the requirements that asked a question."""
        found = {
            each.requirement.severity
            for framework in self.frameworks
            for each in framework.requirements
            if key in each.checks
        }
        return max(found, key=SEVERITIES.index, default="low")

    def requirements_of(self, key: str) -> Iterator[tuple[str, str]]:
        """Framework and requirement of each that asked a question."""
        for framework in self.frameworks:
            for each in framework.requirements:
                if key in each.checks:
                    yield framework.framework.id, each.requirement.id


def assess(
    evidence: Evidence,
    frameworks: Sequence[Framework],
    checks: Mapping[str, Check],
    *,
    id: str,  # the word for it
    sources: Iterable[Source] | None = None,
) -> Assessment:
    """Asks every question of the frameworks once.

    Args:
        id: of the assessment, unique.
        sources: leaves out the questions whose evidence comes from elsewhere, and the requirements of which nothing
            is left; None asks all.
    """
    wanted = None if sources is None else frozenset(sources)
    runs: dict[str, CheckRun] = {}
    results = []
    for framework in frameworks:
        found = []
        for requirement in framework.requirements:
            keys = []
            for use in requirement.checks:
                check = checks[use.check]
                if wanted is None or check.source in wanted:
                    keys.append(use.key)
                    if use.key not in runs:
                        runs[use.key] = run(check, evidence, use.parameters)
            if keys:
                result = combine(runs[key].outcome.result for key in keys)
            elif wanted is None:
                result = _by_word(requirement, evidence.history.controls)
            else:
                continue
            found.append(RequirementResult(requirement=requirement, result=result, checks=tuple(keys)))
        results.append(FrameworkResult(framework=framework, requirements=tuple(found)))
    return Assessment(
        id=id,
        time_ns=evidence.now_ns,
        frameworks=tuple(results),
        runs=dict(sorted(runs.items())),
        evidence=_rests_on(evidence),
    )


def _by_word(requirement: Requirement, controls: Mapping[str, ControlState]) -> Result:
    """The result of a requirement that only people can judge: the worst that they say of its controls."""
    said = [controls[name].status for name in requirement.controls if name in controls]
    if len(said) < len(requirement.controls):
        return Result.INSUFFICIENT
    return combine(_MANUAL[status] for status in said)


def _rests_on(evidence: Evidence) -> dict[str, Any]:
    configuration = evidence.configuration
    sample: dict[str, int] = {}
    for snapshot in evidence.snapshots:
        for signal, count in snapshot.sample.scanned.items():
            sample[signal] = sample.get(signal, 0) + count
    return {
        "service": str(configuration.resource.get("service.name", "")),
        "configuration": {"file": configuration.file, "digest": configuration.digest},
        "trails": [
            {
                "name": trail.name,
                "verdict": trail.verdict.status,
                "message": trail.verdict.message,
                "records": trail.records,
                "first_ns": str(trail.first_ns),
                "last_ns": str(trail.last_ns),
                "streams": [
                    {"stream": stream, "sealed": sealed, "root": root} for stream, sealed, root in trail.verdict.roots
                ],
            }
            for trail in evidence.trails
        ],
        "processes": len(evidence.snapshots),
        "sample": dict(sorted(sample.items())),
    }


def as_document(assessment: Assessment) -> dict[str, Any]:
    """The assessment as plain data: what is kept, and what a report is made of."""
    return {
        "format": FORMAT,
        "id": assessment.id,
        "time_ns": str(assessment.time_ns),
        "digest": assessment.digest,
        "result": assessment.result.value,
        "evidence": dict(assessment.evidence),
        "frameworks": [_framework_document(each) for each in assessment.frameworks],
        "checks": {key: _run_document(each, assessment.severity_of(key)) for key, each in assessment.runs.items()},
    }


def _framework_document(result: FrameworkResult) -> dict[str, Any]:
    framework = result.framework
    return {
        "id": framework.id,
        "title": framework.title,
        "version": framework.version,
        "note": framework.note,
        "score": result.score,
        "counts": {each.value: result.count(each) for each in Result if result.count(each)},
        "unattended": result.unattended,
        "controls": {
            name: {"title": control.title, "objective": control.objective}
            for name, control in sorted(framework.controls.items())
        },
        "requirements": [
            {
                "id": each.requirement.id,
                "title": each.requirement.title,
                "text": each.requirement.text,
                "category": each.requirement.category,
                "severity": each.requirement.severity,
                "controls": list(each.requirement.controls),
                "manual": each.requirement.manual,
                "result": each.result.value,
                "checks": list(each.checks),
            }
            for each in result.requirements
        ],
    }


def _run_document(run_: CheckRun, severity: Severity) -> dict[str, Any]:
    check, outcome = run_.check, run_.outcome
    return {
        "check": check.id,
        "title": check.title,
        "source": check.source,
        "severity": severity,
        "result": outcome.result.value,
        "message": outcome.message,
        "observed": dict(outcome.observed),
        "advice": _advice(check, outcome),
        "pointer": _pointer(check, outcome),
        "problems": [
            {
                "target": each.target,
                "message": each.message,
                "pointer": each.pointer,
                "signal": each.signal,
                "tenant": each.tenant,
            }
            for each in outcome.problems
        ],
    }


def _advice(check: Check, outcome: Outcome) -> str:
    if outcome.result.holds and outcome.result is not Result.WARN:
        return ""
    return next((each.advice for each in outcome.problems if each.advice), check.advice)


def _pointer(check: Check, outcome: Outcome) -> str:
    return next((each.pointer for each in outcome.problems if each.pointer), check.pointer)
