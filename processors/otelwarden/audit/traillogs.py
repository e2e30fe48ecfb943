"""The trail as log records on a pipeline of its own, which no quota throttles and no sampler thins out.

    trail's writer -> bounded queue -> thread `otelwarden-audit-logs` -> exporter

It is a copy. Nothing that happens to it is told to the trail, or an endpoint that is down would make a record of every
record that it did not take, for ever; and nothing of it can hold up or harm the trail. What is lost is counted.
"""

from __future__ import annotations

import atexit
import functools
import queue
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from otelwarden.audit.emission import EVENT_NAME, Emission, emission_of
from otelwarden.audit.losses import CLOSED, MALFORMED, QUEUE_FULL
from otelwarden.core import (
    Deadline,
    OtelwardenError,
    Runtime,
    counts_its_losses,
    default_runtime,
    flush_within,
    run_in_child_after_fork,
    shutdown_within,
    suppress_instrumentation_in_this_thread,
)

THREAD_NAME: Final = "otelwarden-audit-logs"
BATCH: Final = 512
"""Records in one export, at most."""

NOT_EXPORTED: Final = "not_exported"
"""The exporter refused a batch, or raised."""

_SCOPE: Final = InstrumentationScope("otelwarden.audit")
_AT_EXIT: Final = 5.0  # seconds


class TrailLogsLost(OtelwardenError):
    """Raised when records of the trail did not leave as log records; it is counted, and they are in the trail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLogsStats:
    """What left the trail as log records, in this process."""

    exported: int
    """Records that the exporter took."""
    waiting_bytes: int
    lost: Mapping[str, int]
    """Records that did not leave, by reason; they are in the trail all the same. What an exporter refuses that accounts
    for its own losses is in its accounts."""


class TrailLogs:
    """Exports the records of a trail, once they are on the disk: `AuditTrail(path, listener=TrailLogs(exporter))`.

    Body of a log record is the stored line, its attributes name stream, sequence and leaf hash, so whoever reads it can
    match it to the trail.

    Args:
        exporter: any exporter of log records; should not be one that the trail's own runtime hears of.
        resource: None for that of the environment.
        max_bytes: stored bytes that may wait while the exporter is slow.
        runtime: whose errors count a loss; None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self,
        exporter: LogRecordExporter,
        *,
        resource: Resource | None = None,
        max_bytes: int = 16 << 20,
        runtime: Runtime | None = None,
    ) -> None:
        self._exporter = exporter
        self._counts_losses = not counts_its_losses(exporter)
        self._resource = resource or Resource.create()
        self._max_bytes = max_bytes
        self._runtime = runtime or default_runtime()
        self._errors = self._runtime.errors("audit")
        self._reset()
        run_in_child_after_fork(self._reset)
        self._at_exit = functools.partial(_close_at_exit, weakref.ref(self))
        atexit.register(self._at_exit)

    def _reset(self) -> None:
        """The state of a new one, and that of a forked child: what waited is the parent's to send."""
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._waiting = self._exported = 0
        self._lost: dict[str, int] = {}

    def __call__(self, lines: bytes) -> None:
        """Takes records as they are stored, each with its line feed; returns at once."""
        with self._lock:
            if self._closed:
                self._lose(CLOSED, lines.count(b"\n"))
                return
            if self._waiting and self._waiting + len(lines) > self._max_bytes:
                self._lose(QUEUE_FULL, lines.count(b"\n"))
                return
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending, or the process may have no more threads
                    self._lose(NOT_EXPORTED, lines.count(b"\n"))
                    return
                self._thread = thread
            self._waiting += len(lines)
            self._idle.clear()
            self._queue.put(lines)

    def _lose(self, reason: str, count: int) -> None:
        with self._lock:
            self._lost[reason] = self._lost.get(reason, 0) + count
        self._errors.record("logs", TrailLogsLost(reason))

    def _run(self) -> None:
        suppress_instrumentation_in_this_thread()
        while (lines := self._queue.get()) is not None:
            self._send(lines.splitlines())
            with self._lock:
                self._waiting -= len(lines)
                if self._queue.empty():
                    self._idle.set()

    def _send(self, lines: Sequence[bytes]) -> None:
        for start in range(0, len(lines), BATCH):
            batch = [record for line in lines[start : start + BATCH] if (record := self._record(line)) is not None]
            if not batch:
                continue
            try:
                taken = self._exporter.export(batch) is LogRecordExportResult.SUCCESS
            except Exception as error:
                self._errors.record("logs", error)
                self._lose(NOT_EXPORTED, len(batch))
                continue
            if taken:
                self._exported += len(batch)
            elif self._counts_losses:
                self._lose(NOT_EXPORTED, len(batch))

    def _record(self, line: bytes) -> ReadableLogRecord | None:
        try:
            emission = emission_of(line, tenant_attribute=self._runtime.tenant_attribute)
        except Exception:  # it is no record; never the end of the thread, or whoever waits for it would wait in vain
            self._lose(MALFORMED, 1)
            return None
        severity = SeverityNumber.WARN if emission.failed else SeverityNumber.INFO
        record = LogRecord(
            timestamp=emission.time_ns,
            observed_timestamp=self._runtime.clock.time_ns(),
            context=_context(emission),
            severity_number=severity,
            severity_text=severity.name,
            body=emission.body,
            attributes=emission.attributes,
            event_name=EVENT_NAME,
        )
        return ReadableLogRecord(log_record=record, resource=self._resource, instrumentation_scope=_SCOPE)

    def stats(self) -> TrailLogsStats:
        """What was done so far in this process."""
        with self._lock:
            return TrailLogsStats(exported=self._exported, waiting_bytes=self._waiting, lost=dict(self._lost))

    def flush(self, deadline: Deadline | float = 5.0) -> bool:
        """Whether everything taken so far left or was lost, and the exporter is flushed, in time (a float: seconds)."""
        within = deadline if isinstance(deadline, Deadline) else Deadline(deadline)
        done = self._idle.wait(within.remaining)
        return flush_within(self._exporter, within, self._errors) and done

    def close(self, timeout: float = 5.0) -> bool:
        """Exports what waits and shuts the exporter down; whether it was given everything within `timeout` seconds.

        How long an exporter that cannot deliver is waited for is its own affair. Closing twice does nothing.
        """
        with self._lock:
            if self._closed:
                return True
            self._closed = True
        atexit.unregister(self._at_exit)
        deadline = Deadline(timeout)
        done = self._idle.wait(deadline.remaining)
        self._queue.put(None)
        shutdown_within(self._exporter, deadline, self._errors)
        return done


def _context(emission: Emission) -> Context:
    """The context of the decision: its span, or none at all."""
    if not emission.trace_id:
        return Context()
    span = NonRecordingSpan(SpanContext(emission.trace_id, emission.span_id, is_remote=False))
    return set_span_in_context(span, Context())


def _close_at_exit(reference: weakref.ref[TrailLogs]) -> None:
    logs = reference()
    if logs is not None:
        logs.close(_AT_EXIT)
