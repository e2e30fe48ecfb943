"""What the pipelines count of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, Result, failed, insufficient, judged
from otelwarden.schemas import json_pointer

LOST: Final = frozenset(
    {
        "audit_unavailable",
        "error",
        "expired",
        "export_error",
        "export_failed",
        "no_endpoint",
        "queue_full",
        "shutdown",
        "spool_full",
        "stale",
    }
)
"""Reasons of drops that nobody wanted. The others are decisions: over a limit, unknown tenant, not sampled ..."""

TOLERATED: Final = 0.001
"""The share of what was received that may be lost before it is a failure and not a warning."""


def _balanced(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    balances = [balance for snapshot in evidence.snapshots for balance in snapshot.balances]
    if not any(balance.received for balance in balances):
        return insufficient("no stage has received anything")
    open_accounts: dict[tuple[str, str], int] = {}
    for balance in balances:
        if balance.unaccounted:
            name = balance.component, balance.signal or ""
            open_accounts[name] = open_accounts.get(name, 0) + balance.unaccounted
    problems = [
        Problem(
            target=f"{component}/{signal}", message=f"{count} items of {signal} are not accounted for by {component}"
        )
        for (component, signal), count in sorted(open_accounts.items())
    ]
    return judged(problems, "received = forwarded + dropped + held, in every account", accounts=len(balances))


def _losses(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    received: dict[tuple[str, str], int] = {}
    lost: dict[tuple[str, str, str], int] = {}
    for snapshot in evidence.snapshots:
        for balance in snapshot.balances:
            name = balance.component, balance.signal or ""
            received[name] = received.get(name, 0) + balance.received
            for reason, count in balance.dropped.items():
                if reason in LOST and count:
                    kind = (*name, reason)
                    lost[kind] = lost.get(kind, 0) + count
    if not any(received.values()):
        return insufficient("no stage has received anything")
    problems = [
        Problem(
            target=f"{component}/{signal}/{reason}",
            message=f"{component} lost {count} of {received[component, signal]} items of {signal}: {reason}",
            pointer="/exporters/failover/spool" if component == "failover" else "",
        )
        for (component, signal, reason), count in sorted(lost.items())
    ]
    worst = max((count / received[component, signal] for (component, signal, _), count in lost.items()), default=0.0)
    if problems:
        return failed(problems, result=Result.FAIL if worst > TOLERATED else Result.WARN)
    return judged([], "nothing was lost", received=max(received.values()))


def _errors(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    counts: dict[str, int] = {}
    for snapshot in evidence.snapshots:
        for component, count in snapshot.errors.items():
            counts[component] = counts.get(component, 0) + count
    problems = [
        Problem(target=component, message=f"{component} caught {count} errors")
        for component, count in sorted(counts.items())
        if count
    ]
    return judged(problems, "no component caught an error")


def _endpoints(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    states = [dict(snapshot.endpoints) for snapshot in evidence.snapshots if snapshot.endpoints]
    if not any(state in ("healthy", "degraded") for each in states for state in each.values()):
        if not any(state == "unhealthy" for each in states for state in each.values()):
            return insufficient("no endpoint has taken anything yet")
        problem = Problem(
            target="endpoints",
            message="no endpoint is well",
            pointer="/exporters/failover/endpoints",
        )
        return failed([problem])
    return judged([], "an endpoint takes what is sent")


def _stores(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    answers: dict[str, bool] = {}
    for snapshot in evidence.snapshots:
        for component, answer in snapshot.stores.items():
            answers[component] = answer and answers.get(component, True)
    if not answers:
        return insufficient("no process has counted usage")
    problems = [
        Problem(
            target=component,
            message=f"the store of {component} does not answer, so that limits are those of each process alone",
            pointer=f"{json_pointer(['processors', component])}/store",
        )
        for component, answer in sorted(answers.items())
        if not answer
    ]
    return judged(problems, "what was used is counted where it is meant to be")


def _headroom(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    least = evidence.declared.min_free_bytes
    free: dict[str, int] = {}
    for snapshot in evidence.snapshots:
        for what, count in snapshot.free_bytes.items():
            free[what] = min(count, free.get(what, count))
    if not free:
        return insufficient("nothing is kept on disk")
    problems = [
        Problem(
            target=what,
            message=f"less than the {least} bytes that must be are free where the {what} is kept",
            pointer="/compliance/min_free_bytes",
        )
        for what, count in sorted(free.items())
        if count < least
    ]
    return judged(problems, f"at least {least} bytes are free where {', '.join(sorted(free))} are kept")


CHECKS: Final = (
    Check(
        id="accounts.balanced",
        title="Every item is accounted for",
        source="counters",
        advice="Find the stage that takes items and neither forwards nor drops them",
        judge=_balanced,
    ),
    Check(
        id="losses.bounded",
        title="Nothing is lost that nobody decided to drop",
        source="counters",
        advice="Give the queue or the spool more room, or the telemetry another endpoint",
        judge=_losses,
        pointer="/exporters/failover/spool",
    ),
    Check(
        id="errors.none",
        title="No component fails on telemetry",
        source="counters",
        advice="Look at `Warden.stats().errors` and at the log",
        judge=_errors,
    ),
    Check(
        id="endpoints.healthy",
        title="An endpoint takes what is sent",
        source="counters",
        advice="Repair an endpoint, or name one that works",
        judge=_endpoints,
        pointer="/exporters/failover/endpoints",
    ),
    Check(
        id="quota.store",
        title="Usage is counted where it is meant to be",
        source="counters",
        advice="Repair the store, or name another",
        judge=_stores,
        pointer="/processors/quota/store",
    ),
    Check(
        id="storage.headroom",
        title="There is room on the disks",
        source="counters",
        advice="Make room where trail, spool and findings are kept",
        judge=_headroom,
        pointer="/compliance/min_free_bytes",
    ),
)
