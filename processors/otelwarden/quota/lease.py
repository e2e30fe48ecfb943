"""A limit that is shared with other processes: what this one holds ready of it, and what holds without an answer.

The store grants tokens to a process before it spends them. So whatever happens to the process, no more is ever spent
than the limit allows; at worst what it held ready is lost.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from typing import Final

from otelwarden.core import Clock
from otelwarden.quota.meters import (
    BUDGET,
    RATE,
    STORE_DOWN,
    WARNINGS,
    BudgetLimit,
    Limit,
    LimitStatus,
    MeterKey,
    RateLimit,
    budget_status,
    rate_status,
)
from otelwarden.quota.periods import bounds
from otelwarden.quota.storeconfig import Fallback

NS: Final = 1_000_000_000


class FairShare:
    """What one of several equal processes may spend without an answer from the store, by elapsed time.

    Of a rate, the process has its part of the rate and of the burst; of a budget, its part of what was left at the last
    answer, spread evenly over what was left of the period. So all processes together stay within the limit, if all hear
    nothing and know how many they are.
    """

    __slots__ = ("_at", "_level", "_per_ns", "most")

    def __init__(self) -> None:
        self._at = 0
        self._level = 0.0
        self._per_ns = 0.0
        self.most = 0.0
        """The most that may come at once."""

    def renew(self, now: int, per_second: float, most: float, level: float) -> None:
        """Begins to count anew.

        Args:
            now: monotonic nanoseconds.
            per_second: tokens.
            most: tokens at once.
            level: tokens to begin with.
        """
        self._at, self._per_ns, self.most, self._level = now, per_second / NS, most, level

    def take(self, now: int, amount: int) -> bool:
        """Takes an amount if the share has it."""
        if now > self._at:
            self._level = min(max(self.most, amount), self._level + (now - self._at) * self._per_ns)
            self._at = now
        if self._level < amount:
            return False
        self._level -= amount
        return True


class LeasedMeter(ABC):
    """A meter that spends what its store has granted; what stores do differently is in `more`.

    `held` below zero is what was spent without a grant, to be charged with the next answer.

    Args:
        clock: wall time for budgets, monotonic time for the rest.
        fallback: what holds while the store cannot be asked.
    """

    __slots__ = (
        "_acquire",
        "_lock",
        "_release",
        "asked",
        "clock",
        "due",
        "fair",
        "fallback",
        "held",
        "key",
        "largest",
        "limit",
        "processes",
        "since",
        "told",
        "until",
        "used",
    )

    def __init__(self, key: MeterKey, limit: Limit, *, clock: Clock, fallback: Fallback) -> None:
        self.key = key
        self.limit = limit
        self.clock = clock
        self.fallback = fallback
        self.due = 0
        self.told = 0
        """Percent of the budget that was warned of in this period."""
        self.held = 0
        """Tokens that may be spent without asking."""
        self.asked = 0
        """Tokens that were asked for since the last answer."""
        self.largest = 1
        """The most that was asked for at once."""
        self.used = 0.0
        """Tokens that all processes used or hold, by the last answer; of a rate, what is missing to a full burst."""
        self.processes = 1
        """Processes that share the limit, by the last answer."""
        self.since = self.until = 0
        """The period of a budget that `used` and `held` are of, in seconds since the Unix epoch."""
        self.fair = FairShare()
        self.use_new_lock()
        self.enter_period(clock.time_ns() // NS)
        self.begin_fallback(clock.monotonic_ns(), 0.0)

    def use_new_lock(self) -> None:
        """Makes the lock usable in a forked child."""
        # Reentrant: the collector may run a finalizer that ends a span while this thread holds the lock.
        self._lock = threading.RLock()
        self._acquire = self._lock.acquire
        self._release = self._lock.release

    @property
    def lock(self) -> threading.RLock:
        """Guards all fields."""
        return self._lock

    def take(self, amount: int, debt: bool, size: int = 0) -> str | None:
        """See `Meter`."""
        self._acquire()
        try:
            self.asked += amount
            held = self.held - amount
            if held >= 0 and not self.stale():
                self.held = held
                return None
            if amount > self.largest:
                self.largest = amount
            return self.more(amount, debt)
        finally:
            self._release()

    @abstractmethod
    def stale(self) -> bool:
        """Whether what is held may not be spent any more; called with the lock held."""

    @abstractmethod
    def more(self, amount: int, debt: bool) -> str | None:
        """Takes an amount beyond what is held, or says why not; called with the lock held."""

    def without_an_answer(self, amount: int) -> str | None:
        """Takes an amount while the store cannot be asked, as the fallback says; called with the lock held."""
        if self.fallback == "open" or (self.fallback == "fair" and self.fair.take(self.clock.monotonic_ns(), amount)):
            self.held -= amount
            return None
        return STORE_DOWN

    def begin_fallback(self, now: int, level: float) -> None:
        """Sets the fair share by what is known now, with `level` tokens of it at hand."""
        limit, processes = self.limit, max(1, self.processes)
        if isinstance(limit, RateLimit):
            most = max(1.0, limit.burst / processes)
            self.fair.renew(now, limit.rate / processes, most, min(level, most))
            return
        left = max(0.0, limit.amount - self.used) / processes
        seconds = max(1.0, self.until - self.clock.time_ns() / NS)
        self.fair.renew(now, left / seconds, left, level)

    def enter_period(self, now: int) -> bool:
        """Finds the period of a budget at a moment, seconds since the Unix epoch; whether it is another one."""
        if not isinstance(self.limit, BudgetLimit) or self.since <= now < self.until:
            return False
        self.since, self.until = bounds(self.limit.period, self.limit.zone, now)
        self.held, self.used, self.told = 0, 0.0, 0
        return True

    def refusal(self) -> str:
        """Why nothing more passes."""
        return BUDGET if isinstance(self.limit, BudgetLimit) else RATE

    def give_back(self, amount: int) -> None:
        """See `Meter`."""
        with self._lock:
            self.held += amount
            self.asked -= amount

    def left(self) -> float:
        """See `Meter`: what nobody used or holds, and what this process holds."""
        if not isinstance(self.limit, BudgetLimit):
            return math.inf
        with self._lock:
            return max(0, self.status().remaining) + max(0, self.held)

    def refuse_ahead(self) -> None:
        """See `Meter`."""
        with self._lock:
            if isinstance(self.limit, BudgetLimit) and self.told < WARNINGS[-1]:
                self.told = self.due = WARNINGS[-1]

    def status(self) -> LimitStatus:
        """See `Meter`."""
        with self._lock:
            limit = self.limit
            if isinstance(limit, RateLimit):
                return rate_status(self.key, limit, limit.burst - self.used)
            now = self.clock.time_ns() / NS
            if not self.since <= now < self.until:
                since, until = bounds(limit.period, limit.zone, int(now))
                return budget_status(self.key, limit, 0, since, until, now)
            return budget_status(self.key, limit, round(self.used), self.since, self.until, now)
