"""A budget for each hour, day, week or month, in the memory of this process."""

from __future__ import annotations

import threading

from otelwarden.core import Clock
from otelwarden.quota.meters import BUDGET, WARNINGS, BudgetLimit, Limit, LimitStatus, MeterKey, budget_status
from otelwarden.quota.periods import bounds


def warning_due(before: float, after: float, amount: int) -> int:
    """The highest of the warnings that lie in (before, after] of a budget of `amount`, in percent; 0 for none."""
    return next((level for level in reversed(WARNINGS) if before < amount * level / 100 <= after), 0)


class BudgetMeter:
    """Counts what was taken in each period; exact under threads.

    The count of the period before is kept: a wall clock that is set back over the edge of a period finds its count
    again, and one that jumps forth and back gives no budget twice.

    Args:
        clock: only its wall time counts.
    """

    __slots__ = ("_before", "_lock", "_since", "_time_ns", "_told", "_until", "_used", "due", "key", "limit")

    def __init__(self, key: MeterKey, limit: BudgetLimit, *, clock: Clock) -> None:
        self.key = key
        self.limit = limit
        self.due = 0
        self._time_ns = clock.time_ns
        self._lock = threading.RLock()
        self._before: dict[int, int] = {}
        self._since = self._until = self._used = self._told = 0

    def _enter(self, now: int) -> None:
        """Finds the period of `now`, seconds since the Unix epoch."""
        since, until = bounds(self.limit.period, self.limit.zone, now)
        if since != self._since:
            kept = {self._since: self._used} if self._used else {}
            self._used = self._before.get(since, 0)
            # Back in an earlier period, the later one is kept too: the clock will come there again.
            self._before = kept
            self._told = warning_due(0, self._used, self.limit.amount)
        self._since, self._until = since, until

    def take(self, amount: int, debt: bool, /) -> str | None:
        """Takes an amount if the budget has it; a budget knows no debt."""
        with self._lock:
            now = self._time_ns() // 1_000_000_000
            if not self._since <= now < self._until:
                self._enter(now)
            used = self._used + amount
            limit = self.limit
            if used > limit.amount and not limit.soft:
                self._warn(limit.amount)
                return BUDGET
            self._warn(used)
            self._used = used
        return None

    def _warn(self, used: int) -> None:
        # Most takes end here, far below the first warning.
        if used * 100 >= self.limit.amount * WARNINGS[0] and self._told < WARNINGS[-1]:
            level = warning_due(0, used, self.limit.amount)
            if level > self._told:
                self._told = self.due = level

    def give_back(self, amount: int) -> None:
        """Undoes a `take`."""
        with self._lock:
            self._used = max(0, self._used - amount)

    def change(self, limit: Limit) -> None:
        """Sets another amount or time zone; what was taken in the period that contains now stays taken."""
        if not isinstance(limit, BudgetLimit):
            raise TypeError("a budget cannot become a rate")
        with self._lock:
            now = self._time_ns() // 1_000_000_000
            if not self._since <= now < self._until:
                self._enter(now)
            self.limit = limit
            self._since, self._until = bounds(limit.period, limit.zone, now)

    def idle(self) -> bool:
        """Whether nothing was taken in this period."""
        with self._lock:
            now = self._time_ns() // 1_000_000_000
            return self._used == 0 or not self._since <= now < self._until

    def status(self) -> LimitStatus:
        """The budget and what is left of it."""
        with self._lock:
            now = self._time_ns()
            if not self._since <= now // 1_000_000_000 < self._until:
                self._enter(now // 1_000_000_000)
            return budget_status(self.key, self.limit, self._used, self._since, self._until, now / 1e9)

    def share(self) -> float:
        """The whole budget is this process's."""
        return 1.0

    def left(self) -> float:
        """What remains of this period."""
        return self.status().remaining

    def refuse_ahead(self) -> None:
        """Warns as a refusal does."""
        with self._lock:
            self._warn(self.limit.amount)

    def close(self) -> None:
        """Holds nothing that would have to be given back."""

    def restart_after_fork(self) -> None:
        """Keeps the count: forking must not renew a budget."""
        self._lock = threading.RLock()
