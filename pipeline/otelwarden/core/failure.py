"""What becomes of errors: counted always, logged once a period, never raised into the application."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from otelwarden.core.clock import SYSTEM_CLOCK, Clock
from otelwarden.core.fork import run_in_child_after_fork

OnError: TypeAlias = Literal["drop", "pass"]
"""What a stage does with an item that it failed on: `drop` fails closed, `pass` fails open."""

LOG_PERIOD: Final = 60.0


class PeriodicLog:
    """Logs the first message of a kind, then at most one a period that says how many were held back.

    A line for each item is an outage of its own: telemetry fails by the thousand, and our log lines become telemetry.

    Args:
        logger: where the lines go.
        period: seconds between two lines of one kind.
    """

    def __init__(self, logger: logging.Logger, *, period: float = LOG_PERIOD, clock: Clock = SYSTEM_CLOCK) -> None:
        self._logger = logger
        self._period_ns = int(period * 1e9)
        self._monotonic_ns = clock.monotonic_ns
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._kinds: dict[str, tuple[int, int]] = {}  # kind -> (moment of the last line, held back since)

    def warning(self, kind: str, message: str, *args: object) -> None:
        """Logs `message % args`, or holds it back and counts it."""
        with self._lock:
            now = self._monotonic_ns()
            last, held_back = self._kinds.get(kind, (now - self._period_ns, 0))
            if now - last < self._period_ns:
                self._kinds[kind] = (last, held_back + 1)
                return
            self._kinds[kind] = (now, 0)
        if held_back:
            message, args = message + " (and %d more like this)", (*args, held_back)
        with suppress(Exception):  # a filter or handler of the application's that raises; there is nobody to tell
            self._logger.warning(message, *args)


class ErrorCount:
    """The errors that one stage caught, by place and type.

    The text of an exception may quote the telemetry that caused it, so only its type is kept and logged.
    """

    def __init__(self, owner: str, log: PeriodicLog) -> None:
        self._owner = owner
        self._log = log
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._counts: dict[tuple[str, str], int] = {}

    def record(self, place: str, error: BaseException) -> None:
        """Counts an error that was caught at `place` (a verb: `transform`, `export`, `observe` ...)."""
        kind = type(error).__qualname__
        with self._lock:
            # In this form a finalizer or signal handler that fails as well cannot come in between.
            self._counts.setdefault((place, kind), 0)
            self._counts[place, kind] += 1
        self._log.warning(f"{self._owner} {place} {kind}", "%s: %s failed with %s", self._owner, place, kind)

    @property
    def total(self) -> int:
        """All errors caught so far."""
        return sum(self._counts.copy().values())

    def snapshot(self) -> dict[str, int]:
        """Errors by `place:type`."""
        with self._lock:
            return {f"{place}:{kind}": count for (place, kind), count in self._counts.items()}
