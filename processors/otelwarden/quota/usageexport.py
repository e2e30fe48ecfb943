"""Tells what each tenant used, once for each period, so that nothing is billed twice and next to nothing is lost.

Each process is a stream with an id of its own. In the directory it has two files: `<stream>.lock`, which it holds
locked for as long as it lives, and `<stream>.events`, which always has every event that it has not delivered yet, the
one about the period that has not ended included, and is replaced as a whole. So a process that is killed leaves what it
had counted by its last checkpoint, and whoever comes across an unlocked stream delivers what is in it, under the ids
that it has. An event that was delivered just before its process was killed is delivered again as it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from otelwarden.core import (
    SIGNALS,
    ConfigError,
    Deadline,
    Fault,
    Runtime,
    Watcher,
    run_in_child_after_fork,
)
from otelwarden.quota.usageconfig import UsageConfig
from otelwarden.quota.usageevents import (
    COMPONENTS,
    UsageByTenant,
    UsageEvent,
    usage_events,
    used_since,
    used_so_far,
)
from otelwarden.quota.usagesinks import FileSink, HttpSink, UsageSink, as_lines

MAX_WAITING: Final = 100_000
"""Events that a process keeps while they cannot be delivered; beyond, the oldest are given up."""

_LOCK: Final = ".lock"
_EVENTS: Final = ".events"
_NS: Final = 1_000_000_000
_DELIVERY: Final = 5.0
"""Seconds that one round of deliveries may take, so that checkpoints go on and nobody waits long at the end."""
_ADOPT_EVERY: Final = 60 * _NS
_BACKOFF: Final = (1.0, 300.0)


class UsageExport:
    """Exports usage for as long as it lives.

    Args:
        signals: those that are exported.
        sink: None for the one that the configuration names.
        runtime: that of the stages of quota, whose accounts say what was used.

    Raises:
        ConfigError: the directory cannot be used; with a pointer relative to the block `usage`.
    """

    def __init__(
        self,
        config: UsageConfig,
        *,
        signals: Iterable[str] = SIGNALS,
        sink: UsageSink | None = None,
        runtime: Runtime,
    ) -> None:
        self._config = config
        self._directory = Path(config.path)
        self._signals = tuple(signals)
        self._runtime = runtime
        self._errors = runtime.errors("quota")
        self._clock = runtime.clock
        made = HttpSink(config, errors=self._errors) if config.url else FileSink(self._directory, errors=self._errors)
        self._sink: UsageSink = sink or made
        self._before: UsageByTenant = {}
        self._lock_file = -1
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin()
        except OSError as error:
            message = f"cannot be used: {error.strerror}"
            allowed = "a directory that this process may write into, or that it can make"
            raise ConfigError([Fault(pointer="/path", message=message, given=config.path, allowed=allowed)]) from error
        self._watcher = Watcher(self, name="usage")
        self._watcher.start(config.checkpoint)
        run_in_child_after_fork(self._in_child)

    def _begin(self) -> None:
        """Begins a stream."""
        self._lock = threading.RLock()
        self._closed = self._ended = False
        self._waiting: list[UsageEvent] = []
        self._written: list[UsageEvent] = []
        self._failures = 0
        self._retry_at = self._adopt_at = 0
        self._begin_stream()

    def _begin_stream(self) -> None:
        self.stream = secrets.token_hex(8)
        """Names this process in the ids of its events."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(self._directory / f"{self.stream}{_LOCK}", flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._lock_file = descriptor
        self._since, self._until = self._period(self._now())

    def _in_child(self) -> None:
        if self._closed:
            return
        os.close(self._lock_file)  # which leaves the parent its lock
        self._before = {}  # the accounts begin at zero
        try:
            self._begin()
        except OSError as error:
            self._errors.record("usage", error)
            self._closed = True

    def _now(self) -> int:
        return self._clock.time_ns() // _NS

    def _period(self, now: int) -> tuple[int, int]:
        length = int(self._config.period)
        since = now - now % length
        return since, since + length

    # --- step by step

    def reload(self) -> bool:
        """Looks at the clock and the accounts, once a checkpoint; whether anything was delivered. Never raises."""
        with self._lock:
            if self._closed:
                return False
            try:
                self._advance()
                return self._deliver(Deadline(_DELIVERY))
            except Exception as error:
                self._errors.record("usage", error)
                return False

    def _advance(self) -> None:
        now = self._now()
        if not self._since <= now < self._until:
            self._end_period()
            if now < self._since:
                self._leave_stream()
            self._since, self._until = self._period(now)
        if self._clock.monotonic_ns() >= self._adopt_at:
            self._adopt()
        self._write(self._waiting + self._open_events(self._so_far()))

    def _so_far(self) -> UsageByTenant:
        return used_so_far(self._runtime.balances(*COMPONENTS), self._signals)

    def _open_events(self, so_far: UsageByTenant) -> list[UsageEvent]:
        """The events about the period that has not ended; none once the last was told of."""
        if self._ended:
            return []
        return usage_events(
            used_since(so_far, self._before),
            source=self._config.source,
            stream=self.stream,
            since=self._since,
            until=self._until,
            now=self._now(),
        )

    def _end_period(self) -> None:
        """From here on, what was counted in the period does not change any more."""
        so_far = self._so_far()
        self._keep(self._open_events(so_far))
        self._before = so_far
        self._write(self._waiting, durable=True)

    def _keep(self, events: list[UsageEvent]) -> None:
        self._waiting += events
        lost = len(self._waiting) - MAX_WAITING
        if lost > 0:
            del self._waiting[:lost]
            self._runtime.emit("quota", "lose", "usage_not_delivered", count=lost, target=self._config.path)

    def _write(self, events: list[UsageEvent], *, durable: bool = False) -> None:
        """Makes the file of this stream say what is not delivered yet."""
        told = [{**event, "time": ""} for event in events]  # the moment of a checkpoint is no news
        if told == self._written and not durable:
            return
        path = self._directory / f"{self.stream}{_EVENTS}"
        half = path.with_suffix(".new")
        with half.open("wb") as file:
            file.write(as_lines(events))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        half.replace(path)
        self._written = told

    def _deliver(self, deadline: Deadline) -> bool:
        now = self._clock.monotonic_ns()
        if not self._waiting or now < self._retry_at:
            return False
        done = self._sink.deliver(self._waiting, deadline)
        if not done or (done < len(self._waiting) and not deadline.expired):
            self._failures += 1
            wait = min(_BACKOFF[0] * 2.0 ** min(self._failures - 1, 10), _BACKOFF[1])
            self._retry_at = now + int(wait * _NS)
        else:
            self._failures = 0
        if done:
            del self._waiting[:done]
            self._write(self._waiting + self._open_events(self._so_far()))
            self._runtime.emit("quota", "export", "usage", count=done, target=self._config.url or self._config.path)
        return done > 0

    def _leave_stream(self) -> None:
        """Begins another stream, as the clock was set back: this one has told of the periods that come now before."""
        stream, lock = self.stream, self._lock_file
        self._begin_stream()
        self._write(self._waiting, durable=True)
        self._remove(stream)
        os.close(lock)

    def _remove(self, stream: str) -> None:
        for suffix in (_EVENTS, _LOCK):
            (self._directory / f"{stream}{suffix}").unlink(missing_ok=True)

    # --- the streams of others

    def _adopt(self) -> None:
        """Takes over what processes that are gone did not deliver."""
        self._adopt_at = self._clock.monotonic_ns() + _ADOPT_EVERY
        for path in sorted(self._directory.glob(f"*{_EVENTS}")):
            stream = path.name.removesuffix(_EVENTS)
            if stream == self.stream:
                continue
            lock = self._directory / f"{stream}{_LOCK}"
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._take_over(path)
                self._remove(stream)
            except BlockingIOError:
                pass  # it lives
            finally:
                os.close(descriptor)

    def _take_over(self, path: Path) -> None:
        try:
            self._keep([json.loads(line) for line in path.read_bytes().splitlines()])
        except FileNotFoundError:
            return  # another process was faster
        except ValueError as error:
            self._errors.record("usage", error)
            path.replace(path.with_suffix(".bad"))
            return
        # Before it is taken away there: of two files with the same events, one is enough.
        self._write(self._waiting + self._open_events(self._so_far()), durable=True)

    def close(self, timeout: float = 5.0) -> None:
        """Tells what was used to the end, delivers it, and stops; what cannot be delivered in time waits on disk.

        Args:
            timeout: seconds.
        """
        deadline = Deadline(timeout)
        self._watcher.stop()
        if not self._lock.acquire(timeout=deadline.remaining):
            return  # a delivery hangs; what was counted by the last checkpoint is on disk
        try:
            if not self._closed:
                self._closed = True
                self._finish(deadline)
        except Exception as error:
            self._errors.record("usage", error)
        finally:
            self._lock.release()

    def _finish(self, deadline: Deadline) -> None:
        self._end_period()
        self._ended = True
        self._adopt()
        self._retry_at = 0
        self._deliver(deadline)
        if not self._waiting:
            self._remove(self.stream)
        os.close(self._lock_file)
