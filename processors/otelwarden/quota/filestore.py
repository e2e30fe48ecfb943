"""Limits that the processes of one host share, in a file that outlives them."""

from __future__ import annotations

import struct
import threading
import weakref
from typing import Final

from otelwarden.core import Clock, ConfigError, Runtime, run_in_child_after_fork
from otelwarden.quota.budget import warning_due
from otelwarden.quota.lease import NS, LeasedMeter
from otelwarden.quota.meters import BudgetLimit, Limit, LimitStatus, Meter, MeterKey, RateLimit
from otelwarden.quota.slots import BrokenFileError, LockTimeoutError, Numbers, SlotFile, key_bytes
from otelwarden.quota.storeconfig import Fallback, StoreConfig

_LEASE_NS: Final = 50_000_000
"""A lease of a rate is not spent later than this after it was taken, so that it adds nothing to a later burst."""
_AHEAD: Final = 0.01
"""Seconds of a process's own demand that it takes at once: 15 us for the file are then nothing."""
_BUDGET_SHARE: Final = 0.01
"""The part of a budget that all processes together may hold, which is what killing them loses."""
_BURST_SHARE: Final = 16
_LEAST_RETRY_NS: Final = 1_000_000
_MOST_RETRY_NS: Final = 50_000_000
_DOWN_NS: Final = (100_000_000, 5_000_000_000)
_KEPT: Final = 60 * 86_400
"""Seconds that a limit which nobody asks for is kept for sure."""


