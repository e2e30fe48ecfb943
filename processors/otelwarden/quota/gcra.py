"""A rate and a burst, decided by the generic cell rate algorithm in whole numbers.

The bucket remembers one number, the theoretical arrival time: the moment at which it would be full again. An item moves
it one emission interval into the future, and passes if it does not end up further ahead of now than a burst lasts. So
any interval of t seconds lets at most burst + rate * t items pass. Source: ITU-T I.371, annex A (virtual scheduling).
"""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Final

from otelwarden.core import Clock
from otelwarden.quota.config import SignalLimits

_NS: Final = 1_000_000_000
_FINEST: Final = 1_000_000
"""Rates are taken as the nearest fraction with a denominator up to this: 100/m is 5/3 a second, exactly."""


class GcraBucket:
    """The bucket of one tenant and signal; exact under threads.

    Time is counted in units of 1 / numerator ns, in which the interval between two items is a whole number, however
    odd the rate. A bucket without a limit is one whose items take no time.

    Args:
        limit: None for no limit.
        max_debt: items beyond the burst that `take(debt=True)` may overdraw.
        clock: only its monotonic time counts.
    """

    __slots__ = (
        "_burst",
        "_closed",
        "_cost",
        "_debt",
        "_full_at",
        "_lock",
        "_monotonic_ns",
        "_scale",
        "allowed",
        "limit",
        "over",
    )

    def __init__(self, limit: SignalLimits | None, *, max_debt: int, clock: Clock) -> None:
        self._monotonic_ns = clock.monotonic_ns
        # Reentrant: the collector may run a finalizer that ends a span while this thread holds the lock.
        self._lock = threading.RLock()
        self._full_at = 0
        self._closed = False
        self.allowed = 0
        """Items that were within the limit."""
        self.over = 0
        """Items that were over the limit."""
        self._set(limit, max_debt)
        self._full_at = self._monotonic_ns() * self._scale

    def _set(self, limit: SignalLimits | None, max_debt: int) -> None:
        self.limit = limit
        if limit is None:
            self._scale, self._cost, self._burst, self._debt = 1, 0, 0, 0
            return
        rate = Fraction(limit.rate).limit_denominator(_FINEST) or Fraction(limit.rate)
        self._scale = rate.numerator
        self._cost = rate.denominator * _NS
        self._burst = limit.burst_items * self._cost
        self._debt = self._burst + max_debt * self._cost

    def take(self, items: int, debt: bool) -> bool | None:
        """Takes `items` if the limit allows it; None when the bucket was closed, so that another one must be asked.

        Args:
            debt: whether the items may overdraw.
        """
        with self._lock:
            # Calls first: from reading `_full_at` to writing it nothing may run that a finalizer could slip into.
            now = self._monotonic_ns() * self._scale
            full_at = self._full_at
            if full_at < now:
                full_at = now
            full_at += items * self._cost
            if self._closed:
                return None
            if full_at - now > (self._debt if debt else self._burst):
                self.over += items
                return False
            self._full_at = full_at
            self.allowed += items
            return True

    def level(self) -> float | None:
        """Items that may pass now, negative when overdrawn; None without a limit."""
        with self._lock:
            if self._cost == 0:
                return None
            now = self._monotonic_ns() * self._scale
            return (self._burst - max(0, self._full_at - now)) / self._cost

    def change(self, limit: SignalLimits | None, max_debt: int) -> None:
        """Sets another limit. What was taken stays taken, but at most a burst of the new limit."""
        with self._lock:
            now = self._monotonic_ns()
            taken = Fraction(max(0, self._full_at - now * self._scale), self._cost or 1)
            self._set(limit, max_debt)
            # Rounded up: a change never gives away the fraction of an item.
            self._full_at = now * self._scale + min(-(-taken.numerator * self._cost // taken.denominator), self._burst)

    def close_if_full(self) -> bool:
        """Closes the bucket for good if it is full: then it knows no more than a new one would."""
        with self._lock:
            if self._full_at <= self._monotonic_ns() * self._scale:
                self._closed = True
            return self._closed

    def restart_after_fork(self) -> None:
        """Keeps the level, since forking must not refill it, and counts from zero, since the parent has counted."""
        self._lock = threading.RLock()
        self.allowed = 0
        self.over = 0
