"""A rate and a burst, decided by the generic cell rate algorithm in whole numbers.

The bucket remembers one number, the theoretical arrival time: the moment at which it would be full again. An item moves
it one emission interval into the future, and passes if it does not end up further ahead of now than a burst lasts. So
any interval of t seconds lets at most burst + rate * t items pass. Source: ITU-T I.371, annex A (virtual scheduling).
"""

from __future__ import annotations

import threading
from contextlib import suppress
from fractions import Fraction
from typing import Final

from otelwarden.core import Clock
from otelwarden.quota.config import SignalLimits

_NS: Final = 1_000_000_000
_FINEST: Final = 1_000_000
"""Rates are taken as the nearest fraction with a denominator up to this: 100/m is 5/3 a second, exactly."""


class GcraBucket:
    """The bucket of one tenant and signal; exact under threads.

    Time is counted in fractions of a nanosecond in which the interval between two items is a whole number, however odd
    the rate. A bucket without a limit is one whose items take no time.

    Args:
        limit: None for no limit.
        max_debt: items beyond the burst that `take(debt=True)` may overdraw.
        clock: only its monotonic time counts.
    """

    __slots__ = (
        "_acquire",
        "_burst",
        "_closed",
        "_cost",
        "_debt",
        "_full_at",
        "_lock",
        "_monotonic_ns",
        "_release",
        "_scale",
        "allowed",
        "limit",
        "over",
    )

    def __init__(self, limit: SignalLimits | None, *, max_debt: int, clock: Clock) -> None:
        self._monotonic_ns = clock.monotonic_ns
        self._use_new_lock()
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
        interval = _NS / (Fraction(limit.rate).limit_denominator(_FINEST) or Fraction(limit.rate))
        self._scale = interval.denominator
        self._cost = interval.numerator
        self._burst = limit.burst_items * self._cost
        self._debt = self._burst + max_debt * self._cost

    def take(self, items: int, debt: bool) -> bool | None:
        """Takes `items` if the limit allows it; None when the bucket was closed, so that another one must be asked.

        Args:
            debt: whether the items may overdraw.
        """
        # Not `with`, which takes 0.1 us more. A signal handler may raise at the end of any call, so the calls that can
        # leave the lock taken stand inside `try`; from reading `_full_at` to writing it there is none, so nothing,
        # not even a finalizer that ends a span, can slip in between.
        try:
            self._acquire()
            now = self._monotonic_ns() * self._scale
            full_at = self._full_at
            if full_at < now:
                full_at = now
            full_at += items * self._cost
            taken: bool | None = full_at - now <= (self._debt if debt else self._burst)
            if taken:
                self._full_at = full_at
                self.allowed += items
            elif self._closed:
                taken = None
            else:
                self.over += items
        except BaseException:
            self._release_if_held()
            raise
        self._release()
        return taken

    def _release_if_held(self) -> None:
        with suppress(RuntimeError):  # the handler raised while this thread was waiting for the lock
            self._release()

    def _use_new_lock(self) -> None:
        # Reentrant: the collector may run a finalizer that ends a span while this thread holds the lock.
        self._lock = threading.RLock()
        self._acquire = self._lock.acquire
        self._release = self._lock.release

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
                self._burst = self._debt = -1  # nothing passes, so `take` need not look whether it is closed
            return self._closed

    def restart_after_fork(self) -> None:
        """Keeps the level, since forking must not refill it, and counts from zero, since the parent has counted."""
        self._use_new_lock()
        self.allowed = 0
        self.over = 0
