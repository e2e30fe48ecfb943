"""Spans through a real TracerProvider."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from otelwarden.core import state_of
from otelwarden.tenancy import (
    QUARANTINED_ID,
    Tenancy,
    TenancyConfig,
    TenantSettings,
    TenantSpanProcessor,
    set_tenant,
    use_tenant,
)


def test_a_span_is_tagged_where_the_application_sees_it(spans):
    pipeline = spans()
    with use_tenant("acme"), pipeline.tracer.start_as_current_span("work") as span:
        assert span.attributes["tenant.id"] == "acme"
    assert pipeline.tags == ["acme"]
    assert state_of(pipeline.left[0]).tenant == "acme"
    assert state_of(pipeline.left[0]).source == "context"


@pytest.mark.parametrize(
    ("tenant", "reason"),
    [
        ("nobody-knows", "unknown_tenant"),
        ("../etc", "invalid_tenant"),
        ("broke", "tenant_suspended"),
        ("gone", "tenant_inactive"),
    ],
)
def test_what_may_not_pass_is_dropped_and_counted(spans, tenant, reason):
    pipeline = spans()
    with use_tenant(tenant), pipeline.tracer.start_as_current_span("work") as span:
        assert "tenant.id" not in span.attributes
    assert pipeline.left == []
    assert pipeline.drops == {reason: 1}


def test_pending_is_quarantined(spans, events):
    pipeline = spans()
    with use_tenant("late"), pipeline.tracer.start_as_current_span("work"):
        pass
    (span,) = pipeline.left
    assert span.attributes["tenant.id"] == "quarantine"
    assert span.attributes[QUARANTINED_ID] == "late"
    assert state_of(span).tenant == "quarantine"
    (event,) = [e for e in events if e.action == "quarantine"]
    assert (event.tenant, event.reason, event.span_id) == ("late", "tenant_pending", span.context.span_id)


def test_nobody_named_is_unattributed_or_dropped(spans):
    pipeline = spans()
    pipeline.tracer.start_span("work", context=Context()).end()
    assert pipeline.tags == ["unattributed"]
    strict = spans(TenancyConfig(missing="reject"))
    strict.tracer.start_span("work", context=Context()).end()
    assert strict.left == []
    assert strict.drops == {"missing_tenant": 1}


def test_a_tag_evicted_by_later_attributes_leaves_again(spans, events):
    pipeline = spans()
    with use_tenant("acme"), pipeline.tracer.start_as_current_span("work") as span:
        for number in range(129):
            span.set_attribute(f"key{number}", number)
        assert "tenant.id" not in span.attributes
    (left,) = pipeline.left
    assert left.attributes["tenant.id"] == "acme"
    assert left.attributes["key128"] == 128
    assert left.dropped_attributes == span.dropped_attributes
    assert [e.action for e in events if e.trace_id] == ["reassert"]


def test_the_application_cannot_change_the_tag(spans):
    pipeline = spans()
    with use_tenant("acme"), pipeline.tracer.start_as_current_span("work", attributes={"tenant.id": "blue"}) as span:
        span.set_attribute("tenant.id", "broke")
    assert pipeline.tags == ["acme"]


def test_the_context_argument_decides(spans):
    pipeline = spans()
    with use_tenant("acme"):
        pipeline.tracer.start_span("work", context=set_tenant("blue", Context())).end()
    assert pipeline.tags == ["blue"]


def test_a_child_inherits_even_after_its_parent_ended_and_in_another_thread(spans):
    pipeline = spans()
    with use_tenant("acme"):
        parent = pipeline.tracer.start_span("parent")
        inside = trace.set_span_in_context(parent)
    parent.end()
    pipeline.tracer.start_span("late", context=inside).end()
    thread = threading.Thread(target=lambda: pipeline.tracer.start_span("elsewhere", context=inside).end())
    thread.start()
    thread.join()
    assert pipeline.tags == ["acme"] * 3


def test_a_child_under_another_tenant_is_that_one_s(spans):
    pipeline = spans()
    with use_tenant("acme"), pipeline.tracer.start_as_current_span("parent"):
        with use_tenant("blue"), pipeline.tracer.start_as_current_span("child"):
            with pipeline.tracer.start_as_current_span("grandchild"):
                pass
    assert [(s.name, s.attributes["tenant.id"]) for s in pipeline.left] == [
        ("grandchild", "blue"),
        ("child", "blue"),
        ("parent", "acme"),
    ]


def test_a_span_that_never_ends_leaves_nothing_and_owes_nothing(spans, runtime):
    pipeline = spans()
    with use_tenant("acme"):
        span = pipeline.tracer.start_span("endless")
    assert span.attributes["tenant.id"] == "acme"
    assert pipeline.left == []
    assert [b.received for b in runtime.balances() if b.tenant == "acme"] == []


def test_a_span_that_is_recorded_but_not_sampled_passes_on(registry, runtime):
    class RecordOnly(Sampler):
        def should_sample(self, *args, **kwargs):
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self):
            return "record only"

    ended = []

    class Listener(SpanProcessor):
        def on_end(self, span):
            ended.append(span)

    provider = TracerProvider(sampler=RecordOnly())
    provider.add_span_processor(TenantSpanProcessor(Listener(), registry=registry, runtime=runtime))
    with use_tenant("acme"):
        provider.get_tracer("tests").start_span("work").end()
    assert [span.attributes["tenant.id"] for span in ended] == ["acme"]
    assert all(balance.unaccounted == 0 for balance in runtime.balances())


def test_a_tenant_activated_while_its_span_runs_gets_it(spans, registry, events):
    pipeline = spans()
    with use_tenant("late"):
        parent = pipeline.tracer.start_span("parent")
        inside = trace.set_span_in_context(parent)
    assert parent.attributes[QUARANTINED_ID] == "late"
    registry.activate("late")
    parent.end()
    pipeline.tracer.start_span("child", context=inside).end()
    assert len(pipeline.left) == 2
    for span in pipeline.left:
        assert span.attributes["tenant.id"] == "late"
        assert QUARANTINED_ID not in span.attributes
        assert state_of(span).tenant == "late"
    assert not [e for e in events if e.action == "quarantine"]
    assert pipeline.drops == {}


def test_a_tenant_suspended_while_its_span_runs_loses_it(spans, registry):
    pipeline = spans()
    for tenant in ("acme", "late"):
        with use_tenant(tenant):
            span = pipeline.tracer.start_span("work")
        registry.suspend(tenant, "unpaid")
        span.end()
    assert pipeline.left == []
    assert pipeline.drops == {"tenant_suspended": 2}


@pytest.mark.parametrize("unknown", ["quarantine", "pass"])
def test_unknown_tenants_are_treated_as_configured(spans, unknown):
    pipeline = spans(TenancyConfig(unknown=unknown))
    for tenant in ("stranger", "evil\n"):
        with use_tenant(tenant), pipeline.tracer.start_as_current_span("work"):
            pass
    good, bad = (dict(span.attributes) for span in pipeline.left)
    if unknown == "quarantine":
        assert good == {"tenant.id": "quarantine", QUARANTINED_ID: "stranger"}
        assert bad == {"tenant.id": "quarantine"}
    else:
        assert good == {"tenant.id": "stranger"}
        assert bad == {"tenant.id": "unattributed"}
    assert pipeline.drops == {}


def test_baggage_resource_and_attribute_name_tenants(spans):
    config = TenancyConfig(sources=("attribute", "baggage", "resource"))
    pipeline = spans(config, resource={"tenant.id": "acme"})
    pipeline.tracer.start_span("resource").end()
    pipeline.tracer.start_span("baggage", context=baggage.set_baggage("tenant.id", "blue")).end()
    pipeline.tracer.start_span("attribute", attributes={"tenant.id": "late"}).end()
    assert pipeline.tags == ["acme", "blue", "quarantine"]


def test_chosen_attributes_are_stamped_and_asserted(spans, registry):
    registry.update("acme", settings=TenantSettings(attributes={"plan": "gold", "seats": 5, "secret": "x"}))
    pipeline = spans(TenancyConfig(stamp=("plan", "seats", "region")))
    with use_tenant("acme"), pipeline.tracer.start_as_current_span("work") as span:
        assert span.attributes == {"tenant.id": "acme", "tenant.plan": "gold", "tenant.seats": 5}
        span.set_attribute("tenant.plan", "platinum")
    assert pipeline.left[0].attributes == {"tenant.id": "acme", "tenant.plan": "gold", "tenant.seats": 5}


def test_a_tag_cut_by_the_limit_of_length_leaves_whole(registry, runtime):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attribute_length=2))
    provider.add_span_processor(TenantSpanProcessor(SimpleSpanProcessor(exporter), registry=registry, runtime=runtime))
    with use_tenant("acme"):
        provider.get_tracer("tests").start_span("work").end()
    assert exporter.get_finished_spans()[0].attributes["tenant.id"] == "acme"


class FailingTenancy(Tenancy):
    def admit(self, tenant):
        raise RuntimeError("broken")


@pytest.mark.parametrize("on_error", ["pass", "drop"])
def test_a_span_that_tenancy_fails_on_belongs_to_the_default_tenant(registry, runtime, on_error):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    tenancy = FailingTenancy(registry, runtime=runtime)
    provider.add_span_processor(TenantSpanProcessor(SimpleSpanProcessor(exporter), tenancy=tenancy, on_error=on_error))
    with use_tenant("acme"):
        provider.get_tracer("tests").start_span("work").end()
    left = exporter.get_finished_spans()
    if on_error == "pass":
        assert left[0].attributes["tenant.id"] == "unattributed"
        assert (state_of(left[0]).tenant, state_of(left[0]).source) == ("unattributed", "default")
    else:
        assert left == ()
    assert sum(runtime.error_counts()["tenancy"].values()) == 2
    assert all(balance.unaccounted == 0 for balance in runtime.balances())


def test_eight_threads_and_a_changing_registry_are_accounted_exactly(spans, registry, runtime):
    pipeline = spans(TenancyConfig(unknown="quarantine"))
    names = ["acme", "blue", "late", "broke", "stranger", "a b", "gone", "acme"]

    def work(tenant: str) -> None:
        for _ in range(300):
            with use_tenant(tenant), pipeline.tracer.start_as_current_span("work"):
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for _ in range(50):
        registry.suspend("blue", "unpaid")
        registry.activate("blue")
    for thread in threads:
        thread.join()
    balances = [b for b in runtime.balances() if b.component == "tenancy"]
    assert sum(b.received for b in balances) == 8 * 300
    assert sum(b.forwarded for b in balances) == len(pipeline.left)
    assert all(b.unaccounted == 0 for b in balances)
    by_tag = Counter(pipeline.tags)
    assert by_tag["acme"] == 600
    assert by_tag["quarantine"] == 900
    dropped = sum((Counter(b.dropped) for b in balances), Counter())
    assert dropped["tenant_inactive"] == 300
    assert dropped["tenant_suspended"] == 300 + (300 - by_tag["blue"])


def test_a_child_process_counts_from_zero(spans, runtime):
    pipeline = spans()
    with use_tenant("acme"):
        pipeline.tracer.start_span("parent").end()
        crossing = pipeline.tracer.start_span("crossing")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pipeline.exporter.clear()
            crossing.end()
            counts = [(b.tenant, b.received, b.forwarded, b.unaccounted) for b in runtime.balances()]
            os.write(write, repr((counts, pipeline.tags)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1000).decode() == repr(([("acme", 1, 1, 0)], ["acme"]))
