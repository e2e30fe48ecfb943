"""One deadline, shared by everything that a `shutdown` or `force_flush` calls."""

from __future__ import annotations

import threading

from otelwarden.core.clock import SYSTEM_CLOCK, Clock


class Deadline:
    """A moment by which a chain of calls must have returned.

    The SDK hands each processor a fresh timeout, so a chain of five may take five times as long as was asked for.
    A deadline is made once at the top, and everything below asks it what is left.

    Args:
        timeout: seconds from now; a negative one has passed already, one of more than 292 years is cut to what a lock
            can wait for.
    """

    __slots__ = ("_at_ns", "_monotonic_ns")

    def __init__(self, timeout: float, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._monotonic_ns = clock.monotonic_ns
        self._at_ns = self._monotonic_ns() + int(min(timeout, threading.TIMEOUT_MAX) * 1e9)

    @classmethod
    def after_millis(cls, timeout_millis: float, *, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """The deadline for the SDK's `timeout_millis` arguments."""
        return cls(timeout_millis / 1e3, clock=clock)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0, self._at_ns - self._monotonic_ns()) / 1e9

    @property
    def remaining_millis(self) -> int:
        """Milliseconds left, never negative, as the SDK's methods want them."""
        return max(0, self._at_ns - self._monotonic_ns()) // 1_000_000

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self._monotonic_ns() >= self._at_ns
