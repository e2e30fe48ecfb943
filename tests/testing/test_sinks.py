from __future__ import annotations

import logging
import threading
import time

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult

from otelwarden.core import GovernanceEvent
from otelwarden.testing import (
    EventRecorder,
    RecordingLogRecordExporter,
    RecordingLogRecordProcessor,
    RecordingSpanExporter,
    RecordingSpanProcessor,
)


def test_a_span_exporter_keeps_spans_and_batches() -> None:
    exporter = RecordingSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=2))
    for name in "abc":
        provider.get_tracer("scope").start_span(name).end()
    provider.shutdown()
    assert [span.name for span in exporter.spans] == ["a", "b", "c"]
    assert sum(exporter.batches, ()) == exporter.spans
    assert max(map(len, exporter.batches)) <= 2
    assert exporter.shutdowns == 1


def test_a_log_record_exporter_keeps_records_and_batches() -> None:
    exporter = RecordingLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_export_batch_size=2))
    for body in "abc":
        provider.get_logger("scope").emit(LogRecord(body=body))
    provider.shutdown()
    assert [record.log_record.body for record in exporter.records] == ["a", "b", "c"]
    assert sum(exporter.batches, ()) == exporter.records
    assert exporter.shutdowns == 1


def test_an_exporter_answers_what_it_was_told_and_can_be_told_otherwise() -> None:
    spans = RecordingSpanExporter(result=SpanExportResult.FAILURE)
    records = RecordingLogRecordExporter(result=LogRecordExportResult.FAILURE)
    assert spans.export([]) is SpanExportResult.FAILURE
    assert records.export([]) is LogRecordExportResult.FAILURE
    spans.result = SpanExportResult.SUCCESS
    assert spans.export([]) is SpanExportResult.SUCCESS
    assert (len(spans.batches), len(records.batches)) == (2, 1)


def test_an_exporter_raises_what_it_was_told(caplog: pytest.LogCaptureFixture) -> None:
    exporter = RecordingSpanExporter(error=OSError("disk full"))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with caplog.at_level(logging.ERROR):
        provider.get_tracer("scope").start_span("name").end()
    assert "disk full" in caplog.text
    assert [span.name for span in exporter.spans] == ["name"]
    exporter.error = None
    assert exporter.export([]) is SpanExportResult.SUCCESS


@pytest.mark.parametrize("make", [RecordingSpanExporter, RecordingLogRecordExporter])
def test_an_export_waits_at_the_gate(make: type[RecordingSpanExporter] | type[RecordingLogRecordExporter]) -> None:
    gate = threading.Event()
    exporter = make(gate=gate)
    export = threading.Thread(target=exporter.export, args=([],))
    export.start()
    deadline = time.monotonic() + 60
    while not exporter.batches:  # one can see that it waits
        assert time.monotonic() < deadline
        time.sleep(0.001)
    export.join(0.05)
    assert export.is_alive()
    gate.set()
    export.join()


def test_a_span_processor_keeps_what_it_was_shown() -> None:
    processor = RecordingSpanProcessor()
    provider = TracerProvider()
    provider.add_span_processor(processor)
    context = Context({"key": "value"})
    span = provider.get_tracer("scope").start_span("name", context=context)
    assert (processor.started, processor.parent_contexts, processor.ended) == ((span,), (context,), ())
    span.end()
    provider.force_flush()
    provider.shutdown()
    assert [ended.name for ended in processor.ended] == ["name"]
    assert (processor.flushed, processor.shutdowns) == (1, 1)


def test_a_log_record_processor_keeps_what_it_was_shown() -> None:
    processor = RecordingLogRecordProcessor()
    provider = LoggerProvider()
    provider.add_log_record_processor(processor)
    provider.get_logger("scope").emit(LogRecord(body="body"))
    provider.force_flush()
    provider.shutdown()
    assert [emitted.log_record.body for emitted in processor.emitted] == ["body"]
    assert (processor.flushed, processor.shutdowns) == (1, 1)


def test_exporters_serve_the_simple_processors() -> None:
    exporter = RecordingLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("scope").emit(LogRecord(body="body"))
    assert [record.log_record.body for record in exporter.records] == ["body"]


def test_an_event_recorder_is_an_observer() -> None:
    recorder = EventRecorder()
    event = GovernanceEvent(time_ns=1, component="quota", action="drop", reason="rate")
    recorder(event)
    recorder.events.clear()
    assert recorder.events == [event]
