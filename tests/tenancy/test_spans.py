"""Spans through a real TracerProvider."""

from __future__ import annotations

import pytest
from opentelemetry.context import Context

from otelwarden.core import state_of
from otelwarden.tenancy import QUARANTINED_ID, TenancyConfig, set_tenant, use_tenant


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
