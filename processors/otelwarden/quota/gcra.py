"""A rate and a burst, decided by the generic cell rate algorithm in whole numbers.

The bucket remembers one number, the theoretical arrival time: the moment at which it would be full again. An item moves
it one emission interval into the future, and passes if it does not end up further ahead of now than a burst lasts. So
any interval of t seconds lets at most burst + rate * t items pass. Source: ITU-T I.371, annex A (virtual scheduling).
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from fractions import Fraction
from typing import Final

from otelwarden.core import Clock
from otelwarden.quota.meters import (
    CLOSED,
    ITEMS,
    RATE,
    BudgetLimit,
    Limit,
    LimitStatus,
    MeterKey,
    RateLimit,
    rate_status,
)

_NS: Final = 1_000_000_000
_FINEST: Final = 1_000_000
"""Rates are taken as the nearest fraction with a denominator up to this: 100/m is 5/3 a second, exactly."""


NO_KEY: Final = MeterKey("", "all", ITEMS, "rate")


class GcraMeter:
    """A rate in the memory of this process; exact under threads.

    Time is counted in fractions of a nanosecond in which the interval between two items is a whole number, however odd
    the rate. Without a limit, items take no time.

    It is a gate by itself as well, for the most common case of a rate of items and nothing else: it counts what passed,
    and can be closed.

    Args:
        limit: None for no limit.
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
        "bytes",
        "due",
        "key",
        "limit",
        "over",
    )

    def __init__(self, key: MeterKey, limit: RateLimit | None, *, clock: Clock) -> None:
        self.key = key
        self.due = 0
        self._monotonic_ns = clock.monotonic_ns
        self._use_new_lock()
        self._full_at = 0
        self._closed = False
        self.allowed = 0
        """Items that were within the limit."""
        self.over = 0
        """Items that were over the limit."""
        self.bytes = 0
        """Nothing is measured: no bytes are limited."""
        self._set(limit)
        self._full_at = self._monotonic_ns() * self._scale

    def _set(self, limit: RateLimit | None) -> None:
        self.limit = limit
        if limit is None:
            self._scale, self._cost, self._burst, self._debt = 1, 0, 0, 0
            return
        interval = _NS / (Fraction(limit.rate).limit_denominator(_FINEST) or Fraction(limit.rate))
        self._scale = interval.denominator
        self._cost = interval.numerator
        self._burst = limit.burst * self._cost
        self._debt = self._burst + limit.max_debt * self._cost

    def take(self, amount: int, debt: bool, size: int = 0) -> str | None:
        """Takes an amount if the limit allows it.

        Args:
            amount: items or bytes.
            debt: whether it may overdraw.
            size: as a gate is told; of no concern here.

        Returns:
            None when it was taken, else `rate`, or `closed`.
        """
        refusal: str | None = None
        # Not `with`, which takes 0.1 us more. A signal handler may raise at the end of any call, so the calls that can
        # leave the lock taken stand inside `try`; from reading `_full_at` to writing it there is none, so nothing,
        # not even a finalizer that ends a span, can slip in between.
        try:
            self._acquire()
            now = self._monotonic_ns() * self._scale
            full_at = self._full_at
            if full_at < now:
                full_at = now
            full_at += amount * self._cost
            if full_at - now <= (self._debt if debt else self._burst):
                self._full_at = full_at
                self.allowed += amount
            elif self._closed:
                refusal = CLOSED
            else:
                self.over += amount
                refusal = RATE
        except BaseException:
            self._release_if_held()
            raise
        self._release()
        return refusal

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

    def give_back(self, amount: int) -> None:
        """Undoes a `take`."""
        with self._lock:
            self._full_at -= amount * self._cost
            self.allowed -= amount

    def change(self, limit: Limit | None) -> None:
        """Sets another limit. What was taken stays taken, but at most a burst of the new limit."""
        if isinstance(limit, BudgetLimit):
            raise TypeError("a rate cannot become a budget")
        with self._lock:
            now = self._monotonic_ns()
            taken = Fraction(max(0, self._full_at - now * self._scale), self._cost or 1)
            self._set(limit)
            # Rounded up: a change never gives away the fraction of an item.
            self._full_at = now * self._scale + min(-(-taken.numerator * self._cost // taken.denominator), self._burst)

    def idle(self) -> bool:
        """Whether the bucket is full: then it knows no more than a new one would."""
        return self._full_at <= self._monotonic_ns() * self._scale

    def close_if_idle(self) -> bool:
        """Closes the meter for good if it is idle; whether it is closed."""
        with self._lock:
            if self.idle():
                self._closed = True
                self._burst = self._debt = -1  # nothing passes, so `take` need not look whether it is closed
            return self._closed

    @property
    def closed(self) -> bool:
        """Whether it was closed as a gate."""
        return self._closed

    def retire(self) -> tuple[int, int]:
        """Ends its time as a gate; as a meter it goes on. What it counted so far."""
        with self._lock:
            if self._cost == 0:
                self._closed = True
                self._burst = self._debt = -1
            return self.allowed, self.over

    def close(self) -> None:
        """Holds nothing that would have to be given back."""

    def share(self) -> float:
        """The whole limit is this process's."""
        return 1.0

    def left(self) -> float:
        """A rate never ends."""
        return math.inf

    def refuse_ahead(self) -> None:
        """Of no concern for a rate."""

    def status(self) -> LimitStatus:
        """The limit and what is left of it; not to be asked without a limit."""
        level = self.level()
        if self.limit is None or level is None:
            raise ValueError("a meter without a limit has no status")
        return rate_status(self.key, self.limit, level)

    def restart_after_fork(self) -> None:
        """Keeps the level, since forking must not refill it, and counts from zero, since the parent has counted."""
        self._use_new_lock()
        self.allowed = 0
        self.over = 0
