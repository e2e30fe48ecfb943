"""Points that a redaction made equal become one, and totals hold."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Buckets, Gauge, HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from otelwarden.core import Runtime, total
from otelwarden.redaction import RedactionMetricReader, RedactionOptions
from otelwarden.redaction.points import _downscale, merge_equal


def collect(memory: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = memory.get_metrics_data()
    assert data is not None
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_totals_hold_when_series_become_one() -> None:
    memory, plain, runtime = InMemoryMetricReader(), InMemoryMetricReader(), Runtime()
    provider = MeterProvider(
        metric_readers=[RedactionMetricReader(memory, policy=["pii"], runtime=runtime), plain],
        views=[View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())],
    )
    meter, chance = provider.get_meter("m"), random.Random(7)
    counter, gauge = meter.create_counter("counter"), meter.create_gauge("gauge")
    histograms = [meter.create_histogram("explicit"), meter.create_histogram("exponential")]
    for user in range(40):
        attributes = {"user": f"user{user}@example.com", "route": "/a" if user % 2 else "/b"}
        counter.add(user, attributes)
        gauge.set(user, attributes)
        for histogram in histograms:
            for _ in range(5):
                histogram.record(chance.lognormvariate(user % 7, 2.0), attributes)
    left, before = collect(memory), collect(plain)
    assert {name: len(points) for name, points in left.items()} == dict.fromkeys(left, 2)
    assert sum(point.value for point in left["counter"]) == sum(range(40))
    assert {point.attributes["route"]: point.value for point in left["gauge"]} == {"/a": 39, "/b": 38}
    for name in ("explicit", "exponential"):
        assert sum(point.count for point in left[name]) == 200
        assert sum(point.sum for point in left[name]) == pytest.approx(sum(point.sum for point in before[name]))
        assert min(point.min for point in left[name]) == min(point.min for point in before[name])
    assert sum(sum(point.bucket_counts) for point in left["explicit"]) == 200
    assert sum(sum(p.positive.bucket_counts) + p.zero_count for p in left["exponential"]) == 200
    balance = total(runtime.balances(), "redaction")
    assert (balance.received, balance.forwarded, dict(balance.dropped)) == (160, 8, {"merged": 152})
    assert balance.unaccounted == 0


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_a_bucket_goes_where_its_values_go(levels: int) -> None:
    buckets = Buckets(offset=-7, bucket_counts=list(range(1, 20)))
    coarse = _downscale(buckets, levels)
    expected: dict[int, int] = {}
    for index, count in enumerate(buckets.bucket_counts):
        expected[(index - 7) >> levels] = expected.get((index - 7) >> levels, 0) + count
    assert {coarse.offset + i: count for i, count in enumerate(coarse.bucket_counts)} == expected


def histogram_point(bounds: list[float]) -> HistogramDataPoint:
    return HistogramDataPoint({"a": "x"}, 1, 2, 1, 1.0, [1] + [0] * len(bounds), bounds, 1.0, 1.0)


def test_histograms_with_other_bounds_are_lost_and_told() -> None:
    points = [histogram_point([1.0]), histogram_point([1.0]), histogram_point([2.0])]
    merged, absorbed, lost = merge_equal(None, points)
    assert (len(merged), len(absorbed), len(lost)) == (1, 1, 1)
    assert merged[0].bucket_counts == [2, 0]


def test_of_gauges_the_newest_stays_in_any_order() -> None:
    old, new = NumberDataPoint({"a": 1}, 0, 5, 1.0), NumberDataPoint({"a": 1}, 0, 6, 2.0)
    for points in ([old, new], [new, old]):
        assert merge_equal(Gauge(points), points)[0] == [new]


def test_values_of_other_types_are_other_series() -> None:
    points = [NumberDataPoint({"a": value}, 0, 1, 1) for value in (1, 1.0, True, "1")]
    assert merge_equal(None, points)[0] == points


def test_a_metric_that_fails_is_dropped_alone() -> None:
    memory, runtime = InMemoryMetricReader(), Runtime()
    reader = RedactionMetricReader(
        memory, policy=["pii"], runtime=runtime, options=RedactionOptions(max_value_length=1024)
    )
    meter = MeterProvider(metric_readers=[reader]).get_meter("m")
    meter.create_counter("long").add(1, {"a": "x" * 2000})
    meter.create_counter("fine").add(1, {"a": "x"})
    assert list(collect(memory)) == ["fine"]
    assert dict(total(runtime.balances(), "redaction").dropped) == {"value_too_long": 1}
