"""The two kinds of stage over one transform: a processor that decorates a processor, an exporter that decorates one.

A component that looks at finished items implements `(item, state) -> item | Drop`. As a processor it runs in the
application's thread when the item ends; as an exporter it runs over whole batches in the export thread. Either takes
the next one in line as its first argument: the SDK's own fan-out hands the *same* item to every processor, so a
redactor that is merely registered beside an exporter leaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core._sdk import STATE, EndingHook, state_at_end
from otelwarden.core.chain import counts_its_losses, flush_within, shutdown_within
from otelwarden.core.deadline import Deadline
from otelwarden.core.drop import DROP_ON_ERROR, Drop
from otelwarden.core.events import LOGS, TRACES
from otelwarden.core.failure import OnError
from otelwarden.core.protocols import ContextResolver, TenantResolver
from otelwarden.core.runtime import Runtime
from otelwarden.core.stage import LogTransform, SpanStart, SpanTransform, Stage
from otelwarden.core.state import ItemState, begin_log, begin_span, end_span, state_of

_DEFAULT_RESOLVER = ContextResolver()


@runtime_checkable
class IgnoresStarts(Protocol):
    """A span processor whose `on_start` does nothing once a stage before it has made the span's state."""

    ignores_starts: bool


def _first_that_starts(processor: SpanProcessor) -> Callable[[Span, Context | None], None] | None:
    """The next `on_start` down the chain that does anything; None when none does. Each one passed over saves 0.2 us."""
    while isinstance(processor, IgnoresStarts) and processor.ignores_starts:
        if not isinstance(processor, SpanStageProcessor):
            return None
        processor = processor._next
    return None if type(processor).on_start is SpanProcessor.on_start else processor.on_start


class SpanStageProcessor(EndingHook):
    """A stage that decorates a span processor.

    Args:
        next_processor: the next in line; gets what the transform lets through.
        on_start: what the component does with a span that starts.
        resolver: whose a span is that no stage before this one has asked about.
        count_bytes: whether the accounts are in bytes too. It costs 1 us for each item, nothing in front of a batch
            processor of ours, which measures anyway.
        held: says how many spans the stage holds, by tenant; `held_bytes` says how many bytes these have.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        transform: SpanTransform,
        *,
        component: str,
        on_error: OnError,
        on_start: SpanStart | None = None,
        resolver: TenantResolver | None = None,
        count_bytes: bool = False,
        runtime: Runtime | None = None,
        held: Callable[[], Mapping[str, int]] = dict,
        held_bytes: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._next = next_processor
        self._count_bytes = count_bytes
        self._stage: Stage[ReadableSpan] = Stage(
            component, TRACES, transform, on_error=on_error, runtime=runtime, held=held, held_bytes=held_bytes
        )
        self._resolver = resolver or _DEFAULT_RESOLVER
        self._start = on_start
        self.ignores_starts = on_start is None and type(self).on_start is SpanStageProcessor.on_start
        # Bound once: these are called for every span, in the application's thread.
        self._next_on_start = _first_that_starts(next_processor)
        self._next_on_end = next_processor.on_end

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Makes the span's state, lets the component act on it, and tells the next in line."""
        try:
            state = begin_span(span, parent_context, self._resolver)
            if self._start is not None:
                self._start(span, state)
        except Exception as error:
            self._stage.errors.record("on_start", error)
        if self._next_on_start is None:
            return
        try:
            self._next_on_start(span, parent_context)
        except Exception as error:
            self._stage.errors.record("next.on_start", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Hands what the transform makes of the span to the next in line."""
        stage = self._stage
        state: ItemState | None = getattr(span, STATE, None) or state_at_end(span)
        if state is None:
            state = self._resolved(span)
        account = stage.accounts[state.tenant]
        account.received.tick()
        size = stage.receive_bytes(span, account) if self._count_bytes else 0
        try:
            result = stage.transform(span, state)
        except Exception as error:
            result = stage.failed(span, error)
        if result is not span and isinstance(result, Drop):
            stage.dropped(span, state.tenant, result, size)
            return
        try:
            self._next_on_end(result)
        except Exception as error:
            stage.errors.record("next.on_end", error)
            stage.dropped(span, state.tenant, DROP_ON_ERROR, size)
            return
        account.forwarded.tick()
        if size:
            account.forwarded_bytes.add(size)

    def _resolved(self, span: ReadableSpan) -> ItemState:
        try:
            return end_span(span, self._resolver)
        except Exception as error:
            self._stage.errors.record("resolve", error)
            return state_of(span)

    def ending_failed(self, error: Exception) -> None:
        """Counts what the next in line raised while a span was ending."""
        self._stage.errors.record("next.on_ending", error)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Shuts down the next in line."""
        shutdown_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes the next in line."""
        return flush_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)


class LogStageProcessor(LogRecordProcessor):
    """A stage that decorates a log record processor; the arguments are those of `SpanStageProcessor`."""

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        transform: LogTransform,
        *,
        component: str,
        on_error: OnError,
        resolver: TenantResolver | None = None,
        count_bytes: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        self._next = next_processor
        self._next_on_emit = next_processor.on_emit
        self._count_bytes = count_bytes
        self._stage: Stage[ReadWriteLogRecord] = Stage(component, LOGS, transform, on_error=on_error, runtime=runtime)
        self._resolver = resolver or _DEFAULT_RESOLVER

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Hands what the transform makes of the record to the next in line."""
        stage = self._stage
        state: ItemState | None = getattr(log_record, STATE, None)
        if state is None:
            state = self._begun(log_record)
        account = stage.accounts[state.tenant]
        account.received.tick()
        size = stage.receive_bytes(log_record, account) if self._count_bytes else 0
        try:
            result = stage.transform(log_record, state)
        except Exception as error:
            result = stage.failed(log_record, error)
        if result is not log_record and isinstance(result, Drop):
            stage.dropped(log_record, state.tenant, result, size)
            return
        try:
            self._next_on_emit(result)
        except Exception as error:
            stage.errors.record("next.on_emit", error)
            stage.dropped(log_record, state.tenant, DROP_ON_ERROR, size)
            return
        account.forwarded.tick()
        if size:
            account.forwarded_bytes.add(size)

    def _begun(self, log_record: ReadWriteLogRecord) -> ItemState:
        try:
            return begin_log(log_record, self._resolver)
        except Exception as error:
            self._stage.errors.record("resolve", error)
            return state_of(log_record)

    def enabled(self, **parameters: Any) -> bool:
        """What the next in line says: a stage may drop any record, but promises nothing before it has seen it."""
        try:
            return self._next.enabled(**parameters)
        except Exception as error:
            self._stage.errors.record("next.enabled", error)
            return True

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Shuts down the next in line."""
        shutdown_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes the next in line."""
        return flush_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)


