"""The thread that looks at the tenants file."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from otelwarden.core import run_in_child_after_fork, suppress_instrumentation_in_this_thread


class Reloadable(Protocol):
    """What a watcher watches."""

    def reload(self) -> bool:
        """Looks for a change; must not raise."""
        ...


class Watcher:
    """Calls `reload` once an interval, in one daemon thread, for as long as the owner lives.

    The thread starts with the first call of `start`, and again in every forked child. It holds no reference to the
    owner, so a registry that nobody uses any more is freed and takes its thread along.
    """

    def __init__(self, owner: Reloadable) -> None:
        self._owner = weakref.ref(owner)
        self._interval: float | None = None
        self._renew()
        run_in_child_after_fork(self._in_child)

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def _in_child(self) -> None:
        running = self._thread is not None and not self._stopped.is_set()
        self._renew()
        if running and self._interval is not None:
            self.start(self._interval)

    def start(self, interval: float) -> None:
        """Starts the thread, or makes one that runs look every `interval` seconds, if that is more often."""
        with self._lock:
            self._interval = interval if self._interval is None else min(interval, self._interval)
            if self._thread is None and not self._stopped.is_set():
                arguments = (self._owner, weakref.ref(self), self._stopped)
                self._thread = threading.Thread(target=_watch, args=arguments, name="otelwarden-tenants", daemon=True)
                self._thread.start()

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._interval is not None

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return self._interval if self._interval is not None else 1.0

    def stop(self) -> None:
        """Ends the thread, for good."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5.0)


def _watch(
    owner: weakref.ReferenceType[Reloadable],
    watcher: weakref.ReferenceType[Watcher],
    stopped: threading.Event,
) -> None:
    suppress_instrumentation_in_this_thread()
    while True:
        itself = watcher()
        if itself is None or stopped.wait(itself.interval):
            return
        del itself
        watched = owner()
        if watched is None:
            return
        watched.reload()
        del watched
