"""Metrics on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from otelwarden.core import plain_attributes
from otelwarden.otlp.attributes import Attributes
from otelwarden.otlp.repair import Repairs
from otelwarden.otlp.wire import (
    MAX_INT64,
    MIN_INT64,
    delimited,
    double,
    enumeration,
    fixed64,
    optional,
    pack_double,
    pack_sfixed64,
    packed,
    packed_varints,
    sint32,
    uint32,
)

_NUMBER_ATTRIBUTES: Final = Attributes(7, level=6)
_HISTOGRAM_ATTRIBUTES: Final = Attributes(9, level=6)
_EXPONENTIAL_ATTRIBUTES: Final = Attributes(1, level=6)
_EXEMPLAR_ATTRIBUTES: Final = Attributes(7, level=7)

_POINT: Final = b"\x0a"
_TEMPORALITY: Final = b"\x10"
_MONOTONIC: Final = b"\x18\x01"


def encode_metric(metric: Metric, repairs: Repairs, dropped: list[Any]) -> bytes | None:
    """A metric as a `Metric` message, without tag and length.

    Args:
        dropped: points that cannot be encoded are added to it.

    Returns:
        None when none of its points can be.

    Raises whatever a metric does that cannot be encoded for another reason than its points.
    """
    data: Any = metric.data
    parts = [
        optional(b"\x0a", repairs.utf8_of(metric.name)),
        optional(b"\x12", repairs.utf8_of(metric.description)),
        optional(b"\x1a", repairs.utf8_of(metric.unit)),
    ]
    kind = _kind_of(data)
    if kind is None:
        dropped.extend(getattr(data, "data_points", None) or ())
        return b"".join(parts)
    field_tag, encode_point, encode_rest = kind
    rest = encode_rest(data)
    points = _encode_points(data.data_points, encode_point, repairs, dropped)
    if points:
        points.append(rest)
        parts.append(delimited(field_tag, b"".join(points)))
    elif data.data_points:
        return None
    return b"".join(parts)


def _encode_points(
    points: Sequence[Any], encode_point: Callable[[Any, Repairs], bytes], repairs: Repairs, dropped: list[Any]
) -> list[bytes]:
    encoded = []
    for point in points:
        try:
            encoded.append(delimited(_POINT, encode_point(point, repairs)))
        except Exception:
            # Whatever data of whatever kind raises; the caller counts what is dropped.
            dropped.append(point)
    return encoded


def _encode_gauge_point(point: NumberDataPoint, repairs: Repairs) -> bytes:
    return _encode_number_point(point, b"", repairs)


def _encode_sum_point(point: NumberDataPoint, repairs: Repairs) -> bytes:
    return _encode_number_point(point, fixed64(b"\x11", point.start_time_unix_nano), repairs)


def _encode_number_point(point: NumberDataPoint, start_time: bytes, repairs: Repairs) -> bytes:
    before, after = _encode_number(point.value, b"\x21", b"\x31", repairs)
    parts = [start_time, fixed64(b"\x19", point.time_unix_nano), before]
    if point.exemplars:
        _add_exemplars(b"\x2a", point.exemplars, parts, repairs)
    parts.append(after)
    _NUMBER_ATTRIBUTES.write(plain_attributes(point.attributes), parts, repairs)
    return b"".join(parts)


def _encode_number(value: Any, double_tag: bytes, int_tag: bytes, repairs: Repairs) -> tuple[bytes, bytes]:
    """A number as the field of a double and as that of an int, one of them empty; the other fields lie between."""
    if not isinstance(value, int):
        return double_tag + pack_double(value), b""
    if MIN_INT64 <= value <= MAX_INT64:
        return b"", int_tag + pack_sfixed64(value)
    return double_tag + pack_double(repairs.number(value)), b""


def _encode_histogram_point(point: HistogramDataPoint, repairs: Repairs) -> bytes:
    parts = [
        fixed64(b"\x11", point.start_time_unix_nano),
        fixed64(b"\x19", point.time_unix_nano),
        fixed64(b"\x21", point.count),
        double(b"\x29", point.sum),
        packed(b"\x32", "Q", point.bucket_counts),
        packed(b"\x3a", "d", point.explicit_bounds),
    ]
    if point.exemplars:
        _add_exemplars(b"\x42", point.exemplars, parts, repairs)
    _HISTOGRAM_ATTRIBUTES.write(plain_attributes(point.attributes), parts, repairs)
    parts += double(b"\x59", point.min), double(b"\x61", point.max)
    return b"".join(parts)


def _encode_exponential_point(point: ExponentialHistogramDataPoint, repairs: Repairs) -> bytes:
    parts: list[bytes] = []
    _EXPONENTIAL_ATTRIBUTES.write(plain_attributes(point.attributes), parts, repairs)
    parts += (
        fixed64(b"\x11", point.start_time_unix_nano),
        fixed64(b"\x19", point.time_unix_nano),
        fixed64(b"\x21", point.count),
        double(b"\x29", point.sum),
        sint32(b"\x30", point.scale),
        fixed64(b"\x39", point.zero_count),
        _encode_buckets(b"\x42", point.positive),
        _encode_buckets(b"\x4a", point.negative),
        uint32(b"\x50", point.flags),
    )
    if point.exemplars:
        _add_exemplars(b"\x5a", point.exemplars, parts, repairs)
    parts += double(b"\x61", point.min), double(b"\x69", point.max)
    return b"".join(parts)


def _encode_buckets(field_tag: bytes, buckets: Any) -> bytes:
    if not buckets.bucket_counts:
        return b""
    return delimited(field_tag, sint32(b"\x08", buckets.offset) + packed_varints(b"\x12", buckets.bucket_counts))


def _add_exemplars(field_tag: bytes, exemplars: Sequence[Any], parts: list[bytes], repairs: Repairs) -> None:
    for exemplar in exemplars:
        parts.append(delimited(field_tag, _encode_exemplar(exemplar, repairs)))


def _encode_exemplar(exemplar: Any, repairs: Repairs) -> bytes:
    if not isinstance(exemplar.value, (int, float)):
        raise TypeError(f"the value of an exemplar is an int or float, not {type(exemplar.value).__qualname__}")
    before, after = _encode_number(exemplar.value, b"\x19", b"\x31", repairs)
    parts = [fixed64(b"\x11", exemplar.time_unix_nano), before]
    if exemplar.span_id is not None and exemplar.trace_id is not None:
        parts += b"\x22\x08", exemplar.span_id.to_bytes(8, "big"), b"\x2a\x10", exemplar.trace_id.to_bytes(16, "big")
    parts.append(after)
    _EXEMPLAR_ATTRIBUTES.write(plain_attributes(exemplar.filtered_attributes), parts, repairs)
    return b"".join(parts)


def _rest_of_gauge(data: Gauge) -> bytes:
    return b""


def _rest_of_sum(data: Sum) -> bytes:
    return enumeration(_TEMPORALITY, data.aggregation_temporality) + (_MONOTONIC if data.is_monotonic else b"")


def _rest_of_histogram(data: Histogram | ExponentialHistogram) -> bytes:
    return enumeration(_TEMPORALITY, data.aggregation_temporality)


_Kind = tuple[bytes, Callable[[Any, Repairs], bytes], Callable[[Any], bytes]]
_KINDS: Final[Mapping[type, _Kind]] = {
    Gauge: (b"\x2a", _encode_gauge_point, _rest_of_gauge),
    Histogram: (b"\x4a", _encode_histogram_point, _rest_of_histogram),
    Sum: (b"\x3a", _encode_sum_point, _rest_of_sum),
    ExponentialHistogram: (b"\x52", _encode_exponential_point, _rest_of_histogram),
}
"""By kind of data: the field of a metric that it is in, and what encodes its points and its other fields."""


def _kind_of(data: Any) -> _Kind | None:
    known = _KINDS.get(type(data))
    if known is None:
        known = next((kind for cls, kind in _KINDS.items() if isinstance(data, cls)), None)
    return known
