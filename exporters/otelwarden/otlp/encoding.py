"""Encodes batches as OTLP; a value that protobuf refuses costs at most itself, never the batch.

The bytes are those of the public encoders wherever these succeed, at a third of their cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.trace import ReadableSpan

from otelwarden.otlp.envelopes import RESOURCES, SCOPES, Groups
from otelwarden.otlp.logs import encode_log
from otelwarden.otlp.metrics import encode_metric
from otelwarden.otlp.repair import Repairs
from otelwarden.otlp.spans import encode_span
from otelwarden.otlp.wire import delimited

_ItemT = TypeVar("_ItemT", ReadableSpan, ReadableLogRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A batch as it goes over the wire."""

    body: bytes
    """The serialized `Export...ServiceRequest`; empty when nothing of the batch could be encoded."""
    repaired: int = 0
    """Values that had to be changed; see `otelwarden.otlp.repair`."""
    dropped: tuple[Any, ...] = ()
    """The spans, log records or data points that could not be encoded at all."""


def encode_spans(spans: Sequence[ReadableSpan]) -> Encoded:
    """Encodes spans as an `ExportTraceServiceRequest`; never raises for what is in them."""
    return _encode_items(spans, encode_span)


def encode_logs(records: Sequence[ReadableLogRecord]) -> Encoded:
    """Encodes log records as an `ExportLogsServiceRequest`; never raises for what is in them."""
    return _encode_items(records, encode_log)


def _encode_items(items: Sequence[_ItemT], encode: Callable[[_ItemT, Repairs], bytes]) -> Encoded:
    repairs, groups = Repairs(), Groups()
    dropped: list[_ItemT] = []
    for item in items:
        try:
            groups.add(item.resource, item.instrumentation_scope, encode(item, repairs))
        except Exception:
            # Whatever data of whatever kind raises (struct.error, OverflowError, KeyError, an application's own): the
            # caller counts what is dropped.
            dropped.append(item)
    body = groups.request(repairs)
    return Encoded(body=body, repaired=repairs.count, dropped=tuple(dropped))


def encode_metrics(data: MetricsData) -> Encoded:
    """Encodes metrics as an `ExportMetricsServiceRequest`; never raises for what is in them."""
    repairs = Repairs()
    dropped: list[Any] = []
    resources = [_encode_resource_metrics(each, repairs, dropped) for each in data.resource_metrics]
    body = b"".join([delimited(b"\x0a", each) for each in resources if each is not None])
    return Encoded(body=body, repaired=repairs.count, dropped=tuple(dropped))


def _encode_resource_metrics(metrics: ResourceMetrics, repairs: Repairs, dropped: list[Any]) -> bytes | None:
    """A `ResourceMetrics` message; None when all that was in it is dropped."""
    try:
        envelope = RESOURCES.of(metrics.resource)
    except Exception:
        dropped.extend(_points(metrics.scope_metrics))
        return None
    scopes = [_encode_scope_metrics(each, repairs, dropped) for each in metrics.scope_metrics]
    kept = [each for each in scopes if each is not None]
    if scopes and not kept:
        return None
    repairs.count += envelope.repaired
    return envelope.around(kept)


def _encode_scope_metrics(metrics: ScopeMetrics, repairs: Repairs, dropped: list[Any]) -> bytes | None:
    """A `ScopeMetrics` message; None when all that was in it is dropped."""
    try:
        envelope = SCOPES.of(metrics.scope)
    except Exception:
        dropped.extend(_points([metrics]))
        return None
    kept: list[bytes] = []
    for metric in metrics.metrics:
        try:
            encoded = encode_metric(metric, repairs, dropped)
        except Exception:
            dropped.extend(_points_of(metric))
            continue
        if encoded is not None:
            kept.append(encoded)
    if metrics.metrics and not kept:
        return None
    repairs.count += envelope.repaired
    return envelope.around(kept)


def _points(scopes: Sequence[ScopeMetrics]) -> list[Any]:
    return [point for scope in scopes for metric in scope.metrics for point in _points_of(metric)]


def _points_of(metric: Metric) -> Sequence[Any]:
    return getattr(metric.data, "data_points", None) or ()
