"""The receiver in good health, sent to by the official exporters."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from otelwarden.testing import FaultyReceiver

RESOURCE = Resource({"service.name": "shop"})


class Exporters:
    """The official exporters of one protocol."""

    def __init__(self, protocol: str, compressed: bool, receiver: FaultyReceiver) -> None:
        self._is_grpc = protocol == "grpc"
        self._compressed = compressed
        self._receiver = receiver

    def _settings(self, signal: str) -> dict[str, Any]:
        if self._is_grpc:
            compression = grpc_traces.Compression.Gzip if self._compressed else None
            return {"endpoint": self._receiver.grpc_endpoint, "insecure": True, "compression": compression}
        compression = Compression.Gzip if self._compressed else None
        return {"endpoint": f"{self._receiver.http_endpoint}/v1/{signal}", "compression": compression}

    def spans(self) -> SpanExporter:
        module = grpc_traces if self._is_grpc else http_traces
        return module.OTLPSpanExporter(**self._settings("traces"), headers={"x-tenant": "acme"})

    def log_records(self) -> LogRecordExporter:
        return (grpc_logs if self._is_grpc else http_logs).OTLPLogExporter(**self._settings("logs"))

    def metrics(self) -> MetricExporter:
        return (grpc_metrics if self._is_grpc else http_metrics).OTLPMetricExporter(**self._settings("metrics"))


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def exporters(request: pytest.FixtureRequest, protocol: str, receiver: FaultyReceiver) -> Iterator[Exporters]:
    return Exporters(protocol, request.param, receiver)


def test_spans_are_received_as_they_were_sent(exporters: Exporters, receiver: FaultyReceiver, protocol: str) -> None:
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(exporters.spans()))
    tracer = provider.get_tracer("scope")
    linked = SpanContext(trace_id=7, span_id=9, is_remote=True)
    attributes: dict[str, Any] = {"text": "ä", "flag": True, "list": [1, 2], "float": 1.5, "int": -3}
    with tracer.start_as_current_span("parent"):
        with tracer.start_as_current_span("child", attributes=attributes, links=[Link(linked, {"why": 1})]) as span:
            span.add_event("event", {"n": 1}, timestamp=5)
            span.set_status(Status(StatusCode.ERROR, "broke"))
    provider.shutdown()

    child, parent = receiver.wait_for_spans(2)
    assert (child.name, child.attributes, child.resource, child.scope) == (
        "child",
        attributes,
        dict(RESOURCE.attributes),
        "scope",
    )
    assert (child.trace_id, child.parent_span_id) == (parent.trace_id, parent.span_id)
    assert child.span_id == span.get_span_context().span_id.to_bytes(8, "big")
    assert [(event.name, event.attributes, event.time_ns) for event in child.events] == [("event", {"n": 1}, 5)]
    assert [(link.trace_id[-1], link.span_id[-1], link.attributes) for link in child.links] == [(7, 9, {"why": 1})]
    assert (child.status_code, child.status_message) == (2, "broke")
    assert child.message.end_time_unix_nano >= child.message.start_time_unix_nano
    assert (child.request.protocol, child.request.signal) == (protocol, "traces")
    assert child.request.headers["x-tenant"] == "acme"


def test_log_records_are_received_as_they_were_sent(exporters: Exporters, receiver: FaultyReceiver) -> None:
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporters.log_records()))
    body = {"order": 7, "lines": ["a", {"b": None}]}
    provider.get_logger("scope").emit(
        body=body,
        attributes={"key": b"\xff"},
        severity_text="WARN",
        severity_number=SeverityNumber.WARN,
        event_name="order.late",
    )
    provider.shutdown()

    (record,) = receiver.wait_for_log_records(1)
    assert (record.body, record.attributes, record.resource, record.scope) == (
        body,
        {"key": b"\xff"},
        dict(RESOURCE.attributes),
        "scope",
    )
    assert (record.severity_text, record.severity_number, record.event_name) == ("WARN", 13, "order.late")
    assert record.request.signal == "logs"


def test_every_data_point_is_received_as_it_was_sent(exporters: Exporters, receiver: FaultyReceiver) -> None:
    # Nothing is collected before the end: the interval is a day.
    reader = PeriodicExportingMetricReader(exporters.metrics(), export_interval_millis=86_400_000)
    provider = MeterProvider([reader], resource=RESOURCE)
    meter = provider.get_meter("scope")
    orders = meter.create_counter("orders", unit="{order}", description="placed")
    orders.add(2, {"shop": "a"})
    orders.add(3, {"shop": "b"})
    meter.create_gauge("load").set(0.5)
    wait = meter.create_histogram("wait")
    wait.record(1)
    wait.record(2.5)
    provider.shutdown()

    points = {(point.name, point.attributes.get("shop")): point for point in receiver.wait_for_metrics(4)}
    assert {key: (point.kind, point.value, point.count) for key, point in points.items()} == {
        ("orders", "a"): ("sum", 2, 1),
        ("orders", "b"): ("sum", 3, 1),
        ("load", None): ("gauge", 0.5, 1),
        ("wait", None): ("histogram", 3.5, 2),
    }
    order = points["orders", "a"]
    assert (order.unit, order.description, order.scope) == ("{order}", "placed", "scope")
    assert order.resource == dict(RESOURCE.attributes)
    assert order.message.sum.is_monotonic
    assert order.request.signal == "metrics"


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_an_empty_request_is_served_as_a_health_probe(receiver: FaultyReceiver, client: Any, signal: str) -> None:
    answer = client.send(signal=signal)
    assert (answer.outcome in ("OK", 200), answer.body) == (True, b"")
    assert [(request.signal, request.body, request.accepted) for request in receiver.requests()] == [
        (signal, b"", True)
    ]
    assert (receiver.spans(), receiver.log_records(), receiver.metrics()) == ([], [], [])


def test_a_canary_is_found_in_the_bytes_of_a_compressed_request(receiver: FaultyReceiver, exporters: Exporters) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporters.spans()))
    provider.get_tracer("scope").start_span("name", attributes={"card": "canary-4711"}).end()
    provider.shutdown()
    receiver.wait_for_spans(1)
    assert b"canary-4711" in receiver.raw_bytes()
    assert b"canary-4712" not in receiver.raw_bytes()


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Encoding": "gzip"}, 400),
    ],
    ids=["json", "chunked", "not gzip"],
)
def test_what_http_does_not_understand_is_refused(
    receiver: FaultyReceiver, client: Any, headers: dict[str, str], outcome: int
) -> None:
    assert client.send_spans("a", **headers).outcome == outcome
    assert client.send_spans("b").outcome == 200
    assert [span.name for span in receiver.spans()] == ["b"]


@pytest.mark.parametrize("protocol", ["http"], indirect=True)
def test_http_bodies_may_be_compressed(receiver: FaultyReceiver, client: Any) -> None:
    assert client.send(gzip.compress(b""), **{"Content-Encoding": "gzip"}).outcome == 200
    assert receiver.requests()[0].body == b""


def test_an_http_request_that_breaks_off_is_not_recorded(receiver: FaultyReceiver) -> None:
    request = b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: 10\r\n\r\nhalf"
    with socket.create_connection(("127.0.0.1", receiver.http_port)) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""  # the server has seen the end of it
    assert receiver.requests() == []


def test_many_clients_at_once_lose_nothing(receiver: FaultyReceiver, connect: Any) -> None:
    def send(name: str) -> None:
        sender = connect(receiver)
        for number in range(20):
            assert sender.send_spans(f"{name}-{number}").outcome in ("OK", 200)

    names = "abcdefgh"
    threads = [threading.Thread(target=send, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"{name}-{number}" for name in names for number in range(20)}
    assert {span.name for span in receiver.wait_for_spans(len(expected))} == expected
    assert receiver.span_ids() == [span.span_id for span in receiver.spans()]


def test_waiting_ends_with_the_condition_or_says_what_came_instead(receiver: FaultyReceiver, client: Any) -> None:
    client.send_spans("a", "b")
    receiver.wait_for(1)
    receiver.wait_for(lambda receiver: any(span.name == "b" for span in receiver.spans()))
    with pytest.raises(TimeoutError, match=r"no 3 spans within 0\.05 s; received 1 requests, 1 of them accepted"):
        receiver.wait_for_spans(3, timeout=0.05)


def test_forget_starts_anew(receiver: FaultyReceiver, client: Any) -> None:
    client.send_spans("before")
    assert len(receiver.spans()) == 1
    client.send_spans("unread")
    receiver.forget()
    client.send_spans("after")
    assert [span.name for span in receiver.spans()] == ["after"]
    assert len(receiver.requests()) == 1


def test_answers_are_snapshots(receiver: FaultyReceiver, client: Any) -> None:
    client.send_spans("a")
    receiver.spans().clear()
    receiver.requests().clear()
    assert (len(receiver.spans()), len(receiver.requests())) == (1, 1)
