"""The limit on series: no measurement is lost, whatever the instrument and the temporality; by real SDK providers."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import Observation
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData

from otelwarden.core import Runtime, raised_cardinality_limits, use_tenant
from otelwarden.quota import (
    MetricLimits,
    QuotaConfig,
    QuotaLimiter,
    QuotaMetricReader,
    SeriesLimiter,
    TenantLimits,
)
from otelwarden.quota.series import SERIES_PER_INSTRUMENT
from otelwarden.tenancy import Tenancy, TenancyConfig, TenantMeterProvider, TenantMetricReader, TenantRegistry
from otelwarden.tenancy import TenantSettings as Settings
from otelwarden.testing import EventRecorder

KINDS = (
    sdk.Counter,
    sdk.UpDownCounter,
    sdk.Histogram,
    sdk.ObservableCounter,
    sdk.ObservableUpDownCounter,
    sdk.ObservableGauge,
)
CUMULATIVE, DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA


class Metrics:
    """A real pipeline of metrics with tenancy and quota that ends in memory."""

    def __init__(self, temporality: AggregationTemporality = CUMULATIVE, **limits: int) -> None:
        self.runtime = Runtime()
        self.events = EventRecorder()
        self.runtime.observe(self.events)
        self.registry = TenantRegistry(runtime=self.runtime)
        for tenant, limit in limits.items():
            settings = Settings(limits={"metrics": {"cardinality": limit}}) if limit else None
            self.registry.create(tenant, tenant, settings=settings)
        config = QuotaConfig(default=TenantLimits(metrics=MetricLimits()))
        self.limiter = QuotaLimiter(config, directory=self.registry, runtime=self.runtime)
        tenancy = Tenancy(self.registry, TenancyConfig(), runtime=self.runtime)
        arguments = raised_cardinality_limits(InMemoryMetricReader)
        self.reader = InMemoryMetricReader(preferred_temporality=dict.fromkeys(KINDS, temporality), **arguments)
        governed: Any = TenantMetricReader(
            QuotaMetricReader(self.reader, limiter=self.limiter, runtime=self.runtime), tenancy=tenancy
        )
        provider = MeterProvider([governed])
        self.meters = TenantMeterProvider(
            provider, tenancy, resource=provider._sdk_config.resource, series=self.limiter.series
        )
        self.meter = self.meters.get_meter("tests")

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data() or MetricsData([])
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def folds(self) -> dict[str, int]:
        found: Tally[str] = Tally()
        for event in self.events.events:
            if (event.component, event.action, event.reason) == ("quota", "fold", "cardinality"):
                found[event.tenant] += event.count
        return dict(found)


def value(point: Any) -> float:
    return point.value if hasattr(point, "value") else point.sum


def by_series(points: list[Any]) -> dict[tuple[str, object], float]:
    """(tenant, attribute `n`; None for an overflow series) -> value; no two points are of one series."""
    found: dict[tuple[str, object], float] = {}
    for point in points:
        key = (point.attributes["tenant.id"], point.attributes.get("n"))
        assert (key[1] is None) == (point.attributes.get("otel.metric.overflow") is True)
        assert key not in found
        found[key] = value(point)
    return found


def test_new_series_over_the_limit_fold_and_existing_ones_go_on():
    pipeline = Metrics(noisy=3, quiet=3)
    counter = pipeline.meter.create_counter("c")
    for _ in range(2):
        with use_tenant("noisy"):
            for number in range(100):
                counter.add(1, {"n": number})
        with use_tenant("quiet"):
            for number in range(3):
                counter.add(1, {"n": number})
    assert by_series(pipeline.points("c")) == {
        **{("noisy", n): 2 for n in range(3)},
        ("noisy", None): 194,
        **{("quiet", n): 2 for n in range(3)},
    }
    assert pipeline.folds() == {"noisy": 194}
    pipeline.points("c")
    assert pipeline.folds() == {"noisy": 194}, "told once"
    assert {u.tenant: (u.active, u.limit, u.folded) for u in pipeline.limiter.series.usage()} == {
        "noisy": (3, 3, 194),
        "quiet": (3, 3, 0),
    }


def test_the_limit_is_one_for_all_instruments_of_a_tenant():
    pipeline = Metrics(acme=5)
    first, second = pipeline.meter.create_counter("a"), pipeline.meters.get_meter("other").create_histogram("a")
    with use_tenant("acme"):
        for number in range(4):
            first.add(1, {"n": number})
            second.record(1.0, {"n": number})
    points = by_series_of_both(pipeline)
    assert sum(key is not None for key, _ in points) == 5
    assert sum(amount for _, amount in points) == 8


def by_series_of_both(pipeline: Metrics) -> list[tuple[object, float]]:
    return [(point.attributes.get("n"), value(point)) for point in pipeline.points("a")]


def test_a_tenant_without_a_limit_has_as_many_as_the_sdk_allows_but_of_its_own():
    pipeline = Metrics(noisy=0, quiet=0)
    counter = pipeline.meter.create_counter("c")
    with use_tenant("noisy"):
        for number in range(SERIES_PER_INSTRUMENT + 500):
            counter.add(1, {"n": number})
    with use_tenant("quiet"):
        for number in range(20):
            counter.add(1, {"n": number})
    found = by_series(pipeline.points("c"))
    assert found["noisy", None] == 500
    assert all(found["quiet", number] == 1 for number in range(20))


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["acme", "blue"]), st.integers(0, 7), st.integers(1, 9)),
        st.just("collect"),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.sampled_from([CUMULATIVE, DELTA]), st.sampled_from(["counter", "up_down_counter", "histogram"]))
def test_totals_are_exact_and_limits_hold(actions, temporality, kind):
    pipeline = Metrics(temporality, acme=3, blue=1)
    instrument = getattr(pipeline.meter, f"create_{kind}")("i")
    measure = instrument.record if kind == "histogram" else instrument.add
    measured: Tally[str] = Tally()
    collected: Tally[str] = Tally()

    def collect() -> None:
        if temporality is CUMULATIVE:
            collected.clear()
        series: Tally[str] = Tally()
        for (tenant, number), amount in by_series(pipeline.points("i")).items():
            collected[tenant] += amount
            series[tenant] += number is not None
        assert series["acme"] <= 3
        assert series["blue"] <= 1

    for action in actions:
        if action == "collect":
            collect()
            continue
        tenant, number, amount = action
        with use_tenant(tenant):
            measure(amount, {"n": number})
        measured[tenant] += amount
    collect()
    assert +collected == measured


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.tuples(st.sampled_from(["acme", "blue"]), st.integers(0, 6)), st.integers(0, 5)),
             max_size=8),
    st.sampled_from([CUMULATIVE, DELTA]),
    st.sampled_from(["observable_counter", "observable_up_down_counter"]),
)  # fmt: skip
def test_totals_that_are_observed_are_exact_too(rounds, temporality, kind):
    pipeline = Metrics(temporality, acme=2, blue=4)
    totals: dict[tuple[str, int], int] = {}

    def observe(half: int) -> Any:
        def callback(options: Any) -> Any:
            for (tenant, number), total in totals.items():
                if number % 2 == half:
                    with use_tenant(tenant):
                        yield Observation(total, {"n": number})

        return callback

    getattr(pipeline.meter, f"create_{kind}")("i", [observe(0), observe(1)])
    collected: Tally[str] = Tally()
    before: dict[Any, float] = {}
    for growth in rounds:
        for key, amount in growth.items():
            totals[key] = totals.get(key, 0) + amount
        if temporality is CUMULATIVE:
            collected.clear()
        found = by_series(pipeline.points("i"))
        for (tenant, _), amount in found.items():
            collected[tenant] += amount
        if temporality is CUMULATIVE:
            assert all(amount >= before.get(key, 0) for key, amount in found.items()), "no total falls"
            before = found
        expected: Tally[str] = Tally()
        for (tenant, _), total in totals.items():
            expected[tenant] += total
        assert +collected == +expected


def test_gauges_keep_the_last_value():
    pipeline = Metrics(acme=2)
    pipeline.meter.create_observable_gauge("o", [lambda _: [Observation(n, {"n": n}) for n in range(5)]])
    gauge = pipeline.meter.create_gauge("g")
    with use_tenant("acme"):
        for number in range(5):
            gauge.set(number, {"n": number})
        found = by_series(pipeline.points("g"))
        assert found == {("acme", 0): 0, ("acme", 1): 1, ("acme", None): 4}


def test_places_are_freed_under_delta_only():
    for temporality, active in ((DELTA, 0), (CUMULATIVE, 2)):
        pipeline = Metrics(temporality, acme=2)
        counter = pipeline.meter.create_counter("c")
        with use_tenant("acme"):
            for start in (0, 10, 20):
                for number in range(start, start + 3):
                    counter.add(1, {"n": number})
                found = by_series(pipeline.points("c"))
                expected = {("acme", start): 1, ("acme", start + 1): 1, ("acme", None): 1}
                if temporality is DELTA:
                    assert found == expected
        assert [usage.active for usage in pipeline.limiter.series.usage()] == [active]


def test_a_limit_that_changes_is_in_force_at_once_and_ends_no_series():
    pipeline = Metrics(acme=3)
    counter = pipeline.meter.create_counter("c")

    def measure() -> dict[object, float]:
        with use_tenant("acme"):
            for number in range(6):
                counter.add(1, {"n": number})
        return {number: amount for (_, number), amount in by_series(pipeline.points("c")).items()}

    assert measure() == {0: 1, 1: 1, 2: 1, None: 3}
    pipeline.registry.update("acme", settings=Settings(limits={"metrics": {"cardinality": 1}}))
    assert measure() == {0: 2, 1: 2, 2: 2, None: 6}
    pipeline.registry.update("acme", settings=Settings(limits={"metrics": {"cardinality": 5}}))
    assert measure() == {0: 3, 1: 3, 2: 3, 3: 1, 4: 1, None: 7}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": "1"}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"a": [True]}),
        ({"a": [[1]]}, {"a": [["1"]]}),
        ({"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
    ],
    ids=repr,
)
def test_what_the_sdk_tells_apart_is_told_apart(one, other):
    series = SeriesLimiter(lambda tenant: 1)
    assert series.admits("acme", ("s", "i"), one)
    assert series.admits("acme", ("s", "i"), dict(one)), "the same series"
    assert not series.admits("acme", ("s", "i"), other)


def test_eight_threads_take_exactly_the_places_there_are():
    series = SeriesLimiter(lambda tenant: 500)
    admitted: list[int] = []

    def work(start: int) -> None:
        mine = [series.admits("acme", ("s", f"i{n % 3}"), {"n": (n + start) % 2000}) for n in range(2000)]
        admitted.append(sum(mine))

    threads = [threading.Thread(target=work, args=(start * 250,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (usage,) = series.usage()
    assert usage.active == 500
    assert sum(admitted) + usage.folded == 16_000


def test_a_measurement_that_makes_no_sense_charges_nobody():
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

    pipeline = Metrics(acme=2)
    counter = pipeline.meter.create_counter("c")
    with use_tenant("acme"):
        counter.add(1, {"n": Unhashable()})  # type: ignore[dict-item]
        counter.add(1, 5)  # type: ignore[arg-type]
    assert sum(value(point) for point in pipeline.points("c")) == 2
