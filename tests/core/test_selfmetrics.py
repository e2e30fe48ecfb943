from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from otelwarden.core import Drop, FairBatchSpanProcessor, Runtime, SpanStageProcessor, publish_self_metrics, set_tenant
from otelwarden.testing import RecordingSpanExporter

Read = Callable[[], dict[str, dict[tuple[str, ...], int]]]


@pytest.fixture
def provider(runtime: Runtime) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        SpanStageProcessor(
            FairBatchSpanProcessor(RecordingSpanExporter(), runtime=runtime),
            lambda span, _: Drop("refused") if span.name == "bad" else span,
            component="quota",
            on_error="pass",
            count_bytes=True,
            runtime=runtime,
        )
    )
    return provider


@pytest.fixture
def publish(runtime: Runtime) -> Callable[..., Read]:
    def publish(**options: Any) -> Read:
        reader = InMemoryMetricReader()
        publish_self_metrics(runtime, MeterProvider([reader], shutdown_on_exit=False), **options)

        def read() -> dict[str, dict[tuple[str, ...], int]]:
            data = reader.get_metrics_data()
            assert data is not None
            return {
                metric.name: {
                    tuple(str(value) for _, value in sorted((point.attributes or {}).items())): point.value  # type: ignore[union-attr]
                    for point in metric.data.data_points
                }
                for resource in data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }

        return read

    return publish


def test_ledgers_decisions_and_errors_are_published(
    provider: TracerProvider, runtime: Runtime, publish: Callable[..., Read]
) -> None:
    read = publish()
    tracer = provider.get_tracer("test")
    for name in ("good", "good", "bad"):
        tracer.start_span(name, context=set_tenant("acme")).end()
    runtime.errors("quota").record("transform", ValueError())
    found = read()
    assert found["otelwarden.quota.received"] == {("traces", "acme"): 3}
    assert found["otelwarden.quota.forwarded"] == {("traces", "acme"): 2}
    assert found["otelwarden.quota.dropped"] == {("refused", "traces", "acme"): 1}
    assert found["otelwarden.quota.held"] == {("traces", "acme"): 0}
    assert found["otelwarden.quota.decisions"] == {("drop", "refused", "traces", "acme"): 1}
    assert found["otelwarden.quota.errors"] == {("transform:ValueError",): 1}
    assert found["otelwarden.batch.held"] == {("traces", "acme"): 2}
    assert found["otelwarden.quota.received.size"] == {("traces", "acme"): 3 * 96 + len("goodgoodbad")}
    assert found["otelwarden.quota.forwarded.size"] == {("traces", "acme"): 2 * 100}
    assert found["otelwarden.quota.dropped.size"] == {("refused", "traces", "acme"): 99}
    assert found["otelwarden.quota.held.size"] == {("traces", "acme"): 0}
    assert not [name for name in found if name.startswith("otelwarden.batch") and name.endswith(".size")]
    provider.shutdown()
    assert read()["otelwarden.batch.forwarded"] == {("traces", "acme"): 2}


def test_the_batch_is_published_in_the_names_of_the_conventions(
    provider: TracerProvider, publish: Callable[..., Read]
) -> None:
    read = publish()
    tracer = provider.get_tracer("test")
    for name in ("good", "good", "bad"):
        tracer.start_span(name).end()
    name = ("otelwarden.core.FairBatchSpanProcessor/0", "otelwarden.core.FairBatchSpanProcessor")
    assert read()["otel.sdk.processor.span.queue.size"] == {name: 2}
    provider.shutdown()
    tracer.start_span("late").end()
    found = read()
    assert found["otel.sdk.processor.span.processed"] == {name: 2, ("already_shutdown", *name): 1}
    assert found["otel.sdk.processor.span.queue.size"] == {name: 0}


def test_tenants_beyond_the_bound_share_a_series_and_no_counter_falls(
    provider: TracerProvider, publish: Callable[..., Read]
) -> None:
    read = publish(max_tenants=2)
    tracer = provider.get_tracer("test")
    last: dict[tuple[str, ...], int] = {}
    for number in range(5):
        for tenant in "edcba"[: number + 1]:
            tracer.start_span("good", context=set_tenant(tenant)).end()
        found = read()["otelwarden.quota.received"]
        assert all(found[series] >= value for series, value in last.items())
        last = found
    assert last == {("traces", "e"): 5, ("traces", "d"): 4, ("traces", "<other>"): 6}
    provider.shutdown()
