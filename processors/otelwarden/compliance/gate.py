"""What may not leave: telemetry of a kind that fails a critical requirement, for as long as it fails.

The gate is closed by an assessment and opened by one. So it does not stop the first item that is wrong, which is what
redaction is for; it stops what comes after, until somebody has repaired the cause or decided about the finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from otelwarden.compliance.assessment import Assessment
from otelwarden.compliance.findings import fingerprint_of
from otelwarden.compliance.results import Result
from otelwarden.core import SIGNALS, Drop, Signal

ALL_TENANTS: Final = ""

_OPEN: Final[Mapping[tuple[Signal, str], Drop]] = MappingProxyType({})


class Block(NamedTuple):
    """Telemetry that does not leave."""

    signal: Signal
    tenant: str
    """Empty for all."""
    check: str
    """Id of the check that fails; the reason that drops are counted under."""


class Gate:
    """Says of every item whether it may leave. Read by many threads, changed by one."""

    def __init__(self) -> None:
        self._by_check: dict[str, tuple[Block, ...]] = {}
        self._closed = _OPEN

    def refuses(self, signal: Signal, tenant: str) -> Drop | None:
        """Why telemetry of a tenant may not leave; None when it may. 0.1 us while nothing is blocked."""
        closed = self._closed
        if not closed:
            return None
        return closed.get((signal, ALL_TENANTS)) or closed.get((signal, tenant))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What is blocked at the moment."""
        return tuple(sorted({block for blocks in self._by_check.values() for block in blocks}))

    def follow(self, assessment: Assessment, excepted: Iterable[str]) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
        """Closes and opens as an assessment says; what it did not ask about stays as it is.

        Args:
            excepted: fingerprints of findings for which somebody has made an exception: they block nothing.

        Returns:
            What is blocked that was not, and what is not blocked any more.
        """
        before = set(self.blocks)
        passing = frozenset(excepted)
        critical = {
            key
            for framework in assessment.frameworks
            for each in framework.requirements
            if each.requirement.severity == "critical"
            for key in each.checks
        }
        for key, run in assessment.runs.items():
            if run.outcome.result is Result.FAIL and key in critical:
                self._by_check[key] = tuple(
                    Block(signal, problem.tenant, run.check.id)
                    for problem in run.outcome.problems
                    if fingerprint_of(key, problem.target, problem.tenant) not in passing
                    for signal in (SIGNALS if problem.signal is None else (problem.signal,))
                )
            elif run.outcome.result.holds or run.outcome.result is Result.FAIL:
                self._by_check.pop(key, None)
        now = set(self.blocks)
        self._closed = MappingProxyType({(each.signal, each.tenant): Drop(each.check) for each in sorted(now)})
        return tuple(sorted(now - before)), tuple(sorted(before - now))
