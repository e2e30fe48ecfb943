"""Data points that became equal are one again: two series that differed in a redacted value would be duplicates.

Sums and histograms add, gauges keep the newest. Exponential histograms merge exactly: at the coarser of the two scales,
where each bucket holds whole buckets of the finer one (OpenTelemetry specification, metrics data model, "Exponential
Scale"). Explicit histograms with different bounds cannot be merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogramDataPoint,
    Gauge,
    HistogramDataPoint,
)


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(item) for item in value)
    return type(value).__name__, value


def merge_equal(data: Any, points: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """The points of one metric with one for each set of attributes.

    Args:
        data: what the points belong to; of a gauge the newest is kept.

    Returns:
        The points; those that were merged into one of them; those that could not be and are lost.
    """
    merged: dict[Any, Any] = {}
    absorbed: list[Any] = []
    lost: list[Any] = []
    for point in points:
        key = _hashable(point.attributes or {})
        other = merged.get(key)
        if other is None:
            merged[key] = point
            continue
        both = _newest(other, point) if isinstance(data, Gauge) else _merge(other, point)
        if both is None:
            lost.append(point)
        else:
            merged[key] = both
            absorbed.append(point)
    return list(merged.values()), absorbed, lost


def _newest(a: Any, b: Any) -> Any:
    return b if b.time_unix_nano >= a.time_unix_nano else a


def _merge(a: Any, b: Any) -> Any | None:
    shared: dict[str, Any] = {
        "start_time_unix_nano": _earlier(a.start_time_unix_nano, b.start_time_unix_nano),
        "time_unix_nano": max(a.time_unix_nano, b.time_unix_nano),
        "exemplars": [*a.exemplars, *b.exemplars],
    }
    if isinstance(a, HistogramDataPoint):
        if list(a.explicit_bounds) != list(b.explicit_bounds):
            return None
        counts = [x + y for x, y in zip(a.bucket_counts, b.bucket_counts, strict=True)]
        return replace(a, **shared, **_totals(a, b), bucket_counts=counts)
    if isinstance(a, ExponentialHistogramDataPoint):
        scale = min(a.scale, b.scale)
        return replace(
            a,
            **shared,
            **_totals(a, b),
            scale=scale,
            zero_count=a.zero_count + b.zero_count,
            positive=_add(_downscale(a.positive, a.scale - scale), _downscale(b.positive, b.scale - scale)),
            negative=_add(_downscale(a.negative, a.scale - scale), _downscale(b.negative, b.scale - scale)),
        )
    return replace(a, **shared, value=a.value + b.value)


def _earlier(a: int | None, b: int | None) -> int | None:
    return min((start for start in (a, b) if start is not None), default=None)


def _totals(a: Any, b: Any) -> dict[str, Any]:
    return {"count": a.count + b.count, "sum": a.sum + b.sum, "min": min(a.min, b.min), "max": max(a.max, b.max)}


def _downscale(buckets: Buckets, levels: int) -> Buckets:
    """The buckets at a scale lower by `levels`, where bucket `i` becomes part of bucket `i >> levels`."""
    if not levels or not buckets.bucket_counts:
        return buckets
    offset = buckets.offset >> levels
    counts = [0] * (((buckets.offset + len(buckets.bucket_counts) - 1) >> levels) - offset + 1)
    for index, count in enumerate(buckets.bucket_counts):
        counts[((buckets.offset + index) >> levels) - offset] += count
    return Buckets(offset=offset, bucket_counts=counts)


def _add(a: Buckets, b: Buckets) -> Buckets:
    if not a.bucket_counts or not b.bucket_counts:
        return a if a.bucket_counts else b
    offset = min(a.offset, b.offset)
    end = max(a.offset + len(a.bucket_counts), b.offset + len(b.bucket_counts))
    counts = [0] * (end - offset)
    for buckets in (a, b):
        for index, count in enumerate(buckets.bucket_counts):
            counts[buckets.offset + index - offset] += count
    return Buckets(offset=offset, bucket_counts=counts)
