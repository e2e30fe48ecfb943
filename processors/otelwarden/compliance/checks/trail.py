"""What the audit trail proves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from otelwarden.compliance.checks.check import Check, Judge
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, Result, failed, insufficient, judged
from otelwarden.compliance.trailfacts import TrailFacts

CLOCK_TOLERANCE: Final = 10.0
"""Seconds by which records may be out of order: a window of coalesced decisions is written when it ends."""

WITNESS_TOLERANCE: Final = 300.0
"""Seconds by which what is kept outside may be behind the trail."""

_CHANGED: Final = ("TAMPERED", "FORKED", "TRUNCATED", "KEY_UNKNOWN")


def moment(time_ns: int) -> str:
    """A moment for people, to the second."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _each(fault: Callable[[TrailFacts], str | None], message: str, *, pointer: str = "") -> Judge:
    """A judge of every trail that has records; `fault` says what is wrong with it, None when nothing is."""

    def judge(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
        trails = [trail for trail in evidence.trails if trail.records]
        if not trails:
            return insufficient("the audit trail holds no record")
        problems = [
            Problem(target="trail" if len(trails) == 1 else trail.name, message=text, pointer=pointer)
            for trail in trails
            if (text := fault(trail)) is not None
        ]
        return judged(problems, message, records=sum(trail.records for trail in trails))

    return judge


def _intact(trail: TrailFacts) -> str | None:
    verdict = trail.verdict
    if verdict.status not in _CHANGED:
        return None
    where = f" at record {verdict.sequence}" if verdict.sequence is not None else ""
    return f"the trail is {verdict.status}{where}"


def _complete(trail: TrailFacts) -> str | None:
    return "the trail declares a gap, or an account in it does not close" if _is(trail, "INCOMPLETE") else None


def _sealed(trail: TrailFacts) -> str | None:
    if not trail.verdict.sealed_ns:
        return "no checkpoint seals the trail"
    return "records follow the last checkpoint that should have been sealed" if _is(trail, "UNSEALED_TAIL") else None


def _is(trail: TrailFacts, status: str) -> bool:
    return trail.verdict.status == status


def _witnessed(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    trails = [trail for trail in evidence.trails if trail.records]
    if not trails:
        return insufficient("the audit trail holds no record")
    if any(trail.verdict.unwitnessed for trail in trails):
        return insufficient("no checkpoint from outside was there, so that a rollback cannot be excluded")
    late = [t for t in trails if (t.verdict.sealed_ns - t.verdict.witnessed_ns) / 1e9 > WITNESS_TOLERANCE]
    problems = [
        Problem(
            target="witness",
            message=f"the witness saw its last checkpoint at {moment(trail.verdict.witnessed_ns)}, "
            f"and the trail was sealed again until {moment(trail.verdict.sealed_ns)}",
            pointer="/processors/audit/witness",
        )
        for trail in late
    ]
    latest = min(trail.verdict.witnessed_ns for trail in trails)
    return judged(problems, f"a checkpoint from {moment(latest)} is kept outside", checkpoint=moment(latest))


def _content(trail: TrailFacts) -> str | None:
    if not trail.incomplete:
        return None
    return (
        f"{trail.incomplete} records do not say who did what with which outcome, "
        f"the first of them record {trail.first_incomplete}"
    )


def _clock(trail: TrailFacts) -> str | None:
    seconds = trail.backwards_ns / 1e9
    return None if seconds <= CLOCK_TOLERANCE else f"the clock went back by {seconds:.0f} seconds between two records"


def _no_sensitive_data(trail: TrailFacts) -> str | None:
    if not trail.sensitive:
        return None
    kinds = ", ".join(trail.sensitive)
    return f"the trail itself holds {kinds}, the first in record {trail.sensitive_sequence} or a later one"


def _configuration(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    digest = evidence.configuration.digest
    seen = [trail for trail in evidence.trails if trail.latest_configuration]
    if not seen:
        return insufficient("the trail does not say which configuration was in force")
    problems = [
        Problem(
            target="configuration",
            message=f"configuration {trail.latest_configuration} was in force last, and not {digest}",
        )
        for trail in seen
        if trail.latest_configuration != digest
    ]
    return judged(problems, f"configuration {digest} is in force", digest=digest)


def _approved(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    seen = {digest for trail in evidence.trails for digest in trail.configurations}
    if not seen:
        return insufficient("the trail does not say which configuration was in force")
    problems = [
        Problem(target=digest, message=f"configuration {digest} was in force and nobody approved it")
        for digest in sorted(seen)
        if digest not in evidence.history.approvals
    ]
    return judged(problems, f"each of {len(seen)} configurations was approved by another than its author")


def _exports(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    exports: dict[str, int] = {}
    refused: dict[str, int] = {}
    for trail in evidence.trails:
        for (signal, reason), count in trail.exports.items():
            which = refused if reason == "failed" else exports
            which[signal] = which.get(signal, 0) + count
    if not exports and not refused:
        return insufficient("nothing left yet, as far as the trail knows")
    problems = list(_refusals(refused))
    if problems:
        return failed(problems, result=Result.FAIL)
    return judged([], "what left was recorded, and was accepted", **exports)


def _refusals(refused: Mapping[str, int]) -> Iterator[Problem]:
    for signal, count in sorted(refused.items()):
        yield Problem(
            target=f"exports/{signal}",
            message=f"{count} items of {signal} were given to the exporter and refused",
            pointer="/exporters/failover",
        )


def _failover(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if not any(trail.records for trail in evidence.trails):
        return insufficient("the audit trail holds no record")
    problems = [
        Problem(
            target=target,
            message="telemetry had to leave an endpoint, and has not returned to it",
            pointer="/exporters/failover/endpoints",
        )
        for trail in evidence.trails
        for target in map(_shown_target, trail.unresolved)
    ]
    return judged(problems, "no endpoint is out of order, as far as the trail knows")


def _shown_target(target: str) -> str:
    scheme, _, rest = target.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('/')[0]}" if rest else target


CHECKS: Final = (
    Check(
        id="trail.intact",
        title="The audit trail is what was written",
        source="trail",
        advice="Find out who changed it; the verdict names the first record that is not as it was sealed",
        judge=_each(_intact, "every record is as it was sealed"),
    ),
    Check(
        id="trail.complete",
        title="The audit trail declares no gap, and its accounts close",
        source="trail",
        advice="Give the trail a larger queue, or a disk that takes what is written",
        judge=_each(_complete, "nothing is missing", pointer="/processors/audit/max_pending"),
        pointer="/processors/audit/max_pending",
    ),
    Check(
        id="trail.sealed",
        title="The audit trail is sealed up to its end",
        source="trail",
        advice="Find out why checkpoints are not written any more",
        judge=_each(_sealed, "checkpoints cover the trail", pointer="/processors/audit/checkpoint_interval"),
        pointer="/processors/audit/checkpoint_interval",
    ),
    Check(
        id="trail.witnessed",
        title="A recent checkpoint is kept outside the trail",
        source="trail",
        advice="Name a witness, and see that it can be written to",
        judge=_witnessed,
        pointer="/processors/audit/witness",
    ),
    Check(
        id="trail.content",
        title="Every record says who did what, when and with which outcome",
        source="trail",
        advice="Let every component that tells the trail something name itself, the action and the reason",
        judge=_each(_content, "every record says who did what, when and with which outcome"),
    ),
    Check(
        id="trail.clock",
        title="The clock of the trail did not go back",
        source="trail",
        advice="Synchronise the clock of the host, by slewing rather than by steps",
        judge=_each(_clock, "the clock did not go back"),
    ),
    Check(
        id="trail.no-sensitive-data",
        title="The trail itself holds no personal data and no secrets",
        source="trail",
        advice="Let reasons and targets be names, not values",
        judge=_each(_no_sensitive_data, "no text of the trail is sensitive"),
    ),
    Check(
        id="trail.configuration",
        title="The configuration that was assessed is the one in force",
        source="trail",
        advice="Restart the service with this configuration, or assess the one it runs with",
        judge=_configuration,
    ),
    Check(
        id="changes.approved",
        title="Every configuration that was in force was approved",
        source="trail",
        advice="Let another than its author look at it, and record that with `otelwarden approve`",
        judge=_approved,
    ),
    Check(
        id="trail.exports",
        title="What left was recorded, and was accepted",
        source="trail",
        advice="Look at what the receivers answered",
        judge=_exports,
        pointer="/exporters/failover",
    ),
    Check(
        id="failover.resolved",
        title="No endpoint is out of order",
        source="trail",
        advice="Repair the endpoint, or take it out of the configuration",
        judge=_failover,
        pointer="/exporters/failover/endpoints",
    ),
)
