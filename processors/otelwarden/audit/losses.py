"""Decisions that could not be written, counted exactly until the trail can say so itself."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from typing import Final

QUEUE_FULL: Final = "queue_full"
DISK_FULL: Final = "disk_full"
WRITE_FAILED: Final = "write_failed"
MALFORMED: Final = "malformed"
CLOSED: Final = "closed"

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def reason_of(error: Exception) -> str:
    """Why a write failed, as the reason of a loss."""
    if isinstance(error, (TypeError, ValueError, IndexError)):
        return MALFORMED
    return DISK_FULL if isinstance(error, OSError) and error.errno in _FULL else WRITE_FAILED


class Losses:
    """Counts by reason, twice: all of them, and those that no record has declared yet."""

    def __init__(self) -> None:
        # Reentrant: the collector may run a finalizer that ends a span while this thread holds the lock.
        self._lock = threading.RLock()
        self._total: dict[str, int] = {}
        self._undeclared: dict[str, int] = {}

    def add(self, reason: str, count: int) -> None:
        """Counts decisions that are lost."""
        if not count:
            return
        with self._lock:
            self._total[reason] = self._total.get(reason, 0) + count
            self._undeclared[reason] = self._undeclared.get(reason, 0) + count

    def take(self) -> dict[str, int]:
        """What is to be declared; the caller declares it or gives it back."""
        with self._lock:
            taken, self._undeclared = self._undeclared, {}
            return taken

    def give_back(self, taken: Mapping[str, int]) -> None:
        """Declaring failed."""
        with self._lock:
            for reason, count in taken.items():
                self._undeclared[reason] = self._undeclared.get(reason, 0) + count

    @property
    def undeclared(self) -> bool:
        """Whether there is anything to declare."""
        return bool(self._undeclared)

    def total(self) -> dict[str, int]:
        """All losses so far, by reason."""
        with self._lock:
            return dict(self._total)
