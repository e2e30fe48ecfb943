"""One limit that a fleet shares through Redis: what a process asks the server for, and what it does with the answer."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, Protocol

from otelwarden.core import Clock
from otelwarden.quota.budget import warning_due
from otelwarden.quota.lease import NS, LeasedMeter
from otelwarden.quota.meters import BYTES, BudgetLimit, Limit, MeterKey, RateLimit
from otelwarden.quota.redislink import NonsenseError
from otelwarden.quota.storeconfig import Fallback

LIFE: Final = 4.0
"""Seconds after which a process that is not heard of is taken for dead."""
_VALID_NS: Final = 3 * NS
"""After this a lease of a rate is not spent any more: the server may give it to another."""
_DORMANT_NS: Final = 2 * NS
_REFRESH_NS: Final = NS // 2
_BUDGET_SHARE: Final = 0.01
_BUDGET_AHEAD: Final = 0.25
_LEAST_ITEMS: Final = 10
_MARGIN: Final = 0.01
_MEMORY: Final = 0.2
_FIRST_BYTES: Final = 64 << 10
_KEPT_MS: Final = 86_400_000


class Waker(Protocol):
    """What a meter needs to know of its store."""

    down: bool
    """Whether the last call failed."""
    pace: float
    """Seconds between two calls, as they truly come."""
    processes: int
    """Processes that share the store, as far as known."""

    def wake(self) -> None:
        """Asks for a call soon; never blocks."""
        ...

    def retire(self, meter: RedisMeter, /) -> None:
        """Has what a meter holds given back, and forgets it."""
        ...


class Request(NamedTuple):
    """What the script is asked about one limit."""

    key: str
    arguments: tuple[str | int | float, ...]
    wanted: int
    charged: int
    """Tokens that were spent without a grant, or are given back when below zero."""
    moment: int
    """Monotonic nanoseconds."""
    period: int
    """Begin of the period of a budget."""


class RedisMeter(LeasedMeter):
    """One limit of a fleet.

    A process that was not heard of yet, or was idle, begins on credit: with its part of the burst of a rate, or with
    one item of a budget. What it spends so is charged with the first answer.
    """

    __slots__ = ("_answered", "_demand", "_known", "_moment", "_rate_share", "_spare", "_store", "_touched", "broken")

    def __init__(self, store: Waker, key: MeterKey, limit: Limit, *, clock: Clock, fallback: Fallback) -> None:
        self._store = store
        self._known = False
        self._answered = False
        self._spare = 0.0
        super().__init__(key, limit, clock=clock, fallback=fallback)
        self.broken = False
        """Whether the server has something else under this key."""
        self._demand = 0.0
        self._rate_share = 1.0
        self._moment = self._touched = clock.monotonic_ns()
        self._begin_on_credit(self._moment)

    def _begin_on_credit(self, now: int) -> None:
        self._answered = False
        self._spare = 0.0
        self.processes = max(self.processes, self._store.processes)
        if isinstance(self.limit, RateLimit):
            level = math.inf
        else:
            level = float(min(_FIRST_BYTES, self.limit.amount // 1000) if self.key.unit == BYTES else 1)
        self.begin_fallback(now, level)

    # --- in the application's thread

    def stale(self) -> bool:
        """A lease of a rate ages; one of a budget ends with its period."""
        if isinstance(self.limit, RateLimit):
            return self.clock.monotonic_ns() - self._moment > _VALID_NS
        return not self.since <= self.clock.time_ns() // NS < self.until

    def more(self, amount: int, debt: bool) -> str | None:
        """Takes beyond what is held where that is allowed, and has the store asked for more."""
        self._store.wake()
        limit = self.limit
        if self.stale():
            if isinstance(limit, RateLimit):
                # The server counts it to what others may have. While it is away the fair share goes on as it was.
                self.held = min(self.held, 0)
                if not self._store.down and self._answered:
                    self._begin_on_credit(self.clock.monotonic_ns())
            elif self.enter_period(self.clock.time_ns() // NS):
                self._begin_on_credit(self.clock.monotonic_ns())
        if isinstance(limit, BudgetLimit) and limit.soft:
            self.held -= amount
            return None
        if isinstance(limit, RateLimit):
            allowed = self._spare + (limit.max_debt / self.processes if debt else 0)
            if self._answered and not self._store.down and self.held - amount >= -allowed:
                self.held -= amount
                return None
        if self._store.down or self.broken:
            held = self.held
            refused = self.without_an_answer(amount)
            if self._known and isinstance(limit, RateLimit):
                self.held = held  # the time without an answer has paid for it: nobody else was granted these tokens
            return refused
        if not self._answered:
            return self.without_an_answer(amount)
        return self.refusal()

    # --- in the store's thread

    def request(self, now: int, *, last: bool = False) -> Request | None:
        """What to ask the server for now; None for nothing.

        Args:
            last: whether everything is to be given back.
        """
        with self.lock:
            limit = self.limit
            if isinstance(limit, RateLimit):
                return self._rate_request(limit, now, last)
            return self._budget_request(limit, now, last)

    def _measure(self, now: int) -> float:
        """Tokens asked for a second, by now."""
        elapsed = max(now - self._moment, 1_000_000) / NS
        current = self.asked / elapsed
        weight = -math.expm1(-elapsed / _MEMORY)
        # Up at once, down slowly: too little held is refused, too much is only given back.
        return max(current if self._answered else 0.0, self._demand + (current - self._demand) * weight)

    def _rate_request(self, limit: RateLimit, now: int, last: bool) -> Request | None:
        if self.asked:
            self._touched = now
        idle = now - self._touched > _DORMANT_NS and self.fallback != "closed"  # which knows no credit
        if idle and not self.held and not last:
            if self._answered:
                self._begin_on_credit(now)
            return None
        demand = 0.0 if last or idle else self._measure(now)
        ahead = 2 * self._store.pace + _MARGIN
        # Before the first answer nobody knows how many share the burst: the first two would take all of it.
        ready = limit.burst // (4 * self.processes) if self._known else 0
        wanted = max(1, math.ceil(demand * ahead), ready, self.largest)
        wanted = 0 if last or idle else min(wanted, limit.burst)
        settled = wanted <= self.held * 2 <= 4 * wanted and now - self._moment < _REFRESH_NS and self._answered
        if (settled and not last and not idle) or (last and not self.held and not self._known):
            return None
        self._demand = demand
        held = min(max(self.held, 0), wanted)
        released, spent = max(0, self.held - held), max(0, -self.held)
        self.held = min(self.held, held)
        more = max(0, wanted - held)
        arguments = (
            "r", limit.rate, limit.burst, spent, released, more, held, round(demand, 3), int(not self._known),
            limit.max_debt,
        )  # fmt: skip
        return self._asking(str(self.key), arguments, more, spent - released, now)

    def _budget_request(self, limit: BudgetLimit, now: int, last: bool) -> Request | None:
        if self.enter_period(self.clock.time_ns() // NS):
            self._begin_on_credit(now)
        if not self.asked and self.held >= 0 and not last:
            return None
        demand = self._measure(now)
        self._demand = demand
        most = max(_LEAST_ITEMS * self.largest, int(limit.amount * _BUDGET_SHARE / self.processes))
        wanted = min(most, max(_LEAST_ITEMS * self.largest, math.ceil(demand * _BUDGET_AHEAD)))
        wanted = 0 if last or limit.soft else wanted
        held = min(max(self.held, 0), wanted)
        released, spent = max(0, self.held - held), max(0, -self.held)
        if self._answered and held > wanted // 2 and not spent and not last and now - self._moment < 10 * NS:
            return None
        self.held = min(self.held, held)
        more = max(0, wanted - held)
        arguments = (
            "b", limit.amount, spent, released, more, held, min(self.largest, limit.amount), int(self.used),
            self.until * 1000 + _KEPT_MS, 0,
        )  # fmt: skip
        return self._asking(f"{self.key}@{self.since}", arguments, more, spent - released, now)

    def _asking(self, key: str, arguments: tuple[Any, ...], wanted: int, charged: int, now: int) -> Request:
        self.asked = 0
        self._moment = now
        return Request(key, arguments, wanted, charged, now, self.since)

    def answer(self, request: Request, answer: Any) -> None:
        """Takes over what the server granted.

        Raises:
            NonsenseError: it is no answer to this request; the fallback holds for this limit.
        """
        try:
            granted, level, share, processes, before = answer
            share = float(share)
            ok = all(isinstance(each, int) for each in (granted, level, processes, before))
            if not (ok and 0 <= granted <= request.wanted and processes >= 1 and math.isfinite(share) and share >= 0):
                raise ValueError
        except (TypeError, ValueError):
            self.mark_broken()
            raise NonsenseError("not an answer to this request") from None
        with self.lock:
            self.broken = False
            if request.period != self.since:
                return  # a lease of a period that is over
            self.held += granted + max(0, request.charged)
            self.processes = processes
            self._answered = self._known = True
            limit = self.limit
            if isinstance(limit, RateLimit):
                self.used = float(limit.burst - level)
                # What the server had to spare, a process may overdraw: half of it, if all do so at once.
                self._spare = max(0.0, level / (2 * processes))
                self._rate_share = min(1.0, max(share / limit.rate, 1e-6))
                self.begin_fallback(request.moment, 0.0)
            else:
                self.used = float(level)
                self._warn(limit, before, level, granted)
                self.begin_fallback(request.moment, 0.0)

    def _warn(self, limit: BudgetLimit, before: int, used: int, granted: int) -> None:
        reached = warning_due(0, used, limit.amount)
        if reached > max(self.told, warning_due(0, before, limit.amount)):
            self.due = reached
        self.told = max(self.told, reached)

    def mark_broken(self) -> None:
        """There is no use in asking for this limit: the server has something else under the key, or talks nonsense."""
        with self.lock:
            self.broken = True

    # --- as a meter

    def change(self, limit: Limit) -> None:
        """See `Meter`."""
        with self.lock:
            if isinstance(limit, BudgetLimit) and (limit.period, limit.zone) != self._edges():
                # Another key at the server: what was used of this period so far goes along.
                used, held = self.used, max(0, self.held)
                self.limit = limit
                self.since = self.until = 0
                self.enter_period(self.clock.time_ns() // NS)
                self.used = max(0.0, used - held)
                self._answered = False
            self.limit = limit
        self._store.wake()

    def _edges(self) -> tuple[Any, Any]:
        limit = self.limit
        return (limit.period, limit.zone) if isinstance(limit, BudgetLimit) else (None, None)

    def close(self) -> None:
        """See `Meter`: the store gives back what is held."""
        self._store.retire(self)

    def idle(self) -> bool:
        """Whether nothing was asked for lately; the server remembers the rest."""
        with self.lock:
            return not self.asked and self.held >= 0

    def share(self) -> float:
        """By demand, as the server said last."""
        return self._rate_share if self._answered else 1.0 / self.processes

    def restart_after_fork(self) -> None:
        """Holds nothing: what was held is the parent's."""
        self.use_new_lock()
        self.held = self.asked = 0
        self._begin_on_credit(self.clock.monotonic_ns())
