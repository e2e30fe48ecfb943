"""A request in two: every item is in one of them, in order, with its resource and scope."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otelwarden.core import Signal
from otelwarden.otlp import halve

SHAPES = st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=3)


def request(signal: Signal, shape: list[list[int]]) -> bytes:
    """A request with so many items in each scope of each resource, named by their number."""
    number = 0
    message = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}.get(
        signal, ExportMetricsServiceRequest
    )()
    for resource_number, scopes in enumerate(shape):
        resource = getattr(message, f"resource_{'spans' if signal == 'traces' else signal}").add()
        resource.schema_url = f"r{resource_number}"
        for scope_number, count in enumerate(scopes):
            scope = getattr(resource, f"scope_{'spans' if signal == 'traces' else signal}").add()
            scope.schema_url = f"s{scope_number}"
            for _ in range(count):
                if signal == "traces":
                    scope.spans.add(start_time_unix_nano=number)
                elif signal == "logs":
                    scope.log_records.add(time_unix_nano=number)
                else:
                    points = scope.metrics.add(name="m").sum.data_points
                    points.add(time_unix_nano=number)
                    points.add(time_unix_nano=number + 1)
                    number += 1
                number += 1
    done: bytes = message.SerializeToString()
    return done


def items(signal: Signal, body: bytes) -> list[tuple[str, str, int]]:
    if signal == "traces":
        return [
            (resource.schema_url, scope.schema_url, span.start_time_unix_nano)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    if signal == "logs":
        return [
            (resource.schema_url, scope.schema_url, record.time_unix_nano)
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
    return [
        (resource.schema_url, scope.schema_url, point.time_unix_nano)
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    ]


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@given(shape=SHAPES)
def test_both_halves_are_the_whole(signal: Signal, shape: list[list[int]]) -> None:
    body = request(signal, shape)
    whole = items(signal, body)
    halves = halve(signal, body)
    if len(whole) < 2:
        assert halves == []
        return
    (first, count), (second, other) = halves
    assert items(signal, first) + items(signal, second) == whole
    assert (count, other) == (len(items(signal, first)), len(items(signal, second)))
    assert abs(count - other) <= 1
