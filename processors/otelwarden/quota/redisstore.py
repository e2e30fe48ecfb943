"""Limits that a fleet shares through Redis or Valkey. No caller ever waits: a thread asks the server for leases."""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from collections.abc import Callable
from typing import Final

from otelwarden.core import Clock, Runtime, run_in_child_after_fork, suppress_instrumentation_in_this_thread
from otelwarden.quota.lease import NS
from otelwarden.quota.meters import Limit, Meter, MeterKey
from otelwarden.quota.redislink import NonsenseError, RedisLink
from otelwarden.quota.redismeter import LIFE, RedisMeter, Request
from otelwarden.quota.storeconfig import StoreConfig

VERSION: Final = "v1"
"""In every key: what another version writes is never misread."""
CALLS_PER_SECOND: Final = 150
"""Calls that all processes together make at most, by stretching the interval of each."""

_BATCH: Final = 500
_REST: Final = 0.5
_LATE: Final = 10
"""A step that comes later than this many intervals comes after a rest."""
_SLOWLY: Final = 0.95
_BACKOFF: Final = (0.05, 1.0)


class ForeignKeyError(Exception):
    """Counted when something else stands under a key of ours."""


class FleetClock:
    """The clock of the server, as far as this process knows: so that periods begin everywhere at once."""

    def __init__(self, clock: Clock) -> None:
        self._time_ns = clock.time_ns
        self.monotonic_ns: Callable[[], int] = clock.monotonic_ns
        self.offset_ns = 0
        """Nanoseconds that the server is ahead."""

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self._time_ns() + self.offset_ns

    def adjust(self, server_us: int) -> None:
        """Takes over what time it was at the server a moment ago."""
        self.offset_ns = server_us * 1000 - self._time_ns()


