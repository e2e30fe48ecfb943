from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from otelwarden.core import GovernanceEvent, Runtime
from otelwarden.tenancy import Tenancy, TenancyConfig, TenantRegistry, TenantSpanProcessor, TenantStatus

TENANTS = """
tenants:
  - {id: acme, name: Acme, domain: acme.example, settings: {attributes: {plan: gold, seats: 5}}}
  - {id: blue, name: Blue, settings: {limits: {traces: {rate: 500/s, burst: 2000}}}}
  - {id: late, name: Late, status: pending}
  - {id: broke, name: Broke, status: suspended, status_reason: unpaid}
  - {id: gone, name: Gone, status: inactive}
"""


@pytest.fixture
def runtime() -> Runtime:
    return Runtime()


@pytest.fixture
def events(runtime: Runtime) -> list[GovernanceEvent]:
    heard: list[GovernanceEvent] = []
    runtime.observe(heard.append)
    return heard


@pytest.fixture
def tenants_file(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.yaml"
    path.write_text(textwrap.dedent(TENANTS))
    return path


@pytest.fixture
def registry(runtime: Runtime) -> TenantRegistry:
    """The five tenants of `TENANTS`, in memory."""
    registry = TenantRegistry(runtime=runtime)
    registry.create("acme", "Acme")
    registry.create("blue", "Blue")
    registry.create("late", "Late", status=TenantStatus.PENDING)
    registry.create("broke", "Broke")
    registry.suspend("broke", "unpaid")
    registry.create("gone", "Gone", status=TenantStatus.INACTIVE)
    return registry


class Spans:
    """A real pipeline of spans that ends in memory."""

    def __init__(
        self, tenancy: Tenancy, runtime: Runtime, resource: dict[str, str], beside: SpanProcessor | None
    ) -> None:
        self.exporter = InMemorySpanExporter()
        self.runtime = runtime
        self.provider = TracerProvider(resource=Resource(resource))
        self.processor = TenantSpanProcessor(SimpleSpanProcessor(self.exporter), tenancy=tenancy)
        self.provider.add_span_processor(self.processor)
        if beside is not None:
            self.provider.add_span_processor(beside)
        self.tracer: Tracer = self.provider.get_tracer("tests")

    @property
    def left(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    @property
    def tags(self) -> list[object]:
        return [(span.attributes or {}).get("tenant.id") for span in self.left]

    @property
    def drops(self) -> dict[str, int]:
        """Dropped spans by reason."""
        found: dict[str, int] = {}
        for balance in self.runtime.balances():
            assert balance.unaccounted == 0
            for reason, count in balance.dropped.items():
                found[reason] = found.get(reason, 0) + count
        return found


@pytest.fixture
def spans(registry: TenantRegistry, runtime: Runtime) -> Callable[..., Spans]:
    def build(
        config: TenancyConfig | None = None,
        *,
        registry: TenantRegistry = registry,
        resource: dict[str, str] | None = None,
        beside: SpanProcessor | None = None,
    ) -> Spans:
        return Spans(Tenancy(registry, config, runtime=runtime), runtime, resource or {}, beside)

    return build
