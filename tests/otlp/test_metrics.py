"""Metrics on the wire, byte for byte those of the public encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as public_metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, Exemplar, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelwarden.otlp import encode_metrics

TEXTS = st.text(st.characters(codec="utf-8"), max_size=140)
ATTRIBUTES = st.none() | st.dictionaries(TEXTS, TEXTS | st.integers(-9, 9) | st.booleans(), max_size=3)
TIMES = st.none() | st.just(0) | st.integers(0, 2**64 - 1)
COUNTS = st.integers(0, 2**64 - 1)
INTS = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
NUMBERS = INTS | st.floats()
EXTREMES = st.none() | st.floats() | INTS
EXEMPLARS = st.lists(
    st.builds(
        Exemplar,
        ATTRIBUTES,
        NUMBERS,
        TIMES,
        st.none() | st.integers(0, 2**64 - 1),
        st.none() | st.integers(0, 2**128 - 1),
    ),
    max_size=2,
)
NUMBER_POINTS = st.lists(st.builds(NumberDataPoint, ATTRIBUTES, TIMES, TIMES, NUMBERS, EXEMPLARS), max_size=3)
HISTOGRAM_POINTS = st.lists(
    st.builds(
        HistogramDataPoint,
        ATTRIBUTES,
        TIMES,
        TIMES,
        COUNTS,
        EXTREMES,
        st.lists(COUNTS, max_size=5),
        st.lists(st.floats(), max_size=5),
        EXTREMES,
        EXTREMES,
        EXEMPLARS,
    ),
    max_size=3,
)
BUCKETS = st.builds(Buckets, INT32, st.lists(COUNTS | st.integers(0, 300), max_size=5))
EXPONENTIAL_POINTS = st.lists(
    st.builds(
        ExponentialHistogramDataPoint,
        ATTRIBUTES,
        TIMES,
        TIMES,
        COUNTS,
        EXTREMES,
        INT32,
        COUNTS,
        BUCKETS,
        BUCKETS,
        st.integers(0, 2**32 - 1),
        EXTREMES,
        EXTREMES,
        EXEMPLARS,
    ),
    max_size=2,
)
TEMPORALITIES = st.sampled_from(AggregationTemporality)
DATA = (
    st.builds(Gauge, NUMBER_POINTS)
    | st.builds(Sum, NUMBER_POINTS, TEMPORALITIES, st.booleans())
    | st.builds(HistogramData, HISTOGRAM_POINTS, TEMPORALITIES)
    | st.builds(ExponentialHistogram, EXPONENTIAL_POINTS, TEMPORALITIES)
)
METRICS = st.builds(Metric, TEXTS, st.none() | TEXTS, st.none() | TEXTS, DATA)
# As the SDK makes them: each resource, and each scope within it, but once.
SCOPE_METRICS = st.lists(
    st.builds(
        ScopeMetrics,
        st.builds(InstrumentationScope, TEXTS, st.none() | TEXTS, st.none() | TEXTS, ATTRIBUTES),
        st.lists(METRICS, max_size=3),
        st.just("not sent"),
    ),
    max_size=2,
    unique_by=lambda each: each.scope.name,
)
METRICS_DATA = st.builds(
    MetricsData,
    st.lists(
        st.builds(ResourceMetrics, st.builds(Resource, ATTRIBUTES, TEXTS), SCOPE_METRICS, st.just("not sent")),
        max_size=2,
        unique_by=lambda each: each.resource.schema_url,
    ),
)


def assert_as_public(data: MetricsData) -> None:
    encoded = encode_metrics(data)
    assert encoded.body == public_metrics(data).SerializeToString()
    assert (encoded.repaired, encoded.dropped) == (0, ())


@settings(max_examples=150, deadline=None)
@given(METRICS_DATA)
def test_any_metrics(data: MetricsData) -> None:
    assert_as_public(data)


@pytest.mark.parametrize("temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
def test_metrics_of_the_sdk(temporality: AggregationTemporality) -> None:
    reader = InMemoryMetricReader({Counter: temporality, Histogram: temporality})
    views = [View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())]
    views += [View(instrument_name="filtered", attribute_keys={"kept"})]
    provider = MeterProvider(
        [reader],
        Resource({"service.name": "shop"}, "https://schema"),
        exemplar_filter=AlwaysOnExemplarFilter(),
        views=views,
        shutdown_on_exit=False,
    )
    meter = provider.get_meter("a", "1", "https://scope", {"scope": 1})

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(1.5, {"k": "v"})
        yield Observation(-3)

    meter.create_observable_gauge("gauge", [observe], "u", "d")
    meter.create_observable_up_down_counter("up_down", [observe])
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("sampled"):
        for number in range(10):
            meter.create_counter("counter", "1").add(number, {"k": str(number % 3)})
            meter.create_counter("filtered").add(number + 0.5, {"kept": True, "left out": number})
            meter.create_histogram("histogram").record(number * 100, {"k": [1, 2]})
            meter.create_histogram("exponential").record(number - 0.5 if number else 0)
    provider.get_meter("b").create_gauge("set").set(2)
    for _ in range(2):
        data = reader.get_metrics_data()
        assert data is not None
        assert_as_public(data)


SCOPE = InstrumentationScope("s")
POINT = NumberDataPoint({"k": "v"}, 1, 2, 3)
BARE_HISTOGRAM_POINT = HistogramDataPoint({}, 0, 0, 0, 0.0, [], [], None, None)  # type: ignore[arg-type]
NOTHING = Buckets(0, [])
BARE_EXPONENTIAL_POINT = ExponentialHistogramDataPoint(
    {},
    0,
    0,
    0,
    None,
    0,
    0,
    NOTHING,
    NOTHING,
    0,
    None,
    None,  # type: ignore[arg-type]
)


def data_of(*data: Any, scope: Any = SCOPE, resource: Any = None) -> MetricsData:
    metrics = [Metric("m", "", "", each) for each in data]
    return MetricsData([ResourceMetrics(resource or Resource({}), [ScopeMetrics(scope, metrics, "")], "")])


def exemplar_of(value: Any, span_id: int | None = None, trace_id: int | None = None) -> Exemplar:
    return Exemplar({"left": "out"}, value, 5, span_id, trace_id)


@pytest.mark.parametrize(
    "data",
    [
        Gauge([]),
        Sum([], AggregationTemporality.DELTA, True),
        HistogramData([], AggregationTemporality.DELTA),
        ExponentialHistogram([], AggregationTemporality.DELTA),
        *(
            Gauge([replace(POINT, value=value)])
            for value in (0, -1, 2**63 - 1, -(2**63), 0.0, -0.0, 1e400, float("nan"))
        ),
        Sum([POINT], AggregationTemporality.UNSPECIFIED, False),
        Sum([POINT], AggregationTemporality.CUMULATIVE, True),
        Gauge([replace(POINT, value=AggregationTemporality.CUMULATIVE)]),
        Gauge(
            [
                replace(
                    POINT, exemplars=[exemplar_of(1), exemplar_of(0.5, 1, 2), exemplar_of(-1, 1), exemplar_of(2, 0, 0)]
                )
            ]
        ),
        HistogramData([BARE_HISTOGRAM_POINT], AggregationTemporality.UNSPECIFIED),
        HistogramData([replace(BARE_HISTOGRAM_POINT, sum=None)], AggregationTemporality.DELTA),
        HistogramData([replace(BARE_HISTOGRAM_POINT, sum=2**70, min=0, max=-0.0)], AggregationTemporality.DELTA),
        ExponentialHistogram([BARE_EXPONENTIAL_POINT], AggregationTemporality.UNSPECIFIED),
        ExponentialHistogram(
            [replace(BARE_EXPONENTIAL_POINT, scale=-10, zero_count=3, negative=Buckets(-5, [0, 300]), flags=1)],
            AggregationTemporality.CUMULATIVE,
        ),
    ],
    ids=lambda data: f"{data!r:.80}",
)
def test_data_that_the_public_encoder_takes(data: Any) -> None:
    assert_as_public(data_of(data))


@pytest.mark.parametrize("metrics", [[], [Metric("", None, None, Gauge([POINT]))]], ids=["none", "nameless"])
def test_metrics_without_anything(metrics: list[Metric]) -> None:
    assert_as_public(MetricsData([ResourceMetrics(Resource({}), [ScopeMetrics(SCOPE, metrics, "")], "")]))
    assert_as_public(MetricsData([ResourceMetrics(Resource({}), [], "")]))


def decoded(data: MetricsData) -> Any:
    return ExportMetricsServiceRequest.FromString(encode_metrics(data).body).resource_metrics


def test_points_are_repaired() -> None:
    exemplar = replace(exemplar_of(2**80), filtered_attributes={"\ud800": 2**70})
    point = NumberDataPoint({"k": "\ud800"}, 1, 2, -(2**63) - 1, [exemplar])
    data = MetricsData(
        [
            ResourceMetrics(
                Resource({}), [ScopeMetrics(SCOPE, [Metric("\ud800", "\ud800", "\ud800", Gauge([point]))], "")], ""
            )
        ]
    )
    encoded = encode_metrics(data)
    assert (encoded.repaired, encoded.dropped) == (8, ())
    (metric,) = decoded(data)[0].scope_metrics[0].metrics
    assert (metric.name, metric.description, metric.unit) == ("\ufffd", "\ufffd", "\ufffd")
    (found,) = metric.gauge.data_points
    assert (found.attributes[0].value.string_value, found.as_double) == ("\ufffd", -float(2**63))
    (exemplar_found,) = found.exemplars
    assert exemplar_found.as_double == float(2**80)
    assert exemplar_found.filtered_attributes[0].value.string_value == str(2**70)


@pytest.mark.parametrize(
    "point",
    [
        replace(POINT, value="text"),
        replace(POINT, value=None),
        replace(POINT, value=10**400),
        replace(POINT, time_unix_nano=-1),
        replace(POINT, exemplars=[exemplar_of("text")]),
        replace(POINT, exemplars=[exemplar_of(1, 2**64, 1)]),
    ],
    ids=lambda point: "huge" if point.value == 10**400 else f"{point!r:.90}",
)
def test_a_point_that_cannot_be_encoded_is_dropped_alone(point: NumberDataPoint) -> None:
    encoded = encode_metrics(data_of(Gauge([POINT, point]), Gauge([POINT])))
    assert encoded.dropped == (point,)
    assert encoded.body == public_metrics(data_of(Gauge([POINT]), Gauge([POINT]))).SerializeToString()
    # What has nothing left is left out, up to the resource.
    assert (
        encode_metrics(data_of(Gauge([point]), Gauge([POINT]))).body
        == public_metrics(data_of(Gauge([POINT]))).SerializeToString()
    )
    assert encode_metrics(data_of(Gauge([point]))).body == b""


@pytest.mark.parametrize(
    "point",
    [
        replace(BARE_HISTOGRAM_POINT, bucket_counts=[-1]),
        replace(BARE_HISTOGRAM_POINT, count=2**64),
        replace(BARE_HISTOGRAM_POINT, sum=10**400),
    ],
    ids=["negative", "too many", "huge"],
)
def test_a_histogram_that_cannot_be_encoded_is_dropped_alone(point: HistogramDataPoint) -> None:
    encoded = encode_metrics(
        data_of(HistogramData([point], AggregationTemporality.DELTA), HistogramData([BARE_HISTOGRAM_POINT], "odd"))  # type: ignore[arg-type]
    )
    assert encoded.dropped == (point, BARE_HISTOGRAM_POINT)
    assert encoded.body == b""


def test_a_scope_that_is_missing_costs_nothing() -> None:
    (resource,) = decoded(data_of(Gauge([POINT]), scope=None))
    assert resource.scope_metrics[0].metrics[0].gauge.data_points[0].as_int == 3


class Broken(Resource):
    @property
    def attributes(self) -> Any:
        raise RuntimeError


def test_points_of_a_broken_resource_are_dropped() -> None:
    encoded = encode_metrics(data_of(Gauge([POINT]), Gauge([POINT]), resource=Broken({})))
    assert (encoded.body, encoded.dropped) == (b"", (POINT, POINT))


def test_equal_resources_and_scopes_all_stay() -> None:
    # The public encoder keeps the last one.
    data = MetricsData(
        data_of(Gauge([POINT])).resource_metrics + data_of(Gauge([replace(POINT, value=4)])).resource_metrics
    )
    assert [r.scope_metrics[0].metrics[0].gauge.data_points[0].as_int for r in decoded(data)] == [3, 4]


@dataclass
class Summary:
    data_points: list[NumberDataPoint]


def test_points_of_a_kind_that_there_is_not_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    encoded = encode_metrics(data_of(Summary([POINT])))
    assert encoded.dropped == (POINT,)
    with caplog.at_level(logging.CRITICAL):
        assert encoded.body == public_metrics(data_of(Summary([POINT]))).SerializeToString()
