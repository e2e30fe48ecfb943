"""Tells the runtime which rules acted, and in how many places. Never on what."""

from __future__ import annotations

from typing import Final

from otelwarden.core import Runtime, Signal
from otelwarden.redaction.rules import Rule

COMPONENT: Final = "redaction"


class Evidence:
    """What one stage says about its decisions: one event for each rule that acted on an item."""

    def __init__(self, runtime: Runtime) -> None:
        self._emit = runtime.emit

    def of_item(
        self, counts: dict[Rule, int], signal: Signal, tenant: str, trace_id: int = 0, span_id: int = 0
    ) -> None:
        """Rules acted on an item, in so many places each."""
        for rule, count in counts.items():
            self._emit(
                COMPONENT,
                rule.told_as,
                rule.id,
                tenant=tenant,
                signal=signal,
                count=count,
                trace_id=trace_id,
                span_id=span_id,
            )

    def of_envelope(self, counts: dict[Rule, int], signal: Signal, tenant: str) -> None:
        """Rules acted on a resource or scope that was not known yet. Told once, not for every item that shares it."""
        self.of_item(counts, signal, tenant)
