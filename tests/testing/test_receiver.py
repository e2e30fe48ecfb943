from __future__ import annotations

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otelwarden.testing import FaultyReceiver


def test_a_span_is_received_as_it_was_sent() -> None:
    with FaultyReceiver() as receiver:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(receiver.grpc_endpoint, insecure=True)))
        provider.get_tracer("scope").start_span("name", attributes={"list": [1, 2]}).end()
        provider.shutdown()
        (span,) = receiver.wait_for_spans(1)
    assert (span.name, span.scope, span.attributes) == ("name", "scope", {"list": [1, 2]})
