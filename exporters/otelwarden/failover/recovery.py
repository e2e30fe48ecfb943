"""Finds out, beside the live traffic, whether an endpoint that failed is back.

A batch that is sent to see whether a frozen endpoint has thawed waits out a whole attempt. So it is an empty request
that is sent: zero bytes are a valid `Export...ServiceRequest` which asks for nothing. Or whatever check is configured.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from otelwarden.core import Signal, run_in_child_after_fork, suppress_instrumentation_in_this_thread
from otelwarden.otlp import Cancellation

if TYPE_CHECKING:
    from otelwarden.failover.health import PooledEndpoint
    from otelwarden.failover.judge import Judge

PROBE_TIMEOUT: Final = 5.0
"""Seconds, unless a health check has a timeout; that of the endpoint where it is shorter."""


class Recovery:
    """Watches each endpoint that failed, in a thread of its own that ends when the endpoint is healthy again."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._start_over()
        run_in_child_after_fork(self._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[PooledEndpoint] = set()
        self._stopped = threading.Event()
        self._cancellation = Cancellation()

    def watch(self, endpoint: PooledEndpoint, signal: Signal) -> None:
        """Probes the endpoint until it is healthy again.

        Args:
            signal: what the probe claims to be: the signal that the endpoint failed on.
        """
        with self._lock:
            if endpoint in self._watched or self._stopped.is_set():
                return
            self._watched.add(endpoint)
        try:
            threading.Thread(
                target=self._watch,
                args=(endpoint, signal, self._stopped, self._cancellation),
                name="otelwarden-failover-probe",
                daemon=True,
            ).start()
        except RuntimeError:  # no threads at the end of the interpreter, or no more of them
            self._forget(endpoint)

    def stop(self) -> None:
        """Ends every watch; later failures start new ones."""
        with self._lock:
            self._stopped.set()
            cancellation = self._cancellation
        cancellation.cancel()
        self._start_over()

    def _watch(
        self, endpoint: PooledEndpoint, signal: Signal, stopped: threading.Event, cancellation: Cancellation
    ) -> None:
        suppress_instrumentation_in_this_thread()
        try:
            while (seconds := self._judge.seconds_until_probe(endpoint)) is not None:
                if stopped.wait(seconds):
                    return
                if self._judge.seconds_until_probe(endpoint) != 0:
                    continue  # it failed again meanwhile, or works again
                self._judge.mark_probed(endpoint, self._judge.ask(endpoint, signal, cancellation))
        finally:
            self._forget(endpoint)

    def _forget(self, endpoint: PooledEndpoint) -> None:
        with self._lock:
            self._watched.discard(endpoint)