class RedisStore:
    """Meters over leases from a Redis server.

    The server need not be there at the start, nor later: until it answers, the fallback holds. A process asks for all
    its limits by one call an interval, and only if any of them needs it.

    Args:
        config: address, credentials, interval, timeout, fallback.

    Raises:
        ConfigError: the client is not installed, or a password or certificate cannot be read.
    """

    def __init__(self, config: StoreConfig, *, runtime: Runtime) -> None:
        self._config = config
        self._errors = runtime.errors("quota")
        self.clock = FleetClock(runtime.clock)
        self.calls = 0
        """Calls to the server so far, the failed ones included."""
        self._meters: dict[MeterKey, RedisMeter] = {}
        self._retired: list[RedisMeter] = []
        self._link = RedisLink(config)
        self._renew()
        run_in_child_after_fork(self._in_child)
        self.wake()  # the connection is then made before the first item

    def _renew(self) -> None:
        self.down = True  # until it has answered
        self.pace = self._config.interval
        self._stepped = 0
        self.processes = 1
        self._process = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._lock = threading.RLock()
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0

    def _in_child(self) -> None:
        stopped = self._stopped.is_set()
        self._renew()
        self._retired = []
        self._link = RedisLink(self._config)  # the connection is the parent's
        if stopped:
            self._stopped.set()

    def meter(self, key: MeterKey, limit: Limit, /) -> Meter:
        """The meter of one limit."""
        with self._lock:
            made = RedisMeter(self, key, limit, clock=self.clock, fallback=self._config.fallback)
            self._meters[key] = made
        return made

    def retire(self, meter: RedisMeter, /) -> None:
        """See `Waker`."""
        with self._lock:
            if self._meters.get(meter.key) is meter:
                del self._meters[meter.key]
            self._retired.append(meter)
        self.wake()

    def wake(self) -> None:
        """See `Waker`."""
        if not self._wanted.is_set():
            self._wanted.set()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                arguments = (weakref.ref(self), self._wanted, self._stopped)
                self._thread = threading.Thread(target=_run, args=arguments, name="otelwarden-quota", daemon=True)
                self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Gives back what is held, and stops; waits for the server no longer than its timeout."""
        self._stopped.set()
        self._wanted.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if not self.down and self.calls and (thread is None or not thread.is_alive()):
            with self._lock:
                self._retired += self._meters.values()
                self._meters = {}
            self._exchange()
        self._link.close()

    # --- in the thread

    def pending(self) -> bool:
        """Whether anything was asked for since the last answers."""
        return bool(self._retired) or any(meter.asked for meter in list(self._meters.values()))

    def step(self, rest: bool) -> float:
        """Makes the calls that are due.

        Args:
            rest: whether limits are looked at that nobody asks for at the moment.

        Returns:
            Seconds until the next step.
        """
        if self.down and not self._probe():
            return self._backoff()
        interval = max(self._config.interval, self.processes / CALLS_PER_SECOND)
        self._measure(interval)
        if not self._exchange(rest):
            self.down = True
            return self._backoff()
        self._failures = 0
        self.down = False
        return interval

    def _measure(self, interval: float) -> None:
        """On a busy machine this thread comes late, and what is held must last for longer."""
        now = self.clock.monotonic_ns()
        passed, self._stepped = (now - self._stepped) / NS, now
        if passed < _LATE * interval:
            self.pace = max(interval, passed, self.pace * _SLOWLY)

    def _backoff(self) -> float:
        self._failures += 1
        return float(min(_BACKOFF[0] * 2 ** min(self._failures - 1, 10), _BACKOFF[1]))

    def _probe(self) -> bool:
        """Whether the server answers again. Asks for nothing, as what it cannot answer now it may still do later."""
        return self._call([]) is not None

    def _exchange(self, rest: bool = False) -> bool:
        """Asks for all that is needed; whether the server answered."""
        now = self.clock.monotonic_ns()
        with self._lock:
            meters = list(self._meters.values())
            retired, self._retired = self._retired, []
        asked = [meter for meter in meters if rest or meter.asked or meter.held < 0]
        requests = [(meter, request) for meter in retired if (request := meter.request(now, last=True))]
        requests += [(meter, request) for meter in asked if (request := meter.request(now))]
        for start in range(0, len(requests), _BATCH):
            batch = requests[start : start + _BATCH]
            answers = self._call([request for _, request in batch])
            if answers is None:
                return False
            processes = 0
            for (meter, request), answer in zip(batch, answers, strict=True):
                self._deliver(meter, request, answer)
                processes = max(processes, meter.processes)
            self.processes = processes or self.processes
        return True

    def _deliver(self, meter: RedisMeter, request: Request, answer: object) -> None:
        if answer == [-1]:
            meter.mark_broken()
            self._errors.record("lease", ForeignKeyError())
            return
        try:
            meter.answer(request, answer)
        except NonsenseError as error:
            self._errors.record("lease", error)

    def _call(self, requests: list[Request]) -> list[object] | None:
        prefix = f"{self._config.prefix}:{VERSION}:"
        keys = [prefix + request.key for request in requests]
        arguments: list[str | int | float] = [self._process, int(LIFE * 1e6)]
        for request in requests:
            arguments += request.arguments
        self.calls += 1
        try:
            moment, answers = self._link.call(keys, arguments)
        except Exception as error:
            self._errors.record("lease", error)
            return None
        self.clock.adjust(moment)
        return answers


def _run(store: weakref.ReferenceType[RedisStore], wanted: threading.Event, stopped: threading.Event) -> None:
    """Steps while anything is asked for, as often as the interval says, for as long as the store lives."""
    suppress_instrumentation_in_this_thread()
    rested = 0
    pause = 0.0
    while not stopped.wait(pause):
        itself = store()
        if itself is None:
            return
        if not itself.pending() and not (itself.down and wanted.is_set()):
            del itself
            wanted.wait(_REST)
            itself = store()
            if itself is None or stopped.is_set():
                return
        wanted.clear()
        now = itself.clock.monotonic_ns()
        rest = now - rested >= _REST * NS
        if rest:
            rested = now
        pause = itself.step(rest)
        del itself
