"""Encodes batches with the public encoders; a value they cannot encode costs at most itself, never the batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from opentelemetry.exporter.otlp.proto.common import metrics_encoder, trace_encoder
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as public_encode_logs
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace import ReadableSpan

from otelwarden.otlp.counting import logs_complete, metrics_complete, spans_complete
from otelwarden.otlp.items import ItemRepairs

_BatchT = TypeVar("_BatchT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A batch as it goes over the wire."""

    body: bytes
    """The serialized `Export...ServiceRequest`; empty when nothing of the batch could be encoded."""
    repaired: int = 0
    """Values that had to be changed; see `otelwarden.otlp.repair`."""
    dropped: tuple[Any, ...] = ()
    """The spans, log records or data points that could not be encoded at all."""


class _Quiet(logging.Filter):
    """Holds back the lines of the public encoder while we encode: one for each attribute, with its value.

    What they tell is found by counting.
    """

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self._here, "quiet", False)

    @contextmanager
    def in_this_thread(self) -> Iterator[None]:
        self._here.quiet = True
        try:
            yield
        finally:
            self._here.quiet = False


_QUIET: Final = _Quiet()
logging.getLogger("opentelemetry.exporter.otlp.proto.common._internal").addFilter(_QUIET)


class _Encoder(Generic[_BatchT]):
    """One of the public encoders, and how to tell that it left something out."""

    def __init__(self, encode: Callable[[_BatchT], Any], complete: Callable[[_BatchT, Any], bool]) -> None:
        self._encode = encode
        self._complete = complete

    def attempt(self, batch: _BatchT, *, complete: bool = True) -> bytes | None:
        """The batch as bytes; None when it cannot be encoded, or not completely where that is asked for."""
        try:
            with _QUIET.in_this_thread():
                message = self._encode(batch)
            if complete and not self._complete(batch, message):
                return None
            body: bytes = message.SerializeToString()
            return body
        except Exception:
            # Whatever an encoder raises on data of whatever kind (TypeError, ValueError, EncodeError, RecursionError,
            # a bare Exception): the caller repairs, and counts.
            return None


_SPANS: Final = _Encoder[Sequence[ReadableSpan]](trace_encoder.encode_spans, spans_complete)
_LOGS: Final = _Encoder[Sequence[ReadableLogRecord]](public_encode_logs, logs_complete)
_METRICS: Final = _Encoder[MetricsData](metrics_encoder.encode_metrics, metrics_complete)


def encode_spans(spans: Sequence[ReadableSpan]) -> Encoded:
    """Encodes spans as an `ExportTraceServiceRequest`; never raises for what is in them."""
    body = _SPANS.attempt(spans)
    if body is not None:
        return Encoded(body=body)
    repairs = ItemRepairs()
    return _encode_repaired(spans, repairs, repairs.span, _SPANS)


def encode_logs(records: Sequence[ReadableLogRecord]) -> Encoded:
    """Encodes log records as an `ExportLogsServiceRequest`; never raises for what is in them."""
    body = _LOGS.attempt(records)
    if body is not None:
        return Encoded(body=body)
    repairs = ItemRepairs()
    return _encode_repaired(records, repairs, repairs.log, _LOGS)


def _encode_repaired(items: Sequence[Any], repairs: ItemRepairs, repair: Callable[[Any], Any], encoder: Any) -> Encoded:
    repaired = [_try(repair, item) for item in items]
    body = encoder.attempt(repaired)
    if body is not None:
        return Encoded(body=body, repaired=repairs.count)
    # Something is beyond repair: look at each item, and keep those that can be encoded at all.
    kept: list[tuple[Any, Any]] = []
    dropped: list[tuple[Any, Any]] = []
    for item, candidate in zip(items, repaired, strict=True):
        (kept if encoder.attempt([candidate], complete=False) is not None else dropped).append((item, candidate))
    body = encoder.attempt([candidate for _, candidate in kept], complete=False) if kept else b""
    if body is None:
        kept, dropped, body = [], kept + dropped, b""
    return Encoded(body=body, repaired=repairs.count, dropped=tuple(item for item, _ in dropped))


def _try(repair: Callable[[Any], Any], item: Any) -> Any:
    try:
        return repair(item)
    except Exception:
        return item  # it fails again below, where it is dropped and counted


def encode_metrics(data: MetricsData) -> Encoded:
    """Encodes metrics as an `ExportMetricsServiceRequest`; never raises for what is in them."""
    body = _METRICS.attempt(data)
    if body is not None:
        return Encoded(body=body)
    repairs = ItemRepairs()
    data = MetricsData([_try(repairs.resource_metrics, each) for each in data.resource_metrics])
    body = _METRICS.attempt(data)
    dropped: list[Any] = []
    if body is None:
        data = _without_bad_points(data, dropped)
        body = _METRICS.attempt(data, complete=False) if data.resource_metrics else b""
    if body is None:
        dropped += _points(data)
        body = b""
    return Encoded(body=body, repaired=repairs.count, dropped=tuple(dropped))


def _points(data: MetricsData) -> list[Any]:
    return [p for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics for p in m.data.data_points]


def _without_bad_points(data: MetricsData, dropped: list[Any]) -> MetricsData:
    """`data` without the points that cannot be encoded, which go to `dropped`, and without empty envelopes."""
    resources = []
    for resource in data.resource_metrics:
        scopes = []
        for scope in resource.scope_metrics:
            metrics = []
            for metric in scope.metrics:
                points: list[Any] = []
                details: Any = metric.data
                for point in details.data_points:
                    alone = replace(metric, data=replace(details, data_points=[point]))
                    just_it = MetricsData([replace(resource, scope_metrics=[replace(scope, metrics=[alone])])])
                    good = _METRICS.attempt(just_it, complete=False) is not None
                    (points if good else dropped).append(point)
                if points:
                    metrics.append(replace(metric, data=replace(details, data_points=points)))
            if metrics:
                scopes.append(replace(scope, metrics=metrics))
        if scopes:
            resources.append(replace(resource, scope_metrics=scopes))
    return MetricsData(resources)
