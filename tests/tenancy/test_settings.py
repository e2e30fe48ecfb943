"""What a tenant has of its own, and what is done with it: allowed signals, stamps, answers to other components."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otelwarden.core import ConfigError, Runtime, TenantDirectory, TenantRouting
from otelwarden.schemas import acceptor, load_schema, violations
from otelwarden.tenancy import (
    Tenancy,
    TenancyConfig,
    TenantLogRecordProcessor,
    TenantMeterProvider,
    TenantMetricReader,
    TenantRegistry,
    TenantSettings,
    use_tenant,
)

FULL = TenantSettings(
    limits={"traces": {"rate": "5/s"}},
    plan="gold",
    time_zone="Europe/Berlin",
    retention="30d",
    region="eu",
    signals=("traces", "logs"),
    destinations=("a", "b"),
    headers={"X-Scope-OrgID": "acme"},
    features=("beta",),
    attributes={"seats": 5},
)


@pytest.mark.parametrize("name", ["tenants.yaml", "tenants.json"])
def test_all_settings_survive_the_file(tmp_path, name):
    path = tmp_path / name
    path.write_text('{"tenants": []}')
    registry = TenantRegistry(path, runtime=Runtime())
    registry.create("acme", "Acme", settings=FULL, actor="user:ann")
    again = TenantRegistry(path, runtime=Runtime()).get("acme")
    assert again == registry.get("acme")
    assert again.settings == FULL


def test_it_answers_other_components(registry):
    registry.update("acme", settings=FULL)
    directory: TenantDirectory = registry
    routing: TenantRouting = registry
    assert (directory.plan("acme"), directory.time_zone("acme")) == ("gold", "Europe/Berlin")
    assert (routing.region("acme"), routing.destinations("acme")) == ("eu", ("a", "b"))
    assert routing.headers("acme") == {"X-Scope-OrgID": "acme"}
    for stranger in ("blue", "nobody"):
        answers = (directory.plan, directory.time_zone, routing.region, routing.destinations, routing.headers)
        assert [answer(stranger) for answer in answers] == [None] * 5


def test_signals_that_a_tenant_may_not_send_are_dropped(registry, runtime, spans):
    registry.update("acme", settings=TenantSettings(signals=("traces",)))
    registry.update("blue", settings=TenantSettings(signals=("logs", "metrics")))
    tenancy = Tenancy(registry, runtime=runtime)
    pipeline = spans()
    logs = InMemoryLogRecordExporter()
    loggers = LoggerProvider()
    loggers.add_log_record_processor(TenantLogRecordProcessor(SimpleLogRecordProcessor(logs), tenancy=tenancy))
    reader = InMemoryMetricReader()
    meters = TenantMeterProvider(MeterProvider([TenantMetricReader(reader, tenancy=tenancy)]), tenancy)
    counter = meters.get_meter("tests").create_counter("c")
    for tenant in ("acme", "blue"):
        with use_tenant(tenant):
            pipeline.tracer.start_span("work").end()
            loggers.get_logger("tests").emit(body=tenant)
            counter.add(1)
    assert pipeline.tags == ["acme"]
    assert [record.log_record.body for record in logs.get_finished_logs()] == ["blue"]
    (point,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert point.attributes == {"tenant.id": "blue"}
    registry.update("blue", settings=TenantSettings(signals=("logs",)))
    assert reader.get_metrics_data() is None, "held back"
    registry.update("blue", settings=TenantSettings())
    assert reader.get_metrics_data() is not None
    assert pipeline.drops == {"signal_not_allowed": 3}


def test_settings_may_be_stamped_and_an_attribute_goes_first(registry, spans):
    registry.update("acme", settings=FULL)
    registry.update("blue", settings=TenantSettings(region="eu", attributes={"region": "Frankfurt"}))
    pipeline = spans(TenancyConfig(stamp=("plan", "region", "retention")))
    for tenant in ("acme", "blue"):
        with use_tenant(tenant):
            pipeline.tracer.start_span("work").end()
    assert [dict(span.attributes) for span in pipeline.left] == [
        {"tenant.id": "acme", "tenant.plan": "gold", "tenant.region": "eu", "tenant.retention": "30d"},
        {"tenant.id": "blue", "tenant.region": "Frankfurt"},
    ]


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ("plan: Gold", "plan"),
        ("time_zone: Mars/Olympus", "time_zone"),
        ("time_zone: ../../etc/passwd", "time_zone"),
        ("retention: 30", "retention"),
        ("region: 'e u'", "region"),
        ("signals: []", "signals"),
        ("signals: [traces, profiles]", "signals/1"),
        ("destinations: []", "destinations"),
        ('destinations: ["a\\nb"]', "destinations/0"),
        ('headers: {X-Org: "a\\r\\nX-Evil: b"}', "headers/X-Org"),
        ("headers: {X-Org: ' padded'}", "headers/X-Org"),
        ("headers: {X-Org: 'ä'}", "headers/X-Org"),
        ("headers: {'X Org': a}", "headers"),
        ("headers: {Host: a}", "headers"),
        ("headers: {Content-Type: a}", "headers"),
        ("headers: {trace-BIN: a}", "headers"),
        ("headers: {X-Org: a, x-org: b}", "headers"),
        ("headers: {grpc-timeout: 1S}", "headers"),
        ("features: [Beta]", "features/0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, given, pointer):
    path = tmp_path / "tenants.yaml"
    path.write_text(f"tenants:\n- id: acme\n  name: Acme\n  settings:\n    {given}\n")
    with pytest.raises(ConfigError) as refused:
        TenantRegistry(path, runtime=Runtime())
    assert {fault.pointer for fault in refused.value.faults} == {f"/tenants/0/settings/{pointer}"}


def test_who_and_why_are_told_here_and_in_other_processes(tmp_path, runtime, events):
    path = tmp_path / "tenants.yaml"
    path.write_text("tenants: [{id: acme, name: Acme}, {id: blue, name: Blue}]\n")
    other = Runtime()
    heard: list = []
    other.observe(heard.append)
    here, there = TenantRegistry(path, runtime=runtime), TenantRegistry(path, runtime=other)
    here.suspend("acme", "unpaid", actor="user:ann@example.com")
    here.deactivate("blue", "left", actor="service:billing")
    assert there.reload()
    expected = [
        ("suspend", "unpaid", "acme", "user:ann@example.com"),
        ("deactivate", "left", "blue", "service:billing"),
    ]
    for told in (events, heard):
        assert [(e.action, e.reason, e.tenant, e.actor) for e in told if e.tenant] == expected
    here.delete("acme", "erasure", actor="user:bob")
    assert (events[-1].action, events[-1].reason, events[-1].actor) == ("delete", "erasure", "user:bob")
    path.write_text(path.read_text().replace('"status": "inactive"', '"status": "active"'))
    there.reload()
    assert [(e.action, e.actor) for e in heard][-1] == ("activate", ""), "whoever edited it by hand did not say"
    for actor in ("ann", "root:ann", "user:a b", "user:" + "x" * 121, "user:a\n"):
        with pytest.raises(ConfigError):
            here.suspend("blue", "unpaid", actor=actor)
        with pytest.raises(ConfigError):
            here.delete("blue", actor=actor)


ENTRIES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["acme", "500/s", "eu"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = list(load_schema("tenants")["$defs"]["tenant"]["properties"])
SETTINGS = list(load_schema("tenants")["$defs"]["tenant"]["properties"]["settings"]["properties"])
GOOD = {"id": "acme", "name": "Acme"}
accepts = acceptor("tenants", "tenant")


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), ENTRIES, max_size=3),
    st.dictionaries(st.sampled_from(SETTINGS), ENTRIES | st.just(["traces"]) | st.just({"a": "b"}), max_size=3),
)
def test_what_the_quick_check_accepts_is_what_the_schema_allows(changes, own):
    entry = {**GOOD, "settings": own, **changes}
    assert accepts(entry) == (violations({"tenants": [entry]}, "tenants") == [])


def test_yaml_by_hand_is_read_in_full(tmp_path):
    path = tmp_path / "tenants.yaml"
    path.write_text(
        textwrap.dedent(
            """
            tenants:
              - id: acme
                name: Acme
                settings:
                  plan: gold
                  time_zone: Europe/Berlin
                  headers:
                    X-Scope-OrgID: acme
            """
        )
    )
    tenant = TenantRegistry(path, runtime=Runtime()).get("acme")
    assert (tenant.settings.plan, dict(tenant.settings.headers)) == ("gold", {"X-Scope-OrgID": "acme"})
