"""Who of the endpoints gets a batch: the terms of its tenants first, then health, region and the selection."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from otelwarden.core import ErrorCount
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.routes import best_of
from otelwarden.failover.selection import PrioritySelection, Selection
from otelwarden.failover.status import Status

BUSY_PAUSE: Final = 0.05
"""Seconds after which those who wait for an endpoint with full hands look again, should nobody wake them."""


class Chooser:
    """Chooses among the endpoints of a pool; called under its lock.

    Args:
        region: where this process is; None for nowhere in particular.
        errors: counts those of a selection that is somebody else's.
    """

    def __init__(self, selection: Selection, region: str | None, errors: ErrorCount) -> None:
        self._selection = selection
        self._region = region
        self._errors = errors

    def choose(
        self, endpoints: Iterable[PooledEndpoint], outbound: Outbound, tried: Collection[PooledEndpoint], now_ns: int
    ) -> PooledEndpoint | None:
        """The endpoint for the next attempt; None when there is nobody left to ask.

        Healthy and unknown ones come first, then degraded, then the least bad of the unhealthy: the one with the
        fewest failures. An endpoint that asked to be left alone is, until its time has passed.
        """
        open_ones = [
            each
            for each in endpoints
            if each.takes(outbound) and each not in tried and not each.full and each.throttled_until_ns <= now_ns
        ]
        if not open_ones:
            return None
        candidates = best_of(open_ones, outbound.terms.preferred or self._region)
        if candidates[0].status is Status.UNHEALTHY:
            return min(candidates, key=lambda each: (each.failures, each.priority))
        try:
            chosen = self._selection.select(candidates, outbound)
            if chosen in candidates:
                return chosen
            raise LookupError("the selection chose none of its candidates")
        except Exception as error:
            self._errors.record("select", error)
            return PrioritySelection().select(candidates, outbound)


def seconds_until_any(endpoints: Iterable[PooledEndpoint], outbound: Outbound, now_ns: int, longest: float) -> float:
    """Seconds until the first endpoint may be asked again after all have failed, or have full hands.

    Args:
        longest: when there is none that takes the batch.
    """
    return min(
        (
            max(BUSY_PAUSE if each.full else 0, (each.retry_at_ns - now_ns) / 1e9)
            for each in endpoints
            if each.takes(outbound)
        ),
        default=longest,
    )
