"""A way to call off what is under way, from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Cancellation:
    """Set once, by whoever shuts down; whoever waits for a network says how to be interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupts: list[Callable[[], Any]] = []
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Interrupts everything that is under way, and what starts from now on."""
        with self._lock:
            self._cancelled = True
            interrupts = list(self._interrupts)
        for interrupt in interrupts:
            interrupt()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], Any]) -> Iterator[None]:
        """Within this block, `cancel` calls `interrupt`; if it was called before, that happens at once."""
        with self._lock:
            self._interrupts.append(interrupt)
            cancelled = self._cancelled
        try:
            if cancelled:
                interrupt()
            yield
        finally:
            with self._lock:
                self._interrupts.remove(interrupt)