class SpanStageExporter(SpanExporter):
    """A stage that decorates a span exporter and works on whole batches.

    Args:
        next_exporter: the next in line; gets what the transform leaves of a batch, and nothing if nothing is left.
    """

    counts_its_losses = True

    def __init__(
        self,
        next_exporter: SpanExporter,
        transform: SpanTransform,
        *,
        component: str,
        on_error: OnError,
        runtime: Runtime | None = None,
    ) -> None:
        self._next = next_exporter
        self._next_counts = counts_its_losses(next_exporter)
        self._stage: Stage[ReadableSpan] = Stage(component, TRACES, transform, on_error=on_error, runtime=runtime)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports what the transform leaves of the batch."""
        return SpanExportResult.SUCCESS if self._stage.export(spans, self._forward) else SpanExportResult.FAILURE

    def _forward(self, spans: list[ReadableSpan]) -> bool:
        return self._next.export(spans) is SpanExportResult.SUCCESS or self._next_counts

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Shuts down the next in line."""
        shutdown_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes the next in line."""
        return flush_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)


class LogStageExporter(LogRecordExporter):
    """A stage that decorates a log record exporter; the arguments are those of `SpanStageExporter`."""

    counts_its_losses = True

    def __init__(
        self,
        next_exporter: LogRecordExporter,
        transform: LogTransform,
        *,
        component: str,
        on_error: OnError,
        runtime: Runtime | None = None,
    ) -> None:
        self._next = next_exporter
        self._next_counts = counts_its_losses(next_exporter)
        self._stage: Stage[ReadableLogRecord] = Stage(component, LOGS, transform, on_error=on_error, runtime=runtime)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Exports what the transform leaves of the batch."""
        done = self._stage.export(batch, self._forward)
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def _forward(self, batch: list[ReadableLogRecord]) -> bool:
        return self._next.export(batch) is LogRecordExportResult.SUCCESS or self._next_counts

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Shuts down the next in line."""
        shutdown_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes the next in line."""
        return flush_within(self._next, Deadline.after_millis(timeout_millis), self._stage.errors)
