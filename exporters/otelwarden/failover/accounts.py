"""Whose items were received, delivered or lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from otelwarden.core import Runtime, Signal
from otelwarden.failover.batch import Lost


class Accounts:
    """The ledger of one exporter; says what was lost as an event too."""

    def __init__(self, signal: Signal, runtime: Runtime, held: Callable[[], Mapping[str, int]]) -> None:
        self._signal = signal
        self._runtime = runtime
        self._ledger = runtime.ledger("failover", signal, held=held)

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
