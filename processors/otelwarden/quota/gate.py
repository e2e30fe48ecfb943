"""Everything that an item must get past: the limits of its signal, and those of all signals together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from otelwarden.quota.meters import BYTES, CLOSED, SIZE, Meter, MeterKey


class Gate(Protocol):
    """Decides about the items of one signal of one tenant. Safe to use from many threads."""

    allowed: int
    """Items so far that were within the limits."""
    over: int
    """Items so far that were over a limit."""
    bytes: int
    """Bytes of both, where they were measured."""

    def take(self, items: int, debt: bool, size: int = 0, /) -> str | None:
        """Takes items if all limits allow it, all or none.

        Args:
            debt: whether a rate may be overdrawn up to its debt.
            size: bytes of the items together; counts only where bytes are limited.

        Returns:
            None when they were taken; why not: `rate`, `budget`, `size`, `store_down`; or `closed` when another gate
            must be asked.
        """
        ...

    def close_if_idle(self) -> bool:
        """Closes the gate for good if forgetting it would lose nothing; whether it is closed."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        ...

    def retire(self) -> tuple[int, int]:
        """Closes the gate, as another one takes over its meters; what it counted so far."""
        ...

    def restart_after_fork(self) -> None:
        """Makes the gate usable in a forked child, with its counts at zero."""
        ...


class MeterGate:
    """A gate with any number of meters, in the order they are asked.

    Args:
        meters: of this signal alone.
        shared: of all signals together; they outlive the gate.
        largest: bytes of the largest item that may pass; None for any.
        warn: told of the percent of a budget that was reached; called without a lock.
    """

    __slots__ = ("_closed", "_largest", "_lock", "_parts", "_warn", "allowed", "bytes", "meters", "over", "shared")

    def __init__(
        self,
        meters: Sequence[Meter],
        shared: Sequence[Meter],
        *,
        largest: int | None,
        warn: Callable[[MeterKey, int], None],
    ) -> None:
        self.meters = tuple(meters)
        self.shared = tuple(shared)
        self.allowed = 0
        self.over = 0
        self.bytes = 0
        self._closed = False
        self._largest = largest
        self._warn = warn
        self._parts = [(meter, meter.key.unit == BYTES) for meter in (*self.meters, *self.shared)]
        self._lock = threading.RLock()

    def take(self, items: int, debt: bool, size: int = 0) -> str | None:
        """See `Gate`."""
        with self._lock:
            if self._closed:
                return CLOSED
            refusal = self._take(items, debt, size)
            self.bytes += size
            if refusal is None:
                self.allowed += items
            else:
                self.over += items
        for meter, _ in self._parts:
            if meter.due:
                self.tell(meter)
        return refusal

    def _take(self, items: int, debt: bool, size: int) -> str | None:
        if self._largest is not None and size > self._largest * items:
            return SIZE
        for taken, (meter, by_bytes) in enumerate(self._parts):
            refusal = meter.take(size if by_bytes else items, debt)
            if refusal is not None:
                for earlier, of_bytes in self._parts[:taken]:
                    earlier.give_back(size if of_bytes else items)
                return refusal
        return None

    def tell(self, meter: Meter) -> None:
        """Tells of a warning that is due."""
        # Not under the lock: whoever is told may hold a lock of his own, and send telemetry through this very gate.
        level, meter.due = meter.due, 0
        if level:
            self._warn(meter.key, level)

    def close_if_idle(self) -> bool:
        """See `Gate`."""
        with self._lock:
            if not self._closed and all(meter.idle() for meter, _ in self._parts):
                self._closed = True
                for meter in self.meters:
                    meter.close()
            return self._closed

    @property
    def closed(self) -> bool:
        """See `Gate`."""
        return self._closed

    def retire(self) -> tuple[int, int]:
        """See `Gate`."""
        with self._lock:
            self._closed = True
            return self.allowed, self.over

    def restart_after_fork(self) -> None:
        """Gives the gate a lock of its own and counts from zero; its shared meters are somebody else's to restart."""
        self._lock = threading.RLock()
        self.allowed = 0
        self.over = 0
        self.bytes = 0
        for meter in self.meters:
            meter.restart_after_fork()
