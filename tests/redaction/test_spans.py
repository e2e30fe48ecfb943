"""Redaction of spans in a real pipeline."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import Runtime
from otelwarden.redaction import RedactionSpanExporter


def test_an_address_is_replaced_and_the_rest_of_the_span_is_kept() -> None:
    exporter, runtime = InMemorySpanExporter(), Runtime()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactionSpanExporter(exporter, policy=["pii"], runtime=runtime)))
    provider.get_tracer("shop").start_span("GET /cart", attributes={"note": "for jane@example.com", "n": 3}).end()
    (span,) = exporter.get_finished_spans()
    assert (span.name, dict(span.attributes or {})) == ("GET /cart", {"note": "for [REDACTED]", "n": 3})
    assert [(d.action, d.reason, n) for d, n in runtime.decisions().items()] == [("replace", "pii", 1)]
