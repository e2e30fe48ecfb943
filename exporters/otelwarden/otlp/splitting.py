"""A request that is too large for an endpoint, in two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otelwarden.core import Signal

_REQUESTS: Final[dict[Signal, tuple[Callable[[], Any], str, str, str]]] = {
    "traces": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    "logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    "metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
}


def halve(signal: Signal, body: bytes) -> list[tuple[bytes, int]]:
    """Two requests with half of the items each, and how many they have; none when there is but one item to have.

    Items keep their order, their resource and their scope. Of metrics it is the data points that are divided.

    Raises:
        DecodeError: the body is no request of this signal.
    """
    count = sum(len(items) for items in _items(signal, _parse(signal, body)))
    if count < 2:
        return []
    middle = count // 2
    return [(_cut(signal, body, 0, middle), middle), (_cut(signal, body, middle, count), count - middle)]


def _parse(signal: Signal, body: bytes) -> Any:
    request = _REQUESTS[signal][0]()
    request.ParseFromString(body)
    return request


def _items(signal: Signal, request: Any) -> Iterator[Any]:
    """The repeated fields that hold the items, in order."""
    _, resources, scopes, leaves = _REQUESTS[signal]
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            if signal != "metrics":
                yield getattr(scope, leaves)
                continue
            for metric in scope.metrics:
                if (kind := metric.WhichOneof("data")) is not None:
                    yield getattr(metric, kind).data_points


def _cut(signal: Signal, body: bytes, start: int, stop: int) -> bytes:
    """The request with only the items from `start` to `stop`, and only what these belong to."""
    request = _parse(signal, body)
    position = 0
    for items in _items(signal, request):
        size = len(items)
        first, last = max(0, start - position), max(0, min(size, stop - position))
        del items[last:]
        del items[:first]
        position += size
    _, resources, scopes, leaves = _REQUESTS[signal]
    for resource in getattr(request, resources):
        if signal == "metrics":
            for scope in resource.scope_metrics:
                _keep(scope.metrics, _has_points)
        _keep(getattr(resource, scopes), lambda scope: len(getattr(scope, leaves)))
    _keep(getattr(request, resources), lambda resource: len(getattr(resource, scopes)))
    done: bytes = request.SerializeToString()
    return done


def _has_points(metric: Any) -> bool:
    kind = metric.WhichOneof("data")
    return kind is not None and len(getattr(metric, kind).data_points) > 0


def _keep(repeated: Any, wanted: Callable[[Any], object]) -> None:
    for index in reversed(range(len(repeated))):
        if not wanted(repeated[index]):
            del repeated[index]
