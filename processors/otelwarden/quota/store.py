"""Where the buckets are kept."""

from __future__ import annotations

from typing import Protocol

from otelwarden.core import SYSTEM_CLOCK, Clock, Signal
from otelwarden.quota.config import SignalLimits
from otelwarden.quota.gcra import GcraBucket


class Bucket(Protocol):
    """The limit on one signal of one tenant, and what was taken of it. Safe to use from many threads."""

    limit: SignalLimits | None
    """The limit in force; None for none."""
    allowed: int
    """Items so far that were within the limit."""
    over: int
    """Items so far that were over the limit."""

    def take(self, items: int, debt: bool) -> bool | None:
        """Takes `items` if the limit allows it; never blocks on anything but other threads' calls.

        Args:
            debt: whether the items may overdraw up to the debt.

        Returns:
            None when the bucket was closed.
        """
        ...

    def level(self) -> float | None:
        """Items that may pass now, negative when overdrawn; None without a limit."""
        ...

    def change(self, limit: SignalLimits | None, max_debt: int) -> None:
        """Sets another limit, keeping what was taken."""
        ...

    def close_if_full(self) -> bool:
        """Closes the bucket if forgetting it would lose nothing; whether it is closed."""
        ...

    def restart_after_fork(self) -> None:
        """Makes the bucket usable in a forked child, with its counts at zero."""
        ...


class Store(Protocol):
    """Makes the buckets of a limiter. An extension point: a store may back them with a file or a server."""

    def bucket(self, tenant: str, signal: Signal, limit: SignalLimits | None, *, max_debt: int) -> Bucket:
        """The bucket of a tenant and signal, with what is known of it.

        Args:
            limit: None for no limit.
            max_debt: items that a taker may overdraw who asks for it.
        """
        ...


class MemoryStore:
    """Buckets in the memory of this process: each process has the whole limit for itself."""

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock

    def bucket(self, tenant: str, signal: Signal, limit: SignalLimits | None, *, max_debt: int) -> Bucket:
        """A full bucket."""
        return GcraBucket(limit, max_debt=max_debt, clock=self._clock)
