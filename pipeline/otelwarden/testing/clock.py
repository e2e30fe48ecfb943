"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from typing import Final

_START: Final = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z


class FakeClock:
    """An `otelwarden.core.Clock` set by hand; safe to use from many threads.

    Args:
        start_ns: where the wall clock starts, nanoseconds since the Unix epoch. The monotonic one starts at 0.
    """

    def __init__(self, start_ns: int = _START) -> None:
        self._lock = threading.Lock()
        self._time_ns = start_ns
        self._monotonic_ns = 0

    def time_ns(self) -> int:
        """The wall clock: nanoseconds since the Unix epoch."""
        return self._time_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds that `advance` has added up to."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Moves both clocks; raises ValueError for a step back, which only a wall clock can do."""
        if seconds < 0:
            raise ValueError(f"seconds is {seconds!r}; allowed: 0 or more, or set_time_ns() for a wall clock set back")
        step = round(seconds * 1e9)
        with self._lock:
            self._time_ns += step
            self._monotonic_ns += step

    def set_time_ns(self, time_ns: int) -> None:
        """Sets the wall clock, forwards or back, as an operator or NTP does; the monotonic one is left alone."""
        with self._lock:
            self._time_ns = time_ns
