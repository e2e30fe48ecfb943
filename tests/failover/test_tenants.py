"""Batches of several tenants: each leaves with its own headers, and only for where it may go, through a spool too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.core import FairBatchLogRecordProcessor, ItemState, Runtime, set_state, total
from otelwarden.failover import (
    Endpoint,
    EndpointPool,
    FailoverConfig,
    FailoverLogRecordExporter,
    FailoverMetricExporter,
    FailoverSpanExporter,
    SpoolConfig,
)
from otelwarden.failover.terms import TenantTerms
from otelwarden.tenancy import (
    Tenancy,
    TenancyConfig,
    TenantLogRecordProcessor,
    TenantMeterProvider,
    TenantMetricReader,
    TenantRegistry,
    TenantSettings,
    TenantSpanProcessor,
    use_tenant,
)
from otelwarden.testing import EventRecorder, Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, PATIENCE

ORG = {"X-Scope-OrgID": "{tenant.id}"}


class App:
    """An application of several tenants, under real providers."""

    def __init__(self, endpoints: Sequence[Endpoint], registry: TenantRegistry | None, config: FailoverConfig) -> None:
        self.runtime, self.events = Runtime(), EventRecorder()
        self.runtime.observe(self.events)
        pool = EndpointPool(endpoints, config=config, runtime=self.runtime)
        common: dict[str, Any] = {"config": config, "pool": pool, "runtime": self.runtime, "directory": registry}
        self.pool = pool
        self.spans = FailoverSpanExporter(**common)
        self.logs = FailoverLogRecordExporter(**common)
        self.metrics = FailoverMetricExporter(**common)
        known = registry or TenantRegistry(runtime=self.runtime)
        tenancy = Tenancy(known, TenancyConfig(unknown="pass"), runtime=self.runtime)
        batch = BatchSpanProcessor(self.spans, schedule_delay_millis=60_000)
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(TenantSpanProcessor(batch, tenancy=tenancy, runtime=self.runtime))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        # Not the SDK's own, which makes other objects of log records, that nobody knows the tenant of.
        logs = FairBatchLogRecordProcessor(self.logs, runtime=self.runtime)
        self.logger_provider.add_log_record_processor(
            TenantLogRecordProcessor(logs, tenancy=tenancy, runtime=self.runtime)
        )
        reader: Any = PeriodicExportingMetricReader(self.metrics, export_interval_millis=60_000_000)
        self.sdk_meters = MeterProvider(
            [TenantMetricReader(reader, tenancy=tenancy, runtime=self.runtime)], shutdown_on_exit=False
        )
        self.meters = TenantMeterProvider(self.sdk_meters, tenancy)

    def send(self, *tenants: str, batch: bool = True) -> None:
        """A span of each, in one batch."""
        for tenant in tenants:
            with use_tenant(tenant):
                self.tracer_provider.get_tracer("t").start_span(f"of {tenant}").end()
        if batch:
            self.tracer_provider.force_flush()

    def account(self, signal: Any = "traces") -> Any:
        return total(self.runtime.balances(), "failover", signal)

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.account()
            time.sleep(0.005)

    def told(self, action: str) -> list[tuple[str, str]]:
        return [(event.reason, event.tenant) for event in self.events.events if event.action == action]

    def shutdown(self) -> None:
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.sdk_meters.shutdown()


@pytest.fixture
def make_app(pair: list[FaultyReceiver]) -> Iterator[Callable[..., App]]:
    apps: list[App] = []

    def make(registry: TenantRegistry | None = None, endpoints: Sequence[Endpoint] | None = None, **config: Any) -> App:
        settings = FailoverConfig(
            **{"initial_backoff": 0.1, "max_backoff": 0.2, "shutdown_patience": 0.3, **config}  # type: ignore[arg-type]
        )
        apps.append(App(endpoints or regions(pair), registry, settings))
        return apps[-1]

    yield make
    for app in apps:
        app.shutdown()
        for balance in app.runtime.balances():
            if balance.component == "failover":
                assert (balance.unaccounted, balance.held) == (0, 0), balance


def regions(pair: list[FaultyReceiver], **settings: Any) -> list[Endpoint]:
    """The first receiver is in the eu, the second in the us."""
    return [
        Endpoint(
            url=each.http_endpoint, protocol="http/protobuf", region=region, name=region, timeout=ATTEMPT, **settings
        )
        for each, region in zip(pair, ("eu", "us"), strict=True)
    ]


def registry_of(**tenants: TenantSettings) -> TenantRegistry:
    registry = TenantRegistry(runtime=Runtime())
    for tenant, settings in tenants.items():
        registry.create(tenant, tenant.title(), settings=settings)
    return registry


def received(receiver: FaultyReceiver, header: str = "x-scope-orgid") -> list[tuple[str | None, set[str]]]:
    """For each request that was taken the header, and whose spans are in it."""
    return [
        (request.headers.get(header), {span.name[3:] for span in receiver.spans() if span.request == request})
        for request in receiver.requests()
        if request.body and request.accepted
    ]


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_each_tenant_leaves_with_its_own_header(
    make_app: Callable[..., App],
    endpoints_of: Callable[..., list[Endpoint]],
    pair: list[FaultyReceiver],
    tmp_path: Path,
    spooled: bool,
) -> None:
    spool = SpoolConfig(path=str(tmp_path / "spool"), fsync="none") if spooled else None
    app = make_app(None, endpoints_of(pair[:1]), headers=ORG, spool=spool)
    app.send("acme", "globex", "acme")
    app.tracer_provider.get_tracer("t").start_span("of nobody").end()
    for tenant in ("acme", "globex"):
        with use_tenant(tenant):
            app.logger_provider.get_logger("t").emit(body=tenant)
            app.meters.get_meter("t").create_counter("orders").add(1)
    app.tracer_provider.force_flush()
    app.logger_provider.force_flush()
    app.sdk_meters.force_flush()
    assert app.spans.force_flush()
    assert app.logs.force_flush()
    assert app.metrics.force_flush()
    by_header = {header: names for header, names in received(pair[0]) if names}
    assert by_header == {"acme": {"acme"}, "globex": {"globex"}, "unattributed": {"nobody"}}
    assert {(each.request.headers["x-scope-orgid"], each.body) for each in pair[0].log_records()} == {
        ("acme", "acme"),
        ("globex", "globex"),
    }
    points = {
        (each.request.headers["x-scope-orgid"], each.attributes["tenant.id"])
        for each in pair[0].metrics()
        if each.name == "orders"
    }
    assert points == {("acme", "acme"), ("globex", "globex")}


def test_tenants_on_equal_terms_share_a_request(make_app: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    registry = registry_of(
        a=TenantSettings(region="eu"), b=TenantSettings(region="eu"), c=TenantSettings(headers={"X-Key": "k"})
    )
    app = make_app(registry)
    app.send("a", "b", "c", "d", "e")
    assert app.spans.force_flush()
    assert sorted(received(pair[0], "x-key"), key=str) == [("k", {"c"}), (None, {"a", "b"}), (None, {"d", "e"})]
    assert not pair[1].requests()


def test_headers_are_not_on_disk_and_are_looked_up_again(
    make_app: Callable[..., App], pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    registry = registry_of(
        acme=TenantSettings(headers={"authorization": "Bearer old-s3cret"}),
        gone=TenantSettings(headers={"authorization": "Bearer gone-s3cret"}),
    )
    spool = SpoolConfig(path=str(tmp_path / "spool"), fsync="none")
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    first = make_app(registry, spool=spool)
    first.send("acme", "gone", "other")
    first.wait_until(lambda: first.account().held == 3)
    first.shutdown()
    on_disk = b"".join(file.read_bytes() for file in (tmp_path / "spool").rglob("*") if file.is_file())
    assert b"of acme" in on_disk
    assert b"s3cret" not in on_disk
    registry.update("acme", settings=TenantSettings(headers={"authorization": "Bearer new-s3cret"}))
    registry.delete("gone")
    for receiver in pair:
        receiver.clear_fault()
    # Without a directory nobody knows what applies: what was bound to it waits, the rest is delivered.
    blind = make_app(None, spool=spool)
    blind.wait_until(lambda: blind.account().forwarded == 1)
    blind.shutdown()
    assert blind.account().dropped == {"left_in_spool": 2}
    second = make_app(registry, spool=spool)
    second.wait_until(lambda: second.account().forwarded == 1 and not second.account().held)
    assert second.account().dropped == {"tenant_gone": 1}
    everything = [each for receiver in pair for each in received(receiver, "authorization")]
    assert sorted(everything, key=str) == [("Bearer new-s3cret", {"acme"}), (None, {"other"})]


@pytest.mark.parametrize("bad", ["a\r\nx-admin: 1", "a\0b", "caf\u00e9", "x" * 5_000], ids=str.__len__)
def test_a_header_that_cannot_be_one_is_a_counted_drop(
    make_app: Callable[..., App], pair: list[FaultyReceiver], bad: str
) -> None:
    app = make_app(None, headers=ORG)
    tracer = app.tracer_provider.get_tracer("t")
    spans = [tracer.start_span(f"of {name}") for name in ("ok", "bad", "bad")]
    for span, tenant in zip(spans, ("ok", bad, bad), strict=True):
        span.end()
        set_state(span, ItemState(tenant, "context"))
    app.spans.export(spans)  # as one that tenancy never saw
    assert app.spans.force_flush()
    assert received(pair[0]) == [("ok", {"ok"})]
    assert (app.account().forwarded, app.account().dropped) == (1, {"bad_header": 2})


def test_telemetry_stays_in_its_region_though_another_endpoint_is_nearer(
    make_app: Callable[..., App], pair: list[FaultyReceiver]
) -> None:
    app = make_app(registry_of(us=TenantSettings(region="us"), free=TenantSettings()))
    app.send("us", "free")
    assert app.spans.force_flush()
    assert received(pair[0]) == [(None, {"free"})]
    assert received(pair[1]) == [(None, {"us"})]


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_a_region_in_an_outage_waits_and_holds_up_nobody(
    make_app: Callable[..., App], pair: list[FaultyReceiver], tmp_path: Path, spooled: bool
) -> None:
    spool = SpoolConfig(path=str(tmp_path / "spool"), fsync="none") if spooled else None
    app = make_app(registry_of(us=TenantSettings(region="us")), spool=spool)
    pair[1].set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    for _ in range(3):
        app.send("us", "free")
    app.wait_until(lambda: app.account().forwarded == 3)
    assert app.account().held == 3
    assert {name for _, names in received(pair[0]) for name in names} == {"free"}
    asked = len(pair[1].requests())
    assert asked < 10, "one batch of the region was tried, and not each"
    pair[1].clear_fault()
    assert app.spans.force_flush()
    assert app.account().forwarded == 6
    assert {name for _, names in received(pair[1]) for name in names} == {"us"}


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_no_allowed_endpoint_is_told_once_and_dropped_when_the_time_is_up(
    make_app: Callable[..., App], pair: list[FaultyReceiver], tmp_path: Path, spooled: bool
) -> None:
    spool = SpoolConfig(path=str(tmp_path / "spool"), fsync="none", max_age=1.0) if spooled else None
    app = make_app(registry_of(asia=TenantSettings(region="asia")), spool=spool, max_age=1.0)
    for _ in range(4):
        app.send("asia")
    app.send("free")
    app.wait_until(lambda: app.account().forwarded == 1)
    assert app.account().held == 4
    assert app.spans.force_flush()
    assert app.account().dropped == {"no_allowed_endpoint": 4}
    assert app.told("residency") == [("no_allowed_endpoint", "asia")]
    assert {name for each in pair for _, names in received(each) for name in names} == {"free"}


def test_an_endpoint_that_comes_takes_what_waited_for_its_region(
    make_app: Callable[..., App], pair: list[FaultyReceiver]
) -> None:
    app = make_app(registry_of(us=TenantSettings(region="us")), regions(pair)[:1])
    app.send("us")
    app.wait_until(lambda: app.told("residency"))
    app.pool.add(regions(pair)[1])
    assert app.spans.force_flush()
    assert received(pair[1]) == [(None, {"us"})]


def test_a_region_may_be_a_preference(make_app: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    app = make_app(registry_of(us=TenantSettings(region="us")), residency="prefer")
    app.send("us")
    assert app.spans.force_flush()
    assert received(pair[1]) == [(None, {"us"})]
    pair[1].set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    app.send("us")
    assert app.spans.force_flush()
    assert received(pair[0]) == [(None, {"us"})]


def test_destinations_are_names_or_urls_of_endpoints(make_app: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    registry = registry_of(
        named=TenantSettings(destinations=("us",)),
        addressed=TenantSettings(destinations=(pair[1].http_endpoint,)),
        nowhere=TenantSettings(destinations=("elsewhere",)),
    )
    app = make_app(registry, max_age=0.5)
    app.send("named", "addressed", "nowhere", "free")
    assert app.spans.force_flush()
    assert {name for _, names in received(pair[1]) for name in names} == {"named", "addressed"}
    assert received(pair[0]) == [(None, {"free"})]
    assert app.account().dropped == {"no_allowed_endpoint": 1}


def test_settings_that_change_while_a_batch_waits_apply_to_it(
    make_app: Callable[..., App], pair: list[FaultyReceiver]
) -> None:
    registry = registry_of(a=TenantSettings(region="us"), b=TenantSettings(region="us"))
    app = make_app(registry)
    pair[1].set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    app.send("a")
    app.send("a", "b")
    app.wait_until(lambda: app.account().held == 3)
    registry.update("a", settings=TenantSettings(region="eu"))
    app.wait_until(lambda: received(pair[0]) == [(None, {"a"})])
    # The other one would have to be in two regions at once: it waits.
    app.wait_until(lambda: app.account().held == 2)
    registry.update("a", settings=TenantSettings(headers={"x-key": "k"}))
    app.wait_until(lambda: app.account().dropped == {"mixed_tenants": 2})


tenants = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1)
routings = st.builds(
    TenantSettings,
    region=st.sampled_from([None, "eu", "us"]),
    destinations=st.sampled_from([None, ("x",), ("x", "y"), ("z",)]),
    headers=st.sampled_from([{}, {"K": "1"}, {"K": "2"}]),
)


@given(counts=tenants, settings=st.lists(routings, min_size=3, max_size=3), by_id=st.booleans())
def test_a_batch_is_divided_no_more_and_no_less_than_its_terms(
    counts: dict[str, int], settings: list[TenantSettings], by_id: bool
) -> None:
    directory = registry_of(**dict(zip("abc", settings, strict=True)))
    terms = TenantTerms(ORG if by_id else {}, directory=directory)
    groups = terms.groups(counts)
    assert dict(item for _, share in groups for item in share.items()) == counts
    assert len({each for each, _ in groups}) == len(groups)
    for each, share in groups:
        assert each == terms.of(share, each.bound)
        for tenant in share:
            assert each == terms.of([tenant], each.bound)
            region, destinations = directory.region(tenant), directory.destinations(tenant)
            for endpoint in (Endpoint(url="http://x", name="x", region="eu"), Endpoint(url="http://y", name="y")):
                in_region = region is None or region == endpoint.region
                named = destinations is None or endpoint.name in destinations
                assert each.allows(endpoint) == (in_region and named)


def test_many_tenants_of_one_region_under_load_lose_nothing(
    make_app: Callable[..., App], pair: list[FaultyReceiver]
) -> None:
    registry = registry_of(us=TenantSettings(region="us"), eu=TenantSettings(region="eu"))
    app = make_app(registry)
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.01):
            app.send("us", "eu", "free")

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
        time.sleep(0.3)
        receiver.clear_fault()
    stop.set()
    thread.join()
    assert app.spans.force_flush()
    account = app.account()
    assert (account.forwarded, account.dropped) == (account.received, {})
    assert {name for _, names in received(pair[0]) for name in names} <= {"eu", "free"}
    assert {name for _, names in received(pair[1]) for name in names} <= {"us", "free"}
