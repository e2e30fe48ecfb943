"""Time, passed in rather than reached for, so that a test may own it."""

from __future__ import annotations

import time
from typing import Final, Protocol


class Clock(Protocol):
    """A source of time. Bind its methods once: they are called for every span."""

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may jump either way when the machine's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary moment; never goes back."""
        ...


class SystemClock:
    """The machine's own time."""

    # The functions themselves, not wrappers: a bound `clock.monotonic_ns` costs no Python frame.
    time_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


SYSTEM_CLOCK: Final[Clock] = SystemClock()
