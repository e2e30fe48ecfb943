"""Sinks that remember what reached them: real subclasses of the SDK's, for the end of a pipeline under test."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from otelwarden.core import GovernanceEvent

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Lifecycle:
    """Counts the calls that every sink gets from its provider."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.flushed = 0
        """Calls of `force_flush`."""
        self.shutdowns = 0
        """Calls of `shutdown`."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Counts the call; there is nothing to flush."""
        with self._lock:
            self.flushed += 1
        return True

    def shutdown(self) -> None:
        """Counts the call; what comes later is still recorded, so that a test can see it."""
        with self._lock:
            self.shutdowns += 1


class _BatchRecorder(_Lifecycle, Generic[_Item, _Result]):
    """Records batches as they arrive, then waits, raises or answers as it was told."""

    def __init__(self, *, result: _Result, error: BaseException | None, gate: threading.Event | None) -> None:
        super().__init__()
        self.result = result
        """What `export` answers; may be changed at any time."""
        self.error = error
        """What `export` raises, None for nothing; may be changed at any time."""
        self._gate = gate
        self._batches: list[tuple[_Item, ...]] = []

    @property
    def batches(self) -> tuple[tuple[_Item, ...], ...]:
        """Every batch so far, those included that were answered with a failure or still wait at the gate."""
        with self._lock:
            return tuple(self._batches)

    def _items(self) -> tuple[_Item, ...]:
        return tuple(item for batch in self.batches for item in batch)

    def _record(self, batch: Sequence[_Item]) -> _Result:
        with self._lock:
            self._batches.append(tuple(batch))
        if self._gate is not None:
            self._gate.wait()
        if self.error is not None:
            raise self.error
        return self.result


class RecordingSpanExporter(_BatchRecorder[ReadableSpan, SpanExportResult], SpanExporter):
    """A span exporter that keeps what it was given; safe to use from many threads.

    Args:
        result: what `export` answers.
        error: what `export` raises instead.
        gate: `export` waits until it is set, after it has recorded the batch.
    """

    def __init__(
        self,
        *,
        result: SpanExportResult = SpanExportResult.SUCCESS,
        error: BaseException | None = None,
        gate: threading.Event | None = None,
    ) -> None:
        super().__init__(result=result, error=error, gate=gate)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans of all batches."""
        return self._items()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Records the batch, then does as it was told."""
        return self._record(spans)


class RecordingLogRecordExporter(_BatchRecorder[ReadableLogRecord, LogRecordExportResult], LogRecordExporter):
    """A log record exporter that keeps what it was given; safe to use from many threads.

    Args:
        result: what `export` answers.
        error: what `export` raises instead.
        gate: `export` waits until it is set, after it has recorded the batch.
    """

    def __init__(
        self,
        *,
        result: LogRecordExportResult = LogRecordExportResult.SUCCESS,
        error: BaseException | None = None,
        gate: threading.Event | None = None,
    ) -> None:
        super().__init__(result=result, error=error, gate=gate)

    @property
    def records(self) -> tuple[ReadableLogRecord, ...]:
        """The records of all batches."""
        return self._items()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Records the batch, then does as it was told."""
        return self._record(batch)


class RecordingSpanProcessor(_Lifecycle, SpanProcessor):
    """A span processor that keeps what it was shown; safe to use from many threads."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[tuple[Span, Context | None]] = []
        self._ended: list[ReadableSpan] = []

    @property
    def started(self) -> tuple[Span, ...]:
        """The spans given to `on_start`."""
        with self._lock:
            return tuple(span for span, _ in self._started)

    @property
    def parent_contexts(self) -> tuple[Context | None, ...]:
        """The parent contexts given to `on_start`, in the order of `started`; None means the current one."""
        with self._lock:
            return tuple(context for _, context in self._started)

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        """The spans given to `on_end`."""
        with self._lock:
            return tuple(self._ended)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Records the span."""
        with self._lock:
            self._started.append((span, parent_context))

    def on_end(self, span: ReadableSpan) -> None:
        """Records the span."""
        with self._lock:
            self._ended.append(span)


class RecordingLogRecordProcessor(_Lifecycle, LogRecordProcessor):
    """A log record processor that keeps what it was shown; safe to use from many threads."""

    def __init__(self) -> None:
        super().__init__()
        self._emitted: list[ReadWriteLogRecord] = []

    @property
    def emitted(self) -> tuple[ReadWriteLogRecord, ...]:
        """The records given to `on_emit`."""
        with self._lock:
            return tuple(self._emitted)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Records the record."""
        with self._lock:
            self._emitted.append(log_record)


class EventRecorder:
    """An observer that keeps the governance events it was told; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[GovernanceEvent] = []

    @property
    def events(self) -> list[GovernanceEvent]:
        """Every event so far, in order."""
        with self._lock:
            return list(self._events)

    def __call__(self, event: GovernanceEvent) -> None:
        """Records the event."""
        with self._lock:
            self._events.append(event)
