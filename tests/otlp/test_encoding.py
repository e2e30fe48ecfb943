"""Encoding against the public encoders: equal wherever they succeed, repaired where they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as public_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as public_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otelwarden.otlp import encode_logs, encode_metrics, encode_spans
from otelwarden.otlp.repair import TOO_DEEP


class Spans:
    def __init__(self, resource: Resource | None = None) -> None:
        self._memory = InMemorySpanExporter()
        provider = TracerProvider(resource=resource or Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.tracer = provider.get_tracer("scope", "1", attributes={"scope": "yes"})
        self.other = provider.get_tracer("other")

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        return self._memory.get_finished_spans()


def decoded(body: bytes) -> dict[str, dict[str, Any]]:
    message = ExportTraceServiceRequest.FromString(body)
    return {
        span.name: {each.key: value_of(each.value) for each in span.attributes}
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: value_of(each.value) for each in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def test_clean_spans_are_encoded_as_by_the_public_encoder() -> None:
    spans = Spans()
    link = Link(SpanContext(1, 2, True), {"why": "so"})
    with spans.tracer.start_as_current_span("parent", attributes={"a": 1, "b": [1.5], "c": {"d": None}}):
        with spans.other.start_as_current_span("child", links=[link]) as child:
            child.add_event("event", {"n": True})
            child.set_status(Status(StatusCode.ERROR, "broke"))
    encoded = encode_spans(spans.finished)
    assert encoded.body == public_spans(spans.finished).SerializeToString()
    assert (encoded.repaired, encoded.dropped) == (0, ())


def test_equal_resources_of_several_providers_are_no_loss() -> None:
    finished: list[ReadableSpan] = []
    for _ in range(3):
        spans = Spans()
        spans.tracer.start_span("x").end()
        finished += spans.finished
    assert encode_spans(finished).repaired == 0
    assert encode_spans(finished).body == public_spans(finished).SerializeToString()


def test_nothing_is_encoded_as_nothing() -> None:
    assert encode_spans([]).body == encode_logs([]).body == encode_metrics(MetricsData([])).body == b""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\ud800b", "a\ufffdb"),
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (["x", "\udc00"], ["x", "\ufffd"]),
        ({"k\ud800": {"deep": 2**70}}, {"k\ufffd": {"deep": str(2**70)}}),
        (dict.fromkeys(map(chr, (0xD800, 0xD801)), 1), {"\ufffd": 1, "\ufffd\ufffd": 1}),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("place", ["attribute", "event", "link"])
def test_an_attribute_that_the_public_encoder_drops_is_repaired(value: Any, expected: Any, place: str) -> None:
    spans = Spans()
    bad = {"bad": value, "good": 1}
    link = Link(SpanContext(1, 2, True), bad if place == "link" else {})
    span = spans.tracer.start_span("x", attributes=bad if place == "attribute" else {}, links=[link])
    span.add_event("event", bad if place == "event" else {})
    span.end()
    encoded = encode_spans(spans.finished)
    (found,) = ExportTraceServiceRequest.FromString(encoded.body).resource_spans[0].scope_spans[0].spans
    attributes = {"attribute": found, "event": found.events[0], "link": found.links[0]}[place].attributes
    assert {each.key: value_of(each.value) for each in attributes} == {"bad": expected, "good": 1}
    assert encoded.repaired > 0
    assert encoded.dropped == ()


def test_what_spans_share_is_repaired_once() -> None:
    spans = Spans(Resource({"process.command": "caf\udce9"}))
    for number in range(5):
        spans.tracer.start_span(f"{number}").end()
    encoded = encode_spans(spans.finished)
    (resource,) = ExportTraceServiceRequest.FromString(encoded.body).resource_spans
    assert value_of(resource.resource.attributes[0].value) == "caf\ufffd"
    assert len(resource.scope_spans[0].spans) == 5
    assert encoded.repaired == 1


def test_text_that_raises_in_the_public_encoder_is_repaired() -> None:
    spans = Spans()
    span = spans.tracer.start_span("n\ud800")
    span.add_event("e\ud800")
    span.set_status(Status(StatusCode.ERROR, "d\ud800"))
    span.end()
    encoded = encode_spans(spans.finished)
    (found,) = ExportTraceServiceRequest.FromString(encoded.body).resource_spans[0].scope_spans[0].spans
    assert (found.name, found.events[0].name, found.status.message) == ("n\ufffd", "e\ufffd", "d\ufffd")
    assert encoded.repaired == 3


def test_a_span_beyond_repair_is_dropped_alone() -> None:
    spans = Spans()
    spans.tracer.start_span("good", attributes={"n": 2**70}).end()
    spans.tracer.start_span("bad", start_time=-1).end()
    encoded = encode_spans(spans.finished)
    assert decoded(encoded.body) == {"good": {"n": str(2**70)}}
    assert [span.name for span in encoded.dropped] == ["bad"]


class Odd:
    def __str__(self) -> str:
        raise RuntimeError


def nested(levels: int, kind: str) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"k": value} if kind == "mapping" else [value]
    return value


@pytest.mark.parametrize("kind", ["mapping", "list"])
@pytest.mark.parametrize("levels", [30, 60, 500, 10_000])
def test_bodies_have_a_depth(levels: int, kind: str) -> None:
    encoded = encode_logs(logs_of([nested(levels, kind), "plain"]))
    first, second = ExportLogsServiceRequest.FromString(encoded.body).resource_logs[0].scope_logs[0].log_records
    assert second.body.string_value == "plain"
    assert (TOO_DEEP in str(first.body)) == (levels > 30)
    assert encoded.repaired == (levels > 30)


def test_bodies_of_any_type_are_encoded() -> None:
    encoded = encode_logs(logs_of([{1, 2}, Odd(), {3: Odd}, 10**5000, b"bytes", None]))
    records = ExportLogsServiceRequest.FromString(encoded.body).resource_logs[0].scope_logs[0].log_records
    assert [value_of(record.body) for record in records][:2] == ["{1, 2}", "[Odd]"]
    assert len(records) == 6


def logs_of(bodies: list[Any]) -> Any:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    for body in bodies:
        provider.get_logger("l").emit(body=body, attributes={"n": 1})
    return memory.get_finished_logs()


def metrics_of(work: Any) -> MetricsData:
    reader = InMemoryMetricReader()
    work(MeterProvider([reader], shutdown_on_exit=False).get_meter("m"))
    data = reader.get_metrics_data()
    assert data is not None
    return data


def test_metrics_are_encoded_as_by_the_public_encoder_or_repaired() -> None:
    def clean(meter: Any) -> None:
        meter.create_counter("c", "u", "d").add(1, {"k": "v"})
        meter.create_histogram("h").record(1.5, {"k": "v"})
        meter.create_gauge("g").set(2)

    data = metrics_of(clean)
    assert encode_metrics(data).body == public_metrics(data).SerializeToString()

    def bad(meter: Any) -> None:
        counter = meter.create_counter("c", description="d\ud800")
        counter.add(2**70, {"k": "\ud800"})
        counter.add(3, {"k": "no float is near"})
        counter.add(1, {"k": "v"})

    data = metrics_of(bad)
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    points[1] = replace(points[1], value=10**400)  # a foreign SDK's, as ours refuses it
    encoded = encode_metrics(data)
    (metric,) = ExportMetricsServiceRequest.FromString(encoded.body).resource_metrics[0].scope_metrics[0].metrics
    found = {value_of(point.attributes[0].value): point for point in metric.sum.data_points}
    assert set(found) == {"\ufffd", "v"}
    assert found["\ufffd"].as_double == float(2**70)
    assert metric.description == "d\ufffd"
    assert [point.attributes for point in encoded.dropped] == [{"k": "no float is near"}]
