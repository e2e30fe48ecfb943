"""What leaves, counted by tenant and told to the trail: one event for a batch, not one for an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from otelwarden.audit.records import HANDED_ON
from otelwarden.audit.trail import AuditTrail
from otelwarden.core import Drop, GovernanceEvent, Item, OnError, Signal, state_of

UNAVAILABLE: Final = Drop("audit_unavailable")
"""The trail cannot be written, and nothing may leave unrecorded."""

DELIVERED: Final = "delivered"
FAILED: Final = "failed"

_ItemT = TypeVar("_ItemT", bound=Item)


def count_by_tenant(items: Iterable[Item]) -> Mapping[str, int]:
    """How many items each tenant has."""
    return Counter(state_of(item).tenant for item in items)


class ExportRecorder:
    """Tells a trail what left.

    Args:
        on_error: `drop` lets nothing pass while the trail is failing.
    """

    def __init__(self, trail: AuditTrail, signal: Signal, *, on_error: OnError) -> None:
        self._trail = trail
        self._signal = signal
        self._closes = on_error == "drop"
        self._time_ns = trail.runtime.clock.time_ns

    @property
    def refuses(self) -> bool:
        """Whether nothing may leave at the moment."""
        return self._closes and self._trail.failing

    def admit(self, item: _ItemT, _state: object = None) -> _ItemT | Drop:
        """The transform of the stages: the item as it is, or nothing while the trail cannot record it."""
        return UNAVAILABLE if self.refuses else item

    def admit_and_count(self, item: _ItemT, state: object) -> _ItemT | Drop:
        """The same for a stage that sees items one by one and hands them on."""
        if self.refuses:
            return UNAVAILABLE
        self.left({state_of(item).tenant: 1}, HANDED_ON)
        return item

    def left(self, counts: Mapping[str, int], reason: str) -> None:
        """Tells the trail that items left.

        Args:
            counts: items by tenant.
            reason: `delivered`, `failed` or `handed_on`.
        """
        for tenant, count in counts.items():
            self._trail(
                GovernanceEvent(
                    self._time_ns(),
                    "audit",
                    "export",
                    reason,
                    tenant,
                    self._signal,
                    count,
                    config_digest=self._trail.runtime.config_digest,
                )
            )
