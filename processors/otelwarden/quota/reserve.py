"""Traces over a rate wait here for their end: those with an error are kept, as far as the reserve goes.

Bounded by spans, bytes and seconds whatever comes: traces that never end, or have no end of spans. When there is no
room, the tenant that holds most has its longest known trace decided at once by what is known of it. Knows tenants and
traces, nothing of OpenTelemetry.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from otelwarden.core import Clock
from otelwarden.quota.reserveconfig import ReserveConfig

_NS: Final = 1_000_000_000


class HeldItem(NamedTuple):
    """A finished span that waits."""

    item: Any
    tenant: str
    """Whose span it is."""
    size: int
    """Bytes."""


class HeldTrace:
    """A trace that is recorded without being sampled. Rides on its verdict, so all its spans find it.

    Attributes:
        tenant: of its first span; the reserve is that tenant's.
        kept: what was decided; None as long as it waits.
    """

    __slots__ = ("failed", "items", "kept", "since_ns", "size", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.since_ns = 0
        self.kept: bool | None = None
        self.failed = False
        self.items: list[HeldItem] = []
        self.size = 0


class Decided(NamedTuple):
    """Spans about which was decided, all of one trace."""

    kept: bool
    items: list[HeldItem]


class ErrorReserve:
    """The memory of the traces that wait; safe to use from many threads.

    Args:
        take: takes so many spans of a tenant's reserve if it has them.
    """

    def __init__(self, config: ReserveConfig, take: Callable[[str, int], bool], *, clock: Clock) -> None:
        self._config = config
        self._take = take
        self._monotonic_ns = clock.monotonic_ns
        self._max_age_ns = int(config.max_age * _NS)
        self._waiting: OrderedDict[HeldTrace, None] = OrderedDict()
        self.restart_after_fork()

    def restart_after_fork(self) -> None:
        """Holds nothing: what was held is the parent's."""
        self._lock = threading.RLock()
        for trace in self._waiting:
            trace.items, trace.size = [], 0
        self._waiting = OrderedDict()
        self._by_tenant: dict[str, OrderedDict[HeldTrace, None]] = {}
        self._weights: dict[str, int] = {}
        self._spans = self._bytes = 0

    def hold(self, trace: HeldTrace, held: HeldItem, *, failed: bool, last: bool) -> list[Decided]:
        """Takes a span in.

        Args:
            failed: whether the span has an error.
            last: whether it is the first span of the trace, which ends last.

        Returns:
            Everything that is decided by now: often nothing.
        """
        now = self._monotonic_ns()
        with self._lock:
            if trace.kept is not None:
                # What comes late follows, as far as there is enough left for it.
                return [Decided(trace.kept and self._take(trace.tenant, 1), [held])]
            trace.failed |= failed
            self._add(trace, held, now)
            decided = [self._decide(trace)] if last else []
            while self._spans > self._config.max_spans or self._bytes > self._config.max_bytes:
                decided.append(self._decide(self._longest_of_the_largest()))
            decided += self._expired(now)
        return decided

    def expire(self) -> list[Decided]:
        """Decides about the traces that have waited for too long."""
        with self._lock:
            return self._expired(self._monotonic_ns())

    def failed_so_far(self) -> list[Decided]:
        """Decides about the traces that have an error already."""
        with self._lock:
            return [self._decide(trace) for trace in list(self._waiting) if trace.failed]

    def everything(self) -> list[Decided]:
        """Decides about all traces, by what is known of them."""
        with self._lock:
            return [self._decide(trace) for trace in list(self._waiting)]

    def held(self) -> dict[str, int]:
        """Spans that wait, by tenant."""
        return self._sum(lambda each: 1)

    def held_bytes(self) -> dict[str, int]:
        """Their bytes, by tenant."""
        return self._sum(lambda each: each.size)

    def _sum(self, of: Callable[[HeldItem], int]) -> dict[str, int]:
        found: dict[str, int] = {}
        with self._lock:
            for trace in list(self._waiting):
                for each in trace.items:
                    found[each.tenant] = found.get(each.tenant, 0) + of(each)
        return found

    # --- under the lock

    def _weight(self, spans: int, size: int) -> int:
        """What spans take of the room, in which spans and bytes are equally scarce."""
        return spans * self._config.max_bytes + size * self._config.max_spans

    def _add(self, trace: HeldTrace, held: HeldItem, now: int) -> None:
        if not trace.items:
            trace.since_ns = now
            self._waiting[trace] = None
            self._by_tenant.setdefault(trace.tenant, OrderedDict())[trace] = None
        trace.items.append(held)
        trace.size += held.size
        self._spans += 1
        self._bytes += held.size
        self._weights[trace.tenant] = self._weights.get(trace.tenant, 0) + self._weight(1, held.size)

    def _longest_of_the_largest(self) -> HeldTrace:
        tenant = max(self._weights, key=self._weights.__getitem__)
        return next(iter(self._by_tenant[tenant]))

    def _expired(self, now: int) -> list[Decided]:
        found = []
        while self._waiting:
            oldest = next(iter(self._waiting))
            if now - oldest.since_ns < self._max_age_ns:
                break
            found.append(self._decide(oldest))
        return found

    def _decide(self, trace: HeldTrace) -> Decided:
        del self._waiting[trace]
        traces = self._by_tenant[trace.tenant]
        del traces[trace]
        self._spans -= len(trace.items)
        self._bytes -= trace.size
        self._weights[trace.tenant] -= self._weight(len(trace.items), trace.size)
        if not traces:
            del self._by_tenant[trace.tenant], self._weights[trace.tenant]
        trace.kept = trace.failed and self._take(trace.tenant, len(trace.items))
        items, trace.items = trace.items, []
        return Decided(trace.kept, items)
