"""Asks endpoints in good health whether they still are, so that a frozen one is found before a batch finds it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from otelwarden.core import ErrorCount, run_in_child_after_fork, suppress_instrumentation_in_this_thread
from otelwarden.otlp import Cancellation

if TYPE_CHECKING:
    from otelwarden.failover.judge import Judge


class HealthMonitor:
    """One thread for the endpoints of a pool, which asks one after another; those that failed are left to `Recovery`.

    Args:
        interval: seconds between two rounds; None for no checks and no thread.
    """

    def __init__(self, judge: Judge, interval: float | None, errors: ErrorCount) -> None:
        self._judge = judge
        self._interval = interval
        self._errors = errors
        self._start_over()
        run_in_child_after_fork(self._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._cancellation = Cancellation()

    def start(self) -> None:
        """Starts the thread, unless it runs or there is nothing to do."""
        if self._interval is None or self._thread is not None:
            return
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(
                target=self._run,
                args=(self._interval, self._stopped, self._cancellation),
                name="otelwarden-failover-health",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter ends, or has no more threads: the next call tries again
                self._errors.record("start_thread", error)
                return
            self._thread = thread

    def stop(self) -> None:
        """Ends the checks; `start` begins anew."""
        with self._lock:
            self._stopped.set()
            cancellation = self._cancellation
        cancellation.cancel()
        self._start_over()

    def _run(self, interval: float, stopped: threading.Event, cancellation: Cancellation) -> None:
        suppress_instrumentation_in_this_thread()
        while not stopped.wait(interval):
            for endpoint in self._judge.to_be_checked():
                if stopped.is_set():
                    return
                try:
                    signal = endpoint.endpoint.capabilities[0]
                    self._judge.mark_checked(endpoint, self._judge.ask(endpoint, signal, cancellation))
                except Exception as error:
                    self._errors.record("health_check", error)
