"""Canaries in every place of every signal: none of them may be in the OTLP message that leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otelwarden.core import Runtime
from otelwarden.redaction import (
    RedactionLogRecordExporter,
    RedactionLogRecordProcessor,
    RedactionMetricReader,
    RedactionSpanExporter,
    RedactionSpanProcessor,
)

POLICIES = ("pii", "secrets")


class Canaries:
    """Hands out secrets, no two alike, and knows them all."""

    def __init__(self) -> None:
        self._number = 0
        self.planted: list[str] = []

    def __call__(self) -> str:
        self._number += 1
        self.planted.append(f"canary{self._number}@leak.example")
        return self.planted[-1]

    def survivors(self, message: bytes) -> list[str]:
        return [canary for canary in self.planted if canary.encode() in message]


@pytest.fixture
def canary() -> Iterator[Canaries]:
    yield Canaries()


def nested(canary: Canaries) -> dict[str, Any]:
    return {"list": [canary(), {"deep": [canary()], canary(): 1}], "text": canary()}


def resource(canary: Canaries) -> Resource:
    return Resource(
        {"host.owner": canary(), f"owner {canary()}": "x", "admins": [canary(), canary()]}, f"https://x/{canary()}"
    )


def test_spans(canary: Canaries) -> None:
    memory, runtime = InMemorySpanExporter(), Runtime()
    provider = TracerProvider(resource=resource(canary))
    provider.add_span_processor(SimpleSpanProcessor(RedactionSpanExporter(memory, policy=POLICIES, runtime=runtime)))
    tracer = provider.get_tracer(canary(), canary(), f"https://schema/{canary()}", {"team": canary()})
    remote = SpanContext(1, 2, True, TraceFlags(1), TraceState([("vendor", canary())]))
    other = SpanContext(3, 4, True, TraceFlags(1), TraceState([("vendor", canary())]))
    span = tracer.start_span(
        f"GET {canary()}",
        context=set_span_in_context(NonRecordingSpan(remote)),
        attributes={
            "text": canary(),
            canary(): "key",
            "list": [canary(), canary()],
            "bytes": canary().encode(),
            "latin": b"\xff " + canary().encode(),
            "card": 4242424242424242,
            "float": 4000056655665556.0,
            "password": "hunter2hunter2",
        },
        links=[Link(other, {"who": canary(), canary(): "key"})],
    )
    span.add_event(f"login {canary()}", {"who": canary(), canary(): "key"})
    span.record_exception(ValueError(f"no {canary()}"))
    span.set_status(Status(StatusCode.ERROR, canary()))
    span.end()
    canary.planted += ["hunter2hunter2", "4242424242424242", "4000056655665556"]
    (left,) = memory.get_finished_spans()
    message = encode_spans([left]).SerializeToString()
    assert canary.survivors(message) == []
    seen = [left.name, left.attributes, [(e.name, e.attributes) for e in left.events], left.resource.attributes]
    assert canary.survivors(repr(seen).encode()) == []
    assert b"[REDACTED]" in message
    assert isinstance((left.attributes or {})["bytes"], bytes)
    assert {d.reason for d in runtime.decisions()} == {"pii", "secrets"}


def test_nested_attribute_values_of_spans(canary: Canaries) -> None:
    memory = InMemorySpanExporter()
    exporter = RedactionSpanExporter(memory, policy=POLICIES, runtime=Runtime())
    exporter.export([ReadableSpan("x", SpanContext(1, 2, False), attributes={"value": nested(canary)})])
    (left,) = memory.get_finished_spans()
    assert canary.survivors(repr(dict(left.attributes or {})).encode()) == []
    assert canary.survivors(encode_spans([left]).SerializeToString()) == []


@pytest.mark.parametrize("kind", ["processor", "exporter"])
def test_log_records(canary: Canaries, kind: str) -> None:
    memory, runtime = InMemoryLogRecordExporter(), Runtime()
    provider = LoggerProvider(resource=resource(canary))
    if kind == "processor":
        provider.add_log_record_processor(
            RedactionLogRecordProcessor(SimpleLogRecordProcessor(memory), policy=POLICIES, runtime=runtime)
        )
    else:
        exporter = RedactionLogRecordExporter(memory, policy=POLICIES, runtime=runtime)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger(canary(), canary(), f"https://schema/{canary()}", {"team": canary()})
    for body in (f"login {canary()}", nested(canary), [canary(), [canary()]], canary().encode()):
        logger.emit(
            LogRecord(
                timestamp=1,
                severity_text=f"WARN {canary()}",
                severity_number=SeverityNumber.WARN,
                body=body,
                event_name=f"login.{canary()}",
                attributes={"who": canary(), canary(): "key", "nested": nested(canary), "list": [canary()]},
                exception=ValueError(canary()),
            )
        )
    left = memory.get_finished_logs()
    assert len(left) == 4
    assert canary.survivors(encode_logs(left).SerializeToString()) == []
    assert canary.survivors("".join(record.to_json() for record in left).encode()) == []
    assert all(record.log_record.exception is None for record in left)


def test_metrics(canary: Canaries) -> None:
    memory, runtime = InMemoryMetricReader(), Runtime()
    provider = MeterProvider(
        metric_readers=[RedactionMetricReader(memory, policy=POLICIES, runtime=runtime)],
        resource=resource(canary),
        exemplar_filter=AlwaysOnExemplarFilter(),
        views=[
            View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation()),
            View(instrument_name="filtered", attribute_keys={"kept"}),
        ],
    )
    meter = provider.get_meter(canary(), canary(), f"https://schema/{canary()}", {"team": canary()})
    meter.create_counter("described", description=f"by {canary()}", unit="12.3.4.5").add(1, {"who": canary()})
    meter.create_counter("requests").add(1, {"who": canary(), canary(): "key"})
    meter.create_counter("filtered").add(1, {"kept": "x", "who": canary(), canary(): "key"})
    meter.create_up_down_counter("queue").add(-1, {"who": canary()})
    meter.create_gauge("heat").set(3.5, {"who": [canary()]})  # type: ignore[dict-item]
    histograms: list[HistogramInstrument] = [meter.create_histogram(n) for n in ("latency", "exponential")]
    for histogram in histograms:
        histogram.record(3.5, {"who": canary()})
    data = memory.get_metrics_data()
    assert data is not None
    message = encode_metrics(data).SerializeToString()
    assert canary.survivors(message) == []
    assert b"12.3.4.5" not in message
    assert b"filtered_attributes" not in message
    assert canary.survivors(data.to_json().encode()) == []


def test_names_of_metrics(canary: Canaries) -> None:
    memory = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[RedactionMetricReader(memory, policy=["secrets"], runtime=Runtime())])
    name = "AKIAIOSFODNN7EXAMPLE"
    provider.get_meter("m").create_counter(name).add(1)
    data = memory.get_metrics_data()
    assert data is not None
    assert name not in data.to_json()


def test_a_clean_span_passes_untouched() -> None:
    for stage in ("processor", "exporter"):
        memory, plain = InMemorySpanExporter(), InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({"service.name": "auth-api"}))
        if stage == "processor":
            inner = SimpleSpanProcessor(memory)
            provider.add_span_processor(RedactionSpanProcessor(inner, policy=POLICIES, runtime=Runtime()))
            provider.add_span_processor(SimpleSpanProcessor(plain))
        else:
            exporter = RedactionSpanExporter(memory, policy=POLICIES, runtime=Runtime())
            provider.add_span_processor(SimpleSpanProcessor(plain))
        span = provider.get_tracer("t", "1").start_span("GET /", attributes={"a": "b", "n": 3, "l": ["x"], "ok": True})
        span.add_event("e", {"x": "y"})
        span.end()
        if stage == "exporter":
            exporter.export(plain.get_finished_spans())
        assert memory.get_finished_spans()[0] is plain.get_finished_spans()[0]


def test_a_clean_log_record_passes_untouched() -> None:
    memory, plain = InMemoryLogRecordExporter(), InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=Resource({"service.name": "auth-api"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(plain))
    provider.get_logger("t").emit(LogRecord(body={"a": ["b", 1, None]}, attributes={"x": "y"}))
    RedactionLogRecordExporter(memory, policy=POLICIES, runtime=Runtime()).export(plain.get_finished_logs())
    assert memory.get_finished_logs()[0] is plain.get_finished_logs()[0]


@pytest.mark.parametrize("body", ["jane@example.com", ["jane@example.com"], {"a": ["jane@example.com"]}], ids=repr)
def test_a_body_that_is_deleted_is_none(tmp_path: Path, body: Any) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("rules: [{id: a, match: {entities: [EMAIL]}, action: {delete: {}}}]", encoding="utf-8")
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    exporter = RedactionLogRecordExporter(memory, policy=[path], runtime=Runtime())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("t").emit(LogRecord(body=body, attributes={"mails": ["jane@example.com"], "x": "y"}))
    (left,) = memory.get_finished_logs()
    assert (left.log_record.body, dict(left.log_record.attributes or {})) == (None, {"x": "y"})


def test_the_tag_of_the_tenant_is_left_alone() -> None:
    memory = InMemorySpanExporter()
    runtime = Runtime(tenant_attribute="customer")
    exporter = RedactionSpanExporter(memory, policy=POLICIES, runtime=runtime)
    exporter.export(
        [ReadableSpan("x", SpanContext(1, 2, False), attributes={"customer": "10.1.2.3", "ip": "10.1.2.3"})]
    )
    assert dict(memory.get_finished_spans()[0].attributes or {}) == {"customer": "10.1.2.3", "ip": "[REDACTED]"}


def test_counts_of_what_the_sdk_dropped_are_kept() -> None:
    from opentelemetry.sdk.trace import SpanLimits

    memory = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=1, max_events=1))
    provider.add_span_processor(SimpleSpanProcessor(RedactionSpanExporter(memory, policy=POLICIES, runtime=Runtime())))
    span = provider.get_tracer("t").start_span("x", attributes={"a": 1, "b": "jane@example.com"})
    span.add_event("one")
    span.add_event("jane@example.com")
    span.end()
    (left,) = memory.get_finished_spans()
    assert (left.dropped_attributes, left.dropped_events) == (1, 1)
    assert left.events[0].name == "[REDACTED]"
