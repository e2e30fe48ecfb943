"""What a `FaultyReceiver` was sent, decoded into things that are easy to assert on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otelwarden.testing._journal import ReceivedRequest

Attributes: TypeAlias = dict[str, Any]

Point: TypeAlias = (
    metrics_pb2.NumberDataPoint
    | metrics_pb2.HistogramDataPoint
    | metrics_pb2.ExponentialHistogramDataPoint
    | metrics_pb2.SummaryDataPoint
)


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event of a span."""

    name: str
    attributes: Attributes
    time_ns: int


@dataclass(frozen=True, slots=True)
class ReceivedLink:
    """A link of a span."""

    trace_id: bytes
    span_id: bytes
    trace_state: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span; times are nanoseconds since the Unix epoch, enumerations their numbers on the wire."""

    name: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    attributes: Attributes
    resource: Attributes
    scope: str
    events: tuple[ReceivedEvent, ...]
    links: tuple[ReceivedLink, ...]
    trace_state: str
    status_code: int
    status_message: str
    message: Span
    """The whole span, for what is not above."""
    request: ReceivedRequest
    """The request it came in, with the headers that came along."""


@dataclass(frozen=True, slots=True)
class ReceivedLogRecord:
    """A log record."""

    body: Any
    attributes: Attributes
    resource: Attributes
    scope: str
    severity_text: str
    severity_number: int
    event_name: str
    trace_id: bytes
    span_id: bytes
    message: LogRecord
    """The whole record, for what is not above."""
    request: ReceivedRequest
    """The request it came in, with the headers that came along."""


@dataclass(frozen=True, slots=True)
class ReceivedMetric:
    """One data point of a metric."""

    name: str
    kind: str
    """`gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`."""
    attributes: Attributes
    value: int | float
    """The number, or the sum of a histogram or summary."""
    count: int
    """The measurements in a histogram or summary; 1 for a number."""
    unit: str
    description: str
    resource: Attributes
    scope: str
    point: Point
    """The whole data point, for what is not above."""
    message: metrics_pb2.Metric
    """The whole metric, with its other points."""
    request: ReceivedRequest
    """The request it came in, with the headers that came along."""


def decode_value(value: AnyValue) -> Any:
    """An attribute value or a log body as Python has it; None for an empty one."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [decode_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return decode_attributes(value.kvlist_value.values)
    return kind and getattr(value, kind)


def decode_attributes(attributes: Iterable[KeyValue]) -> Attributes:
    """Attributes as a dict; raises ValueError for a key that comes twice, which the specification forbids."""
    decoded: Attributes = {}
    for item in attributes:
        if item.key in decoded:
            raise ValueError(f"attribute {item.key!r} was sent twice")
        decoded[sys.intern(item.key)] = decode_value(item.value)  # one key for a million spans
    return decoded


def decode_spans(request: ReceivedRequest) -> Iterator[ReceivedSpan]:
    """The spans of a traces request; raises DecodeError for a body that is no such message."""
    for resource_spans in ExportTraceServiceRequest.FromString(request.body).resource_spans:
        resource = decode_attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _span(span, resource, scope_spans.scope.name, request)


def decode_span_ids(request: ReceivedRequest) -> Iterator[bytes]:
    """The span ids of a traces request, at a tenth of the cost of its spans."""
    for resource_spans in ExportTraceServiceRequest.FromString(request.body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield span.span_id


def _span(span: Span, resource: Attributes, scope: str, request: ReceivedRequest) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        attributes=decode_attributes(span.attributes),
        resource=resource,
        scope=scope,
        events=tuple(
            ReceivedEvent(event.name, decode_attributes(event.attributes), event.time_unix_nano)
            for event in span.events
        ),
        links=tuple(
            ReceivedLink(link.trace_id, link.span_id, link.trace_state, decode_attributes(link.attributes))
            for link in span.links
        ),
        trace_state=span.trace_state,
        status_code=span.status.code,
        status_message=span.status.message,
        message=span,
        request=request,
    )


def decode_log_records(request: ReceivedRequest) -> Iterator[ReceivedLogRecord]:
    """The records of a logs request; raises DecodeError for a body that is no such message."""
    for resource_logs in ExportLogsServiceRequest.FromString(request.body).resource_logs:
        resource = decode_attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield ReceivedLogRecord(
                    body=decode_value(record.body),
                    attributes=decode_attributes(record.attributes),
                    resource=resource,
                    scope=scope_logs.scope.name,
                    severity_text=record.severity_text,
                    severity_number=record.severity_number,
                    event_name=record.event_name,
                    trace_id=record.trace_id,
                    span_id=record.span_id,
                    message=record,
                    request=request,
                )


def decode_metrics(request: ReceivedRequest) -> Iterator[ReceivedMetric]:
    """The data points of a metrics request; raises DecodeError for a body that is no such message."""
    for resource_metrics in ExportMetricsServiceRequest.FromString(request.body).resource_metrics:
        resource = decode_attributes(resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    value, count = _measured(point)
                    yield ReceivedMetric(
                        name=metric.name,
                        kind=kind or "",
                        attributes=decode_attributes(point.attributes),
                        value=value,
                        count=count,
                        unit=metric.unit,
                        description=metric.description,
                        resource=resource,
                        scope=scope_metrics.scope.name,
                        point=point,
                        message=metric,
                        request=request,
                    )


def _measured(point: Point) -> tuple[int | float, int]:
    if isinstance(point, metrics_pb2.NumberDataPoint):
        return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double, 1
    return point.sum, point.count
