"""The stages in real providers: what leaves is counted, sealed, and never quoted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from otelwarden.audit import (
    AuditLogRecordExporter,
    AuditLogRecordProcessor,
    AuditMetricReader,
    AuditSpanExporter,
    AuditSpanProcessor,
    AuditTrail,
    Status,
    read_records,
    verify,
)
from otelwarden.core import GovernanceEvent, Runtime, SpanStageProcessor, total, use_tenant
from otelwarden.testing import (
    RecordingLogRecordExporter,
    RecordingLogRecordProcessor,
    RecordingSpanExporter,
    RecordingSpanProcessor,
)

CANARY = "canary-4f1c-do-not-record"
OpenTrail = Callable[..., AuditTrail]


def exports(trail: AuditTrail) -> dict[tuple[str, str, str], int]:
    assert trail.flush()
    found: dict[tuple[str, str, str], int] = {}
    for each in read_records(trail.path):
        if each["action"] == "export":
            key = (each["signal"], each["tenant"], each["reason"])
            found[key] = found.get(key, 0) + each["count"]
    return found


def spans(trail: AuditTrail, exporter: RecordingSpanExporter, runtime: Runtime, **options: Any) -> TracerProvider:
    """Tenancy's place is taken by a stage that does nothing but find out whose a span is."""
    batch = BatchSpanProcessor(AuditSpanExporter(exporter, trail=trail, **options))
    provider = TracerProvider()
    provider.add_span_processor(
        SpanStageProcessor(batch, lambda span, state: span, component="tenancy", on_error="pass", runtime=runtime)
    )
    tracer = provider.get_tracer("test")
    for i in range(90):
        with use_tenant(f"t{i % 3}"), tracer.start_as_current_span(CANARY, attributes={"secret": CANARY}) as span:
            span.add_event(CANARY)
    provider.force_flush()
    return provider


def test_spans_that_left(open_trail: OpenTrail, runtime: Runtime) -> None:
    trail, sink = open_trail(), RecordingSpanExporter()
    spans(trail, sink, runtime).shutdown()
    assert len(sink.spans) == 90
    assert exports(trail) == {("traces", f"t{i}", "delivered"): 30 for i in range(3)}
    assert trail.close()
    assert verify(trail.path).status is Status.OK
    balance = total(runtime.balances(), "audit", "traces")
    assert (balance.received, balance.forwarded, balance.unaccounted) == (90, 90, 0)


@pytest.mark.parametrize("error", [None, ValueError(CANARY)], ids=["failure", "raises"])
def test_spans_that_were_not_delivered(open_trail: OpenTrail, runtime: Runtime, error: Exception | None) -> None:
    trail = open_trail()
    spans(trail, RecordingSpanExporter(result=SpanExportResult.FAILURE, error=error), runtime).shutdown()
    assert exports(trail) == {("traces", f"t{i}", "failed"): 30 for i in range(3)}
    outcomes = {each["outcome"] for each in read_records(trail.path) if each["action"] == "export"}
    assert outcomes == {"failure"}


def test_a_span_processor(open_trail: OpenTrail, runtime: Runtime) -> None:
    trail, sink = open_trail(), RecordingSpanProcessor()
    provider = TracerProvider()
    provider.add_span_processor(AuditSpanProcessor(sink, trail=trail))
    with use_tenant("acme"):
        for _ in range(10):
            provider.get_tracer("test").start_span(CANARY).end()
    assert exports(trail) == {("traces", "acme", "handed_on"): 10}
    provider.shutdown()


@pytest.mark.parametrize("result", list(LogRecordExportResult))
def test_log_records(open_trail: OpenTrail, result: LogRecordExportResult) -> None:
    trail = open_trail()
    provider = LoggerProvider()
    sink = RecordingLogRecordExporter(result=result)
    provider.add_log_record_processor(
        AuditLogRecordProcessor(BatchLogRecordProcessor(AuditLogRecordExporter(sink, trail=trail)), trail=trail)
    )
    logger = provider.get_logger("test")
    with use_tenant("acme"):
        for _ in range(10):
            logger.emit(LogRecord(body=CANARY, attributes={"secret": CANARY}))
    provider.force_flush()
    reason = "delivered" if result is LogRecordExportResult.SUCCESS else "failed"
    # The SDK's batch processor copies each record, and the copy does not know whose it is; ours keeps that.
    assert exports(trail) == {("logs", "acme", "handed_on"): 10, ("logs", "unattributed", reason): 10}
    provider.shutdown()


def test_a_log_record_processor_alone(open_trail: OpenTrail) -> None:
    trail, sink = open_trail(), RecordingLogRecordProcessor()
    provider = LoggerProvider()
    provider.add_log_record_processor(AuditLogRecordProcessor(sink, trail=trail))
    provider.get_logger("test").emit(LogRecord(body=CANARY))
    assert exports(trail) == {("logs", "unattributed", "handed_on"): 1}
    provider.shutdown()


def test_metric_points(open_trail: OpenTrail, runtime: Runtime) -> None:
    trail, inner = open_trail(), InMemoryMetricReader()
    provider = MeterProvider([AuditMetricReader(inner, trail=trail)])
    counter = provider.get_meter("test").create_counter("sold")
    for tenant in ("acme", "acme", "beta"):
        counter.add(1, {"tenant.id": tenant, "secret": CANARY})
    counter.add(1)
    assert inner.get_metrics_data() is not None
    assert exports(trail) == {("metrics", tenant, "handed_on"): 1 for tenant in ("acme", "beta", "unattributed")}
    provider.shutdown()


def unwritable(trail: AuditTrail) -> None:
    """A decision that cannot be recorded: where the stream would be made stands a file."""
    keys = trail.path / "keys"
    for file in keys.iterdir():
        file.unlink()
    keys.rmdir()
    trail.path.rmdir()
    trail.path.write_text("in the way")
    trail.append_sync(GovernanceEvent(1, "quota", "reload", "x"))


@pytest.mark.parametrize(("on_error", "left"), [("pass", 90), ("drop", 0)])
def test_what_happens_when_the_trail_cannot_be_written(
    open_trail: OpenTrail, runtime: Runtime, on_error: str, left: int
) -> None:
    trail, sink = open_trail(), RecordingSpanExporter()
    unwritable(trail)
    assert trail.failing
    spans(trail, sink, runtime, on_error=on_error).shutdown()
    assert len(sink.spans) == left
    balance = total(runtime.balances(), "audit", "traces")
    assert balance.unaccounted == 0
    assert balance.dropped.get("audit_unavailable", 0) == 90 - left


def test_metrics_wait_for_the_trail_where_that_is_asked_for(open_trail: OpenTrail, runtime: Runtime) -> None:
    trail, inner = open_trail(), InMemoryMetricReader()
    unwritable(trail)
    provider = MeterProvider([AuditMetricReader(inner, trail=trail, on_error="drop")])
    provider.get_meter("test").create_counter("sold").add(1)
    assert inner.get_metrics_data() is None
    assert total(runtime.balances(), "audit", "metrics").dropped == {"audit_unavailable": 1}
    provider.shutdown()


def test_no_value_is_ever_recorded(open_trail: OpenTrail, runtime: Runtime, tmp_path: Path) -> None:
    trail = open_trail(witness=tmp_path / "witness")
    runtime.observe(trail)
    spans(trail, RecordingSpanExporter(error=ValueError(CANARY)), runtime).shutdown()
    spans(trail, RecordingSpanExporter(), runtime).shutdown()
    assert trail.close()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 4
    for file in files:
        assert CANARY.encode() not in file.read_bytes()