class FileStore:
    """Meters over one file. Budgets survive restarts and `kill -9` (not the crash of the whole machine).

    Args:
        config: its `path` and `fallback`.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, config: StoreConfig, *, runtime: Runtime) -> None:
        self._path = config.path
        self._fallback: Fallback = config.fallback
        self._errors = runtime.errors("quota")
        self.clock = runtime.clock
        self._meters: weakref.WeakSet[FileMeter] = weakref.WeakSet()
        self._file: SlotFile | None = SlotFile(self._path)
        self._use_new_lock()
        run_in_child_after_fork(self._in_child)

    def _use_new_lock(self) -> None:
        self.lock = threading.RLock()
        """Between the threads of this process, as the lock on the file is between processes."""
        self._down_until = 0
        self._down_ns = _DOWN_NS[0]
        self._checked = 0
        self._counted = -1
        self._processes = 1

    def _in_child(self) -> None:
        self._use_new_lock()
        # The parent's descriptor would share the parent's lock.
        if self._file is not None:
            self._file.close()
        self._file = None

    @property
    def down(self) -> bool:
        """Whether the file could not be had a moment ago."""
        return self.clock.monotonic_ns() < self._down_until

    def meter(self, key: MeterKey, limit: Limit, /) -> Meter:
        """The meter of one limit."""
        made = FileMeter(self, key, limit, clock=self.clock, fallback=self._fallback)
        self._meters.add(made)
        return made

    def close(self, timeout: float = 5.0) -> None:
        """Gives back what is held."""
        for meter in list(self._meters):
            meter.close()

    def file(self, now: int) -> SlotFile | None:
        """The file, opened again if it was removed; None while it cannot be had. Under `lock`."""
        if now < self._down_until:
            return None
        if self._file is not None and now - self._checked >= NS:
            self._checked = now
            if self._file.replaced():
                self._file.close()
                self._file = None
        if self._file is None:
            try:
                self._file = SlotFile(self._path)
            except ConfigError as error:
                self.failed(now, "open", error)
        return self._file

    def processes(self, file: SlotFile, now: int) -> int:
        """How many processes share the file, counted once a second. Under both locks."""
        self._down_ns = _DOWN_NS[0]
        if self._checked != self._counted:
            self._counted = self._checked
            self._processes = file.processes()
        return self._processes

    def failed(self, now: int, what: str, error: Exception) -> None:
        """Leaves the file alone for a while, and each time for longer, so that callers do not wait for it."""
        self._down_until = now + self._down_ns
        self._down_ns = min(2 * self._down_ns, _DOWN_NS[1])
        self._errors.record(what, error)
        if isinstance(error, BrokenFileError) and self._file is not None:
            self._file.close()
            self._file = None


class FileMeter(LeasedMeter):
    """One limit in the file."""

    __slots__ = ("__weakref__", "_answered", "_expires", "_refused", "_retry_at", "_store", "_text")

    def __init__(self, store: FileStore, key: MeterKey, limit: Limit, *, clock: Clock, fallback: Fallback) -> None:
        super().__init__(key, limit, clock=clock, fallback=fallback)
        self._store = store
        self._text = key_bytes(str(key))
        self._expires = self._retry_at = self._refused = 0
        self._answered = clock.monotonic_ns()

    def stale(self) -> bool:
        """A lease of a rate ages; one of a budget ends with its period."""
        if isinstance(self.limit, RateLimit):
            return self.clock.monotonic_ns() >= self._expires
        return not self.since <= self.clock.time_ns() // NS < self.until

    def more(self, amount: int, debt: bool) -> str | None:
        """Takes from the file, with some ahead."""
        now = self.clock.monotonic_ns()
        soft = isinstance(self.limit, BudgetLimit) and self.limit.soft
        if now < self._retry_at and amount >= self._refused and not debt and not self.stale():
            return self.refusal()
        if not self._exchange(amount, debt, now):
            if soft:
                self.held -= amount
                return None
            return self.without_an_answer(amount)
        if self.held >= amount:
            self.held -= amount
            return None
        return self.refusal()

    def _exchange(self, amount: int, debt: bool, now: int) -> bool:
        """Settles with the file and takes what is wanted; whether the file could be had."""
        store = self._store
        with store.lock:
            file = store.file(now)
            if file is None:
                return False
            try:
                with file.locked():
                    # Read here and not before: while this process waited, another may have written a later time.
                    now = self.clock.monotonic_ns()
                    wall = self.clock.time_ns() // NS
                    place = file.place(self._text, wall - _KEPT)
                    numbers = file.numbers(place)
                    numbers.touched = wall
                    self.processes = store.processes(file, now)
                    if isinstance(self.limit, RateLimit):
                        granted = self._take_rate(numbers, self.limit, amount, debt, now)
                    else:
                        granted = self._take_budget(numbers, self.limit, amount, now, wall)
                    file.write(place, numbers)
            except (OSError, LockTimeoutError, BrokenFileError, struct.error) as error:
                store.failed(now, "lease", error)
                return False
        self.held = granted
        self.asked = 0
        self._answered = now
        self.begin_fallback(now, 0.0)
        return True

    def _demand(self, now: int) -> int:
        elapsed = max(now - self._answered, 1_000_000)
        return int(self.asked * NS / elapsed * _AHEAD)

    def _take_rate(self, numbers: Numbers, limit: RateLimit, amount: int, debt: bool, now: int) -> int:
        """What is granted of a rate, by the numbers of its slot, which are changed."""
        level = numbers.level
        if numbers.at_ns == 0:
            level = float(limit.burst)
        elif now > numbers.at_ns:  # less after the system was started anew: its monotonic clock was too
            level += (now - numbers.at_ns) / NS * limit.rate
        # What is held is given back, or charged when below zero, though never more than a burst.
        level = max(min(level + self.held, limit.burst), -float(limit.burst + limit.max_debt))
        wanted = max(amount, min(self._demand(now), limit.burst // _BURST_SHARE)) if amount else 0
        least = -limit.max_debt if debt else 0
        granted = min(wanted, max(0, int(level - least)))
        if granted < amount:
            granted, self._refused = 0, amount
            wait = (amount - (level - least)) / limit.rate * NS
            self._retry_at = now + int(min(max(wait, _LEAST_RETRY_NS), _MOST_RETRY_NS))
        numbers.at_ns, numbers.level = now, level - granted
        numbers.amount, numbers.rate = limit.burst, limit.rate
        self.used = limit.burst - level
        self._expires = now + _LEASE_NS
        return granted

    def _take_budget(self, numbers: Numbers, limit: BudgetLimit, amount: int, now: int, wall: int) -> int:
        """What is granted of a budget, by the numbers of its slot, which are changed."""
        self.enter_period(wall)
        self._begin_period(numbers, wall)
        used = max(0, numbers.used - self.held)  # what is held is given back, or charged when below zero
        left = limit.amount - used
        most = int(limit.amount * _BUDGET_SHARE / self.processes)
        granted = max(amount, min(self._demand(now), most, left // 8)) if amount else 0
        if granted > left and not limit.soft:
            granted = 0
        reached = warning_due(0, used + granted, limit.amount)
        if granted < amount:
            self._retry_at, self._refused = now + _MOST_RETRY_NS, amount
            reached = 100
        numbers.amount, numbers.used = limit.amount, used + granted
        self.used = float(used)
        # Of all processes, the one that crosses a threshold tells; that nothing more passes, each that finds it so.
        if reached > max(self.told, warning_due(0, used, limit.amount)):
            self.due = reached
        self.told = max(self.told, reached)
        return granted

    def _begin_period(self, numbers: Numbers, wall: int) -> None:
        """Begins the period in the slot, if it is new there."""
        if numbers.since == self.since:
            return
        if numbers.since <= wall < numbers.until:
            # Another time zone: the day has other edges now, and what was used in it stays used.
            numbers.since, numbers.until = self.since, self.until
            return
        earlier = numbers.before_used if numbers.before_since == self.since else 0
        if numbers.used:
            numbers.before_since, numbers.before_used = numbers.since, numbers.used
        numbers.since, numbers.until, numbers.used = self.since, self.until, earlier

    def change(self, limit: Limit) -> None:
        """See `Meter`."""
        with self.lock:
            self._settle()
            self.limit = limit
            self._retry_at = 0
            self.since = self.until = 0

    def _settle(self) -> None:
        if self.held:
            self._exchange(0, False, self.clock.monotonic_ns())

    def close(self) -> None:
        """See `Meter`."""
        with self.lock:
            self._settle()

    def idle(self) -> bool:
        """The file remembers, so what is held is all there is to lose, and that is given back."""
        return True

    def share(self) -> float:
        """Equal processes: the file is whoever's asks first."""
        return 1.0 / self.processes

    def status(self) -> LimitStatus:
        """What the file says now."""
        with self.lock:
            self._exchange(0, False, self.clock.monotonic_ns())
        return super().status()

    def restart_after_fork(self) -> None:
        """Holds nothing: what was held is the parent's."""
        self.use_new_lock()
        self.held = self.asked = 0
        self._retry_at = 0
