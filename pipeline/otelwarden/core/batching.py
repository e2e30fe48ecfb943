"""Batching for spans and logs: bounded, fair, every loss counted, one deadline, safe to fork."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core.batcher import BatchConfig, Batcher
from otelwarden.core.chain import counts_its_losses
from otelwarden.core.copies import detach_log
from otelwarden.core.deadline import Deadline
from otelwarden.core.events import LOGS, TRACES
from otelwarden.core.protocols import ContextResolver
from otelwarden.core.runtime import Runtime, default_runtime
from otelwarden.core.state import begin_log, begin_span, end_span

_RESOLVER: Final = ContextResolver()


class FairBatchSpanProcessor(SpanProcessor):
    """Batches sampled spans for an exporter, fairly among tenants.

    Args:
        exporter: gets the batches, one at a time, in a thread of the processor's own.
        config: bounds and delays.
    """

    ignores_starts = True

    def __init__(
        self, exporter: SpanExporter, *, config: BatchConfig | None = None, runtime: Runtime | None = None
    ) -> None:
        counts = counts_its_losses(exporter)

        def export(batch: Sequence[ReadableSpan]) -> bool:
            return exporter.export(batch) is SpanExportResult.SUCCESS or counts

        self._batcher: Batcher[ReadableSpan] = Batcher(
            exporter, export, TRACES, config=config or BatchConfig(), runtime=runtime or default_runtime()
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Makes the span's state, where no stage in front of this processor has done so."""
        try:
            begin_span(span, parent_context, _RESOLVER)
        except Exception as error:
            self._batcher.errors.record("on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a sampled span."""
        state = end_span(span, _RESOLVER)
        if state.sampled:
            self._batcher.put(span, state.tenant)
        else:
            self._batcher.refuse(state.tenant, "not_sampled")

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Exports what is queued and shuts down the exporter."""
        self._batcher.shutdown(Deadline.after_millis(timeout_millis))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Exports what is queued and flushes the exporter."""
        return self._batcher.flush(Deadline.after_millis(timeout_millis))


class FairBatchLogRecordProcessor(LogRecordProcessor):
    """Batches log records for an exporter, fairly among tenants; the arguments are those of `FairBatchSpanProcessor`.

    The defaults of the SDK's own differ in one thing: logs wait 1 second, not 5.
    """

    def __init__(
        self, exporter: LogRecordExporter, *, config: BatchConfig | None = None, runtime: Runtime | None = None
    ) -> None:
        counts = counts_its_losses(exporter)

        def export(batch: Sequence[ReadableLogRecord]) -> bool:
            return exporter.export(batch) is LogRecordExportResult.SUCCESS or counts

        self._batcher: Batcher[ReadableLogRecord] = Batcher(
            exporter,
            export,
            LOGS,
            config=config or BatchConfig(schedule_delay=1.0),
            runtime=runtime or default_runtime(),
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queues a copy of the record, as later processors may change it."""
        state = begin_log(log_record, _RESOLVER)
        resource = log_record.resource if log_record.resource is not None else Resource.get_empty()
        self._batcher.put(detach_log(log_record, resource), state.tenant)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Exports what is queued and shuts down the exporter."""
        self._batcher.shutdown(Deadline.after_millis(timeout_millis))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Exports what is queued and flushes the exporter."""
        return self._batcher.flush(Deadline.after_millis(timeout_millis))
