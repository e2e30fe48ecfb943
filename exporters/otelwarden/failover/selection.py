"""Which endpoint gets the next batch: one method over live candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from otelwarden.failover.health import PooledEndpoint


class Selection(Protocol):
    """Chooses among endpoints of which health does not forbid any."""

    def select(self, candidates: Sequence[PooledEndpoint]) -> PooledEndpoint:
        """One of `candidates`, which are never empty and in the order of their configuration."""
        ...


class PrioritySelection:
    """The endpoint of the lowest priority number; among equals the first."""

    def select(self, candidates: Sequence[PooledEndpoint]) -> PooledEndpoint:
        """See `Selection.select`."""
        return min(candidates, key=lambda candidate: candidate.priority)
