"""Metrics through a real MeterProvider and real readers."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from opentelemetry import metrics as api
from opentelemetry.context import Context
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from otelwarden.core import METRICS, total
from otelwarden.tenancy import (
    QUARANTINED_ID,
    Tenancy,
    TenancyConfig,
    TenantMeterProvider,
    TenantMetricReader,
    TenantSettings,
    set_tenant,
    use_tenant,
)


class Metrics:
    def __init__(self, registry, runtime, config=None, *, resource=None, tell_resource=True):
        self.tenancy = Tenancy(registry, config, runtime=runtime)
        self.memory = InMemoryMetricReader()
        resource = Resource(resource or {})
        reader = TenantMetricReader(self.memory, tenancy=self.tenancy)
        self.sdk = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.provider = TenantMeterProvider(self.sdk, self.tenancy, resource=resource if tell_resource else None)
        self.meter = self.provider.get_meter("tests", "1", "https://schema.example", {"a": "b"})
        self.runtime = runtime

    def points(self):
        data = self.memory.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: [(dict(point.attributes), getattr(point, "value", None)) for point in metric.data.data_points]
            for rm in data.resource_metrics
            for sm in rm.scope_metrics
            for metric in sm.metrics
        }

    @property
    def rejected(self):
        return {(d.tenant, d.reason): count for d, count in self.runtime.decisions().items() if d.action == "reject"}


@pytest.fixture
def build(registry, runtime):
    return lambda config=None, **options: Metrics(registry, runtime, config, **options)


def test_every_instrument_is_tagged(build):
    pipeline = build()
    meter = pipeline.meter
    counter = meter.create_counter("counter", "1", "counts")
    both = meter.create_up_down_counter("both")
    histogram = meter.create_histogram("histogram", explicit_bucket_boundaries_advisory=[1.0, 2.0])
    gauge = meter.create_gauge("gauge")
    with use_tenant("acme"):
        counter.add(1, {"k": "v"})
        both.add(-2, None)
        histogram.record(1.5)
        gauge.set(3, attributes={})
    assert isinstance(counter, api.Counter)
    assert isinstance(both, api.UpDownCounter)
    assert isinstance(histogram, api.Histogram)
    assert isinstance(meter, api.Meter)
    assert (meter.name, meter.version, meter.schema_url) == ("tests", "1", "https://schema.example")
    assert pipeline.points() == {
        "counter": [({"k": "v", "tenant.id": "acme"}, 1)],
        "both": [({"tenant.id": "acme"}, -2)],
        "histogram": [({"tenant.id": "acme"}, None)],
        "gauge": [({"tenant.id": "acme"}, 3)],
    }


def test_the_given_context_decides_and_not_the_application_s_tag(build):
    pipeline = build()
    counter = pipeline.meter.create_counter("counter")
    with use_tenant("acme"):
        counter.add(1, {"tenant.id": "blue"})
        counter.add(10, {"tenant.id": "acme"}, set_tenant("blue"))
        counter.add(100, context=Context())
    assert {p["tenant.id"]: v for p, v in pipeline.points()["counter"]} == {
        "acme": 1,
        "blue": 10,
        "unattributed": 100,
    }


def test_observables_have_the_tenant_of_their_context_and_generators_work(build):
    pipeline = build()

    def plain(options):
        yield Observation(1, {"tenant.id": "blue"}, set_tenant("acme", Context()))
        yield Observation(2, None)

    def generator():
        options = yield
        while True:
            options = yield [Observation(3, {"x": str(options is not None)})]

    def ending():
        yield
        yield [Observation(4)]

    pipeline.meter.create_observable_counter("counter", [plain])
    pipeline.meter.create_observable_gauge("gauge", [generator()], "u", "d")
    pipeline.meter.create_observable_up_down_counter("both", [ending()])
    assert pipeline.points() == {
        "counter": [({"tenant.id": "acme"}, 1), ({"tenant.id": "unattributed"}, 2)],
        "gauge": [({"x": "True", "tenant.id": "unattributed"}, 3)],
        "both": [({"tenant.id": "unattributed"}, 4)],
    }
    assert pipeline.points()["gauge"] == [({"x": "True", "tenant.id": "unattributed"}, 3)]


def test_an_observation_may_name_its_tenant_where_that_is_configured(build):
    pipeline = build(TenancyConfig(sources=("attribute", "context")))

    def per_tenant(options):
        return [Observation(1, {"tenant.id": "blue"}), Observation(2, {"tenant.id": "acme"})]

    pipeline.meter.create_observable_gauge("gauge", [per_tenant])
    assert pipeline.points()["gauge"] == [({"tenant.id": "blue"}, 1), ({"tenant.id": "acme"}, 2)]


def test_what_may_not_pass_is_not_recorded_and_counted(build):
    pipeline = build()
    counter = pipeline.meter.create_counter("counter")
    for tenant, times in (("broke", 3), ("nobody-knows", 2), ("a\nb", 1)):
        with use_tenant(tenant):
            for _ in range(times):
                counter.add(1)
    assert pipeline.points() == {}
    assert pipeline.rejected == {
        ("broke", "tenant_suspended"): 3,
        ("<unknown>", "unknown_tenant"): 2,
        ("<invalid>", "invalid_tenant"): 1,
    }


def test_a_suspended_tenant_s_points_are_held_back_and_come_back(build, registry, runtime):
    pipeline = build()
    counter = pipeline.meter.create_counter("counter")
    for tenant in ("acme", "blue"):
        with use_tenant(tenant):
            counter.add(1)
    registry.suspend("acme", "unpaid")
    assert pipeline.points() == {"counter": [({"tenant.id": "blue"}, 1)]}
    registry.suspend("blue", "unpaid")
    assert pipeline.points() == {}
    registry.activate("acme")
    with use_tenant("acme"):
        counter.add(1)
    assert pipeline.points() == {"counter": [({"tenant.id": "acme"}, 2)]}
    balance = total(runtime.balances(), "tenancy", METRICS)
    assert balance.dropped == {"tenant_suspended": 4}
    assert all(each.unaccounted == 0 for each in runtime.balances())


def test_a_pending_tenant_s_points_are_quarantined_at_the_reader_only(build, registry, events):
    pipeline = build()
    counter = pipeline.meter.create_counter("counter")
    with use_tenant("late"):
        counter.add(1, {"k": 1})
    assert pipeline.points() == {"counter": [({"k": 1, "tenant.id": "quarantine", QUARANTINED_ID: "late"}, 1)]}
    registry.activate("late")
    with use_tenant("late"):
        counter.add(1, {"k": 1})
    assert pipeline.points() == {"counter": [({"k": 1, "tenant.id": "late"}, 2)]}
    assert [(e.tenant, e.reason, e.count) for e in events if e.action == "quarantine"] == [
        ("late", "tenant_pending", 1)
    ]


def test_quarantined_strangers_make_one_series(build):
    pipeline = build(TenancyConfig(unknown="quarantine"))
    counter = pipeline.meter.create_counter("counter")
    for number in range(100):
        with use_tenant(f"stranger{number}"):
            counter.add(1)
    assert pipeline.points() == {"counter": [({"tenant.id": "quarantine"}, 100)]}


@pytest.mark.parametrize("tell_resource", [True, False], ids=["told", "left to the reader"])
def test_the_resource_names_the_tenant(build, runtime, tell_resource):
    pipeline = build(resource={"tenant.id": "blue"}, tell_resource=tell_resource)
    counter = pipeline.meter.create_counter("counter")
    counter.add(1, {"tenant.id": "acme"})
    with use_tenant("acme"):
        counter.add(2)
    assert Counter(p["tenant.id"] for p, _ in pipeline.points()["counter"]) == {"acme": 1, "blue": 1}
    assert all(each.unaccounted == 0 for each in runtime.balances())


def test_a_series_of_overflow_belongs_to_nobody(registry, runtime):
    memory = InMemoryMetricReader()
    tenancy = Tenancy(registry, runtime=runtime)
    provider = MeterProvider(
        [TenantMetricReader(memory, tenancy=tenancy)], resource=Resource({"tenant.id": "blue"}), shutdown_on_exit=False
    )
    counter = provider.get_meter("bare").create_counter("counter")
    counter.add(1, {"k": "v"})
    counter.add(1, {"otel.metric.overflow": True})  # as the specification has it; SDK 1.45 makes no such series itself
    data = memory.get_metrics_data()
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert [dict(point.attributes) for point in points] == [
        {"k": "v", "tenant.id": "blue"},
        {"otel.metric.overflow": True, "tenant.id": "unattributed"},
    ]


def test_chosen_attributes_are_stamped_at_the_reader(build, registry):
    registry.update("acme", settings=TenantSettings(attributes={"plan": "gold", "seats": 5}))
    pipeline = build(TenancyConfig(stamp=("plan", "region")))
    counter = pipeline.meter.create_counter("counter")
    with use_tenant("acme"):
        counter.add(1)
    registry.update("acme", settings=TenantSettings(attributes={"plan": "silver"}))
    with use_tenant("acme"):
        counter.add(1)
    assert pipeline.points() == {"counter": [({"tenant.id": "acme", "tenant.plan": "silver"}, 2)]}


def test_the_rest_passes_through(build):
    pipeline = build()
    assert pipeline.provider.force_flush(1000) is True
    instrument = pipeline.meter.create_counter("counter", unit="By")
    assert instrument.unit == "By"
    pipeline.provider.shutdown(timeout_millis=1000)
    assert isinstance(pipeline.provider.get_meter("late"), api.Meter)


def test_hostile_attributes_reach_the_sdk_and_never_raise_here(build):
    pipeline = build()
    counter = pipeline.meter.create_counter("counter")
    with use_tenant("acme"):
        counter.add(1, {"fine": 1})
        counter.add(-1, {"refused": "by the SDK"})
    assert pipeline.points() == {"counter": [({"fine": 1, "tenant.id": "acme"}, 1)]}


def test_eight_threads_are_counted_exactly(build):
    pipeline = build()
    counter = pipeline.meter.create_counter("counter")

    def work(tenant: str) -> None:
        for _ in range(500):
            with use_tenant(tenant):
                counter.add(1)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("acme", "blue", "broke", "stranger") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {p["tenant.id"]: v for p, v in pipeline.points()["counter"]} == {"acme": 1000, "blue": 1000}
    assert pipeline.rejected == {("broke", "tenant_suspended"): 1000, ("<unknown>", "unknown_tenant"): 1000}


def test_a_collection_that_tenancy_fails_on_passes_or_not_as_configured(registry, runtime):
    class Failing(Tenancy):
        def admit(self, tenant):
            raise RuntimeError("broken")

    for on_error, left in (("pass", True), ("drop", False)):
        memory = InMemoryMetricReader()
        reader = TenantMetricReader(memory, tenancy=Failing(registry, runtime=runtime), on_error=on_error)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        provider.get_meter("tests").create_counter("counter").add(1, {"tenant.id": "acme"})
        assert (memory.get_metrics_data() is not None) is left
    assert runtime.error_counts()["tenancy"] == {"transform:RuntimeError": 2}
    assert all(each.unaccounted == 0 for each in runtime.balances())
