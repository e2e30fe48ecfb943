from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)

from otelwarden.core import (
    Balance,
    Drop,
    DropPoints,
    GovernedMetricReader,
    MetricTransform,
    OnError,
    Runtime,
    map_metrics,
    map_points,
    points_by_tenant,
    tenant_of_point,
)
from otelwarden.testing import EventRecorder

TENANT = "tenant.id"
REFUSED = Drop("refused")


class RecordingMetricExporter(MetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self.collections: list[MetricsData] = []
        self.calls: list[str] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        self.collections.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        self.calls.append("force_flush")
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self.calls.append("shutdown")


def values(data: MetricsData | None) -> dict[tuple[str, str], Any]:
    """(name, tenant) -> value of every point of a sum."""
    if data is None:
        return {}
    return {
        (metric.name, tenant_of_point(point, TENANT)): point.value  # type: ignore[union-attr]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


def unchanged(data: MetricsData, dropped: DropPoints) -> MetricsData:
    return data


def renamed(suffix: str) -> MetricTransform:
    return lambda data, dropped: map_metrics(data, lambda metric: replace(metric, name=metric.name + suffix))


def without(tenant: str) -> MetricTransform:
    def change(point: Any) -> Any:
        return REFUSED if tenant_of_point(point, TENANT) == tenant else point

    return lambda data, dropped: map_metrics(data, lambda metric: map_points(metric, change, TENANT, dropped))


def broken(data: MetricsData, dropped: DropPoints) -> MetricsData:
    dropped("a", "refused", 1)
    raise ValueError


@pytest.fixture
def governed(runtime: Runtime) -> Callable[..., GovernedMetricReader]:
    def make(
        reader: MetricReader,
        transform: MetricTransform = unchanged,
        *,
        component: str = "c",
        on_error: OnError = "drop",
    ) -> GovernedMetricReader:
        return GovernedMetricReader(reader, transform, component="c", on_error=on_error, runtime=runtime)

    return make


Governed = Callable[..., GovernedMetricReader]


def count(provider: MeterProvider, **tenants: int) -> None:
    counter = provider.get_meter("test").create_counter("requests")
    for tenant, number in tenants.items():
        counter.add(number, {TENANT: tenant})


def test_a_governed_reader_is_what_it_wraps(governed: Governed) -> None:
    reader = InMemoryMetricReader()
    outer = governed(governed(reader))
    assert isinstance(outer, (InMemoryMetricReader, MetricReader))
    assert outer == reader
    assert hash(outer) == hash(reader)


def test_the_outermost_sees_the_collection_first(governed: Governed) -> None:
    reader = governed(governed(InMemoryMetricReader(), renamed(".inner")), renamed(".outer"))
    provider = MeterProvider([reader])
    count(provider, a=1)
    assert values(reader.get_metrics_data()) == {("requests.outer.inner", "a"): 1}
    provider.shutdown()


def test_a_periodic_reader_exports_what_the_transforms_leave(governed: Governed, runtime: Runtime) -> None:
    exporter = RecordingMetricExporter()
    reader = governed(governed(PeriodicExportingMetricReader(exporter, 3_600_000), without("b")), renamed(".x"))
    provider = MeterProvider([reader])
    count(provider, a=1, b=2)
    assert provider.force_flush()
    assert values(exporter.collections[-1]) == {("requests.x", "a"): 1}
    provider.shutdown()
    assert exporter.calls[-1] == "shutdown"
    assert all(b.unaccounted == 0 for b in runtime.balances())


def test_drops_are_counted_and_told(governed: Governed, runtime: Runtime, balance: Callable[..., Balance]) -> None:
    observer = EventRecorder()
    runtime.observe(observer)
    reader = governed(InMemoryMetricReader(), without("b"))
    provider = MeterProvider([reader])
    count(provider, a=1, b=2)
    assert values(reader.get_metrics_data()) == {("requests", "a"): 1}
    a, b = (balance("c", tenant, "metrics") for tenant in "ab")
    assert (a.received, a.forwarded, a.dropped) == (1, 1, {})
    assert (b.received, b.forwarded, b.dropped) == (1, 0, {"refused": 1})
    assert [(e.reason, e.tenant, e.signal, e.count) for e in observer.events] == [("refused", "b", "metrics", 1)]
    provider.shutdown()


@pytest.mark.parametrize(("on_error", "left"), [("drop", {}), ("pass", {("requests", "a"): 1, ("requests", "b"): 2})])
def test_a_transform_that_raises(governed: Governed, runtime: Runtime, on_error: OnError, left: dict[Any, int]) -> None:
    reader = governed(InMemoryMetricReader(), broken, on_error=on_error)
    provider = MeterProvider([reader])
    count(provider, a=1, b=2)
    assert values(reader.get_metrics_data()) == left
    for b in runtime.balances():
        assert (b.received, b.forwarded, b.unaccounted) == (1, len(left) // 2, 0)
        assert b.dropped == ({} if left else {"error": 1})
    assert runtime.error_counts()["c"] == {"transform:ValueError": 1}
    provider.shutdown()


def test_a_collection_of_which_nothing_is_left_is_none(governed: Governed) -> None:
    exporter = RecordingMetricExporter()
    provider = MeterProvider([governed(PeriodicExportingMetricReader(exporter, 3_600_000), without("a"))])
    count(provider, a=1)
    provider.force_flush()
    assert exporter.collections == []
    provider.shutdown()


def test_a_reader_without_measurements_collects_nothing(governed: Governed, runtime: Runtime) -> None:
    reader = governed(InMemoryMetricReader())
    provider = MeterProvider([reader])
    assert reader.get_metrics_data() is None
    assert runtime.balances() == []
    provider.shutdown()


def test_a_reader_may_come_late_and_go(governed: Governed) -> None:
    provider = MeterProvider()
    plain = InMemoryMetricReader()
    reader = governed(governed(plain, renamed(".inner")), renamed(".outer"))
    provider.add_metric_reader(reader)
    count(provider, a=1)
    assert values(reader.get_metrics_data()) == {("requests.outer.inner", "a"): 1}
    provider.remove_metric_reader(plain)  # equal, so either name will do
    provider.add_metric_reader(InMemoryMetricReader())
    provider.shutdown()


def test_a_reader_cannot_be_registered_twice(governed: Governed) -> None:
    reader = InMemoryMetricReader()
    with pytest.raises(Exception, match="registered already"):
        MeterProvider([governed(reader), reader])


def test_two_readers_of_one_provider_are_governed_apart(governed: Governed) -> None:
    readers = [governed(InMemoryMetricReader(), renamed(f".{name}")) for name in "xy"]
    provider = MeterProvider(readers)
    count(provider, a=1)
    assert [values(reader.get_metrics_data()) for reader in readers] == [
        {("requests.x", "a"): 1},
        {("requests.y", "a"): 1},
    ]
    provider.shutdown()


# --- the functions


@pytest.fixture
def collected() -> MetricsData:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    count(provider, a=1, b=2)
    meter = provider.get_meter("other scope")
    meter.create_histogram("latency").record(3, {TENANT: "a"})
    meter.create_gauge("load").set(4)
    data = reader.get_metrics_data()
    assert data is not None
    return data


def test_points_are_counted_by_tenant(collected: MetricsData) -> None:
    assert points_by_tenant(collected, TENANT) == {"a": 2, "b": 1, "unattributed": 1}


def test_a_tag_that_is_no_text_is_no_tenant() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("requests").add(1, {TENANT: 7})
    data = reader.get_metrics_data()
    assert data is not None
    assert points_by_tenant(data, TENANT) == {"unattributed": 1}


def test_metrics_that_do_not_change_are_shared(collected: MetricsData) -> None:
    mapped = map_metrics(collected, lambda metric: metric)
    old, new = (
        [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] for data in (collected, mapped)
    )
    assert all(a is b for a, b in zip(old, new, strict=True))


def test_envelopes_that_end_up_empty_are_left_out(collected: MetricsData) -> None:
    left = map_metrics(collected, lambda metric: metric if metric.name == "load" else None)
    ((scope,),) = [resource.scope_metrics for resource in left.resource_metrics]
    assert scope.scope.name == "other scope"
    assert map_metrics(collected, lambda metric: None).resource_metrics == []


def test_points_that_do_not_change_leave_the_metric_alone(collected: MetricsData) -> None:
    def same(metric: Metric) -> Metric | None:
        result = map_points(metric, lambda point: point, TENANT, lambda *_: None)
        assert result is metric
        return result

    map_metrics(collected, same)


def test_points_are_changed_on_a_copy(collected: MetricsData) -> None:
    def tag(point: Any) -> Any:
        return replace(point, attributes={**point.attributes, TENANT: "x"})

    changed = map_metrics(collected, lambda metric: map_points(metric, tag, TENANT, lambda *_: None))
    assert points_by_tenant(changed, TENANT) == {"x": 4}
    assert points_by_tenant(collected, TENANT) == {"a": 2, "b": 1, "unattributed": 1}
