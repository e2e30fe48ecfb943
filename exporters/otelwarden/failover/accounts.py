"""Whose items were received, delivered or lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from otelwarden.core import Deadline, Runtime, Signal, run_in_child_after_fork
from otelwarden.failover.batch import Lost


class Accounts:
    """The ledger of one exporter; says what was lost as an event too."""

    def __init__(self, signal: Signal, runtime: Runtime, held: Callable[[], Mapping[str, int]]) -> None:
        self._signal = signal
        self._runtime = runtime
        self._ledger = runtime.ledger("failover", signal, held=held)
        self._start_over()
        run_in_child_after_fork(self._start_over)

    def _start_over(self) -> None:
        self._changed = threading.Condition()
        self._open: set[object] = set()

    @contextmanager
    def entry(self) -> Iterator[None]:
        """Around letting go of a batch and accounting for it: between the two nobody has it, nor knows of its end."""
        ticket = object()
        with self._changed:
            self._open.add(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._open.discard(ticket)
                self._changed.notify_all()

    def settle_up(self, deadline: Deadline) -> bool:
        """Waits until every entry that is open now is made; whether that was in time."""
        with self._changed:
            waited_for = set(self._open)
            return self._changed.wait_for(lambda: not waited_for & self._open, deadline.remaining)

    def received(self, tenants: Mapping[str, int]) -> None:
        """Items came in."""
        for tenant, count in tenants.items():
            self._ledger.account(tenant).received.add(count)

    def delivered(self, tenants: Mapping[str, int], rejected: int) -> None:
        """An endpoint took a batch, without `rejected` of its items."""
        lost = shares(rejected, tenants)
        for tenant, count in tenants.items():
            self._ledger.account(tenant).forwarded.add(count - lost.get(tenant, 0))
        self.dropped(lost, "rejected")

    def dropped(self, tenants: Mapping[str, int], reason: str) -> None:
        """Items are lost."""
        for tenant, count in tenants.items():
            self._ledger.account(tenant).dropped(reason).add(count)
            self._runtime.emit("failover", "drop", reason, tenant=tenant, signal=self._signal, count=count)

    def lost(self, batches: Iterable[Lost]) -> None:
        """Batches had to go."""
        for batch, reason in batches:
            self.dropped(batch.tenants, reason)


def shares(total: int, tenants: Mapping[str, int]) -> dict[str, int]:
    """Divides rejected items among the tenants of a batch in proportion to what they have in it.

    Which items an endpoint rejected it does not say. The shares are exact for a batch of one tenant, add up to `total`
    for any (largest remainders), and no tenant has more than it sent.
    """
    items = sum(tenants.values())
    total = min(total, items)
    if total <= 0:
        return {}
    lost = {tenant: total * count // items for tenant, count in tenants.items()}
    by_remainder = sorted(tenants, key=lambda tenant: -(total * tenants[tenant] % items))
    for tenant in by_remainder[: total - sum(lost.values())]:
        lost[tenant] += 1
    return {tenant: count for tenant, count in lost.items() if count}
