"""The way to an endpoint that is an exporter of the SDK: a vendor's, one that signs, the console."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter

from otelwarden.core import (
    LOGS,
    METRICS,
    TRACES,
    Deadline,
    ErrorCount,
    Signal,
    flush_within,
    run_in_child_after_fork,
    shutdown_within,
    suppress_instrumentation_in_this_thread,
)
from otelwarden.otlp import Cancellation, Outcome, Verdict

_KINDS: Final[tuple[tuple[type, Signal], ...]] = (
    (SpanExporter, TRACES),
    (LogRecordExporter, LOGS),
    (MetricExporter, METRICS),
)
_CLOSING: Final = 5.0  # seconds for an exporter to shut down


def signals_of(exporter: object) -> tuple[Signal, ...]:
    """The signals that an object exports; empty when it is no exporter of the SDK."""
    return tuple(signal for kind, signal in _KINDS if isinstance(exporter, kind))


@dataclass(slots=True)
class _Export:
    """An export on its way, and what became of it."""

    items: Any
    timeout: float
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None


class ExporterTransport:
    """Hands items, and not bytes, to an exporter, in a thread of its own: an exporter may take longer than it may.

    One export at a time, as the SDK promises exporters. One that does not come back in time counts as failed, and for
    as long as it does not come back the exporter is not asked again. It may still deliver then, a second time.
    """

    def __init__(self, exporter: Any, errors: ErrorCount) -> None:
        self._exporter = exporter
        self._errors = errors
        self._is_metrics = isinstance(exporter, MetricExporter)
        self._closed = False
        self._start_over()
        run_in_child_after_fork(self._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Export | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._current: _Export | None = None

    def send(
        self,
        signal: Signal,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        cancellation: Cancellation,
    ) -> Outcome:
        """Asks the exporter how it is, with nothing to export; it takes no bytes."""
        if body:
            raise TypeError("an exporter takes items, not bytes")
        nothing: Any = MetricsData(resource_metrics=[]) if self._is_metrics else ()
        return self.send_items(nothing, timeout=timeout, cancellation=cancellation)

    def send_items(self, items: Any, *, timeout: float, cancellation: Cancellation) -> Outcome:
        """Exports a batch and waits for it; never raises for what an exporter does.

        Args:
            items: what the exporter's `export` takes.
            timeout: seconds.
            cancellation: ends the wait early, with the verdict CANCELLED; the export itself goes on.
        """
        export = _Export(items, timeout)
        with self._lock:
            if self._closed:
                return Outcome(verdict=Verdict.ENDPOINT_FAULT, code="shut down", answered=False)
            if self._current is not None and self._current.outcome is None:
                return Outcome(verdict=Verdict.RETRYABLE, code="timeout", message="still exporting", answered=False)
            if self._thread is None:
                try:
                    self._thread = self._started()
                except RuntimeError:  # the interpreter ends, or has no more threads
                    return Outcome(verdict=Verdict.RETRYABLE, code="thread", answered=False)
            self._current = export
            self._queue.put(export)
        with cancellation.interrupting(export.done.set):
            export.done.wait(timeout)
        if export.outcome is not None:
            return export.outcome
        if cancellation.cancelled:
            return Outcome(verdict=Verdict.CANCELLED, code="cancelled", answered=False, unconfirmed=True)
        return Outcome(verdict=Verdict.RETRYABLE, code="timeout", answered=False, unconfirmed=True)

    def _started(self) -> threading.Thread:
        thread = threading.Thread(
            target=self._work, args=(self._queue,), name="otelwarden-failover-exporter", daemon=True
        )
        thread.start()
        return thread

    def _work(self, exports: queue.SimpleQueue[_Export | None]) -> None:
        suppress_instrumentation_in_this_thread()
        while (export := exports.get()) is not None:
            export.outcome = self._export(export)
            export.done.set()
        shutdown_within(self._exporter, Deadline(_CLOSING), self._errors)

    def _export(self, export: _Export) -> Outcome:
        try:
            if self._is_metrics:
                result = self._exporter.export(export.items, timeout_millis=export.timeout * 1e3)
            else:
                result = self._exporter.export(export.items)
        except Exception as error:
            self._errors.record("export", error)  # its text may quote the telemetry, so only its type is kept
            return Outcome(verdict=Verdict.ENDPOINT_FAULT, code=type(error).__name__, answered=False)
        if getattr(result, "name", "") == "SUCCESS":
            return Outcome(verdict=Verdict.DELIVERED, code="SUCCESS")
        return Outcome(verdict=Verdict.RETRYABLE, code="FAILURE")

    def flush(self, deadline: Deadline) -> bool:
        """Flushes what the exporter itself holds; whether that was done in time."""
        return flush_within(self._exporter, deadline, self._errors)

    def close(self) -> None:
        """Shuts the exporter down after what is under way; it is not used again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._thread = self._thread or self._started()
            except RuntimeError as error:
                self._errors.record("start_thread", error)
            self._queue.put(None)

    def wait(self, seconds: float) -> None:
        """Waits until the exporter is shut down, after `close`."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)
