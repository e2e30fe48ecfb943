"""What redaction tells about its decisions, and what it never does."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import GovernanceEvent, Runtime, use_tenant
from otelwarden.redaction import RedactionSpanProcessor


def test_one_event_for_every_rule_that_acted_on_an_item() -> None:
    runtime, memory = Runtime(config_digest="abc"), InMemorySpanExporter()
    events: list[GovernanceEvent] = []
    runtime.observe(events.append)
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    inner = SimpleSpanProcessor(memory)
    provider.add_span_processor(RedactionSpanProcessor(inner, policy=["pii", "secrets"], runtime=runtime))
    with use_tenant("acme"):
        span = provider.get_tracer("t").start_span(
            "x", attributes={"a": "jane@example.com 203.0.113.7", "password": "opensesame"}
        )
        span.add_event("for jane@example.com")
        span.end()
    context = span.get_span_context()
    assert sorted((e.action, e.reason, e.count) for e in events) == [("replace", "pii", 3), ("replace", "secrets", 1)]
    for event in events:
        assert (event.component, event.tenant, event.signal) == ("redaction", "acme", "traces")
        assert (event.trace_id, event.span_id, event.config_digest) == (context.trace_id, context.span_id, "abc")
        assert not any(secret in repr(event) for secret in ("jane", "203.0", "opensesame"))


def test_a_resource_is_told_once() -> None:
    runtime, memory = Runtime(), InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"host.ip": "203.0.113.7"}))
    inner = SimpleSpanProcessor(memory)
    provider.add_span_processor(RedactionSpanProcessor(inner, policy=["pii"], runtime=runtime))
    for _ in range(3):
        provider.get_tracer("t").start_span("x").end()
    assert [(d.reason, d.signal, count) for d, count in runtime.decisions().items()] == [("pii", "traces", 1)]
    assert {span.resource.attributes["host.ip"] for span in memory.get_finished_spans()} == {"[REDACTED]"}
    assert len({id(span.resource) for span in memory.get_finished_spans()}) == 1
