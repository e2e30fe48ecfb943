"""Adds otelwarden's processors to an SDK pipeline of one's own, in code.

Each takes the next in line as its first argument, so what stands inside sees what those outside let through: the
tenant is known first, then its quota charged; redaction and audit work on batches, in the export thread.
"""

import contextlib
import os
import tempfile

from opentelemetry.sdk.trace import TracerProvider

from otelwarden.audit import AuditSpanExporter, AuditTrail, verify
from otelwarden.core import FairBatchSpanProcessor
from otelwarden.failover import FailoverSpanExporter
from otelwarden.quota import QuotaConfig, QuotaLimiter, QuotaSampler, QuotaSpanProcessor, SignalLimits, TenantLimits
from otelwarden.redaction import RedactionSpanExporter
from otelwarden.tenancy import TenantRegistry, TenantSpanProcessor, use_tenant
from otelwarden.testing import FaultyReceiver


def make_provider(endpoint: str, audit: str) -> tuple[TracerProvider, AuditTrail]:
    """A tracer provider whose spans are governed on their way to `endpoint`."""
    registry = TenantRegistry()
    registry.create("acme", "Acme Corporation")
    registry.create("initech", "Initech")

    limits = TenantLimits(traces=SignalLimits(rate=10, burst=20))
    limiter = QuotaLimiter(QuotaConfig(default=limits), directory=registry)
    trail = AuditTrail(audit)
    trail.runtime.observe(trail)  # it hears every decision, not only those about what leaves

    # The sampler is the gate: it drops whole traces before their spans cost anything. The processor is the backstop.
    provider = TracerProvider(sampler=QuotaSampler(limiter))
    provider.add_span_processor(
        TenantSpanProcessor(
            QuotaSpanProcessor(
                FairBatchSpanProcessor(
                    RedactionSpanExporter(
                        AuditSpanExporter(FailoverSpanExporter(endpoints=[endpoint]), trail=trail),
                        policy=["pii", "secrets"],
                    )
                ),
                limiter=limiter,
            ),
            registry=registry,
        )
    )
    return provider, trail


def main() -> None:
    """Makes the spans of three tenants and shows which arrive, and how."""
    with contextlib.ExitStack() as stack:
        receiver = None
        endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if endpoint is None:  # a real OTLP server in a process of its own, so that this runs anywhere
            receiver = stack.enter_context(FaultyReceiver())
            endpoint = receiver.grpc_endpoint
        audit = stack.enter_context(tempfile.TemporaryDirectory())
        provider, trail = make_provider(endpoint, audit)
        tracer = provider.get_tracer("example")
        for tenant, count in (("acme", 3), ("initech", 500), ("stranger", 3)):
            for _ in range(count):
                with use_tenant(tenant), tracer.start_as_current_span("greet ada@example.org"):
                    pass
        provider.shutdown()
        trail.close()
        print(f"audit trail: {verify(audit).status.value}")
        for span in receiver.spans()[:1] if receiver else ():
            print(f"the first span: {span.name!r}, {span.attributes}")
        for tenant in ("acme", "initech", "stranger") if receiver else ():
            print(f"{tenant}: {sum(span.attributes['tenant.id'] == tenant for span in receiver.spans())} spans arrived")


if __name__ == "__main__":
    main()
