"""Tells the runtime which rules acted, and in how many places. Never on what."""

from __future__ import annotations

from typing import Final

from otelwarden.core import Decision, Runtime, Signal
from otelwarden.redaction.rules import Rule

COMPONENT: Final = "redaction"

MAX_DECISIONS: Final = 4096
"""Kinds of decisions remembered; beyond, all are forgotten and the memory starts anew."""


class Evidence:
    """What one stage says about its decisions: one event for each rule that acted on an item."""

    def __init__(self, runtime: Runtime) -> None:
        self._tell = runtime.tell
        self._decisions: dict[tuple[Rule, Signal, str], Decision] = {}

    def of_item(
        self, counts: dict[Rule, int], signal: Signal, tenant: str, trace_id: int = 0, span_id: int = 0
    ) -> None:
        """Rules acted on an item, in so many places each."""
        for rule, count in counts.items():
            decision = self._decisions.get((rule, signal, tenant)) or self._learn(rule, signal, tenant)
            self._tell(decision, count, trace_id, span_id)

    def of_envelope(self, counts: dict[Rule, int], signal: Signal, tenant: str) -> None:
        """Rules acted on a resource or scope that was not known yet. Told once, not for every item that shares it."""
        self.of_item(counts, signal, tenant)

    def _learn(self, rule: Rule, signal: Signal, tenant: str) -> Decision:
        if len(self._decisions) >= MAX_DECISIONS:
            self._decisions.clear()
        decision = Decision(COMPONENT, rule.told_as, rule.id, tenant, signal)
        self._decisions[rule, signal, tenant] = decision
        return decision
