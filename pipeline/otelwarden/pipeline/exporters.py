"""The exporters at the end of the pipelines: endpoints that signals share, bound destinations, archives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from otelwarden.core import (
    Classification,
    FairBatchLogRecordProcessor,
    FairBatchSpanProcessor,
    TenantRouting,
)
from otelwarden.failover import (
    EndpointPool,
    FailoverConfig,
    FailoverLogRecordExporter,
    FailoverMetricExporter,
    FailoverSpanExporter,
)
from otelwarden.pipeline.destinations import DestinationLogRecordExporter, DestinationSpanExporter, bound_to
from otelwarden.pipeline.settings import PipelineSettings, Settings
from otelwarden.pipeline.warden import Parts
from otelwarden.redaction import ProcessorArchive
from otelwarden.tenancy import (
    QuarantineLogRecordExporter,
    QuarantineMetricExporter,
    QuarantineSpanExporter,
    TenancyConfig,
)

_ExporterT = TypeVar("_ExporterT", bound="FailoverSpanExporter | FailoverLogRecordExporter | FailoverMetricExporter")


class Exporters:
    """Makes exporters of `settings`, and notes in `parts` what must be stopped again.

    Args:
        directory: answers whom failover may ask about tenants; None for nobody.
    """

    def __init__(self, settings: Settings, parts: Parts, *, directory: Callable[[], TenantRouting | None]) -> None:
        self._settings = settings
        self._parts = parts
        self._directory = directory
        self._pools: dict[str, EndpointPool] = {}

    def spans(self, pipeline: PipelineSettings, exporter: str) -> SpanExporter:
        """What exports spans of a pipeline through an exporter."""
        others = self._spans(pipeline, exporter)
        tenancy = self._tenancy(pipeline)
        if tenancy is None or tenancy.quarantine_exporter is None:
            return others
        elsewhere = self._spans(pipeline, tenancy.quarantine_exporter)
        return QuarantineSpanExporter(
            others, quarantine=elsewhere, tenant=tenancy.quarantine_tenant, runtime=self._parts.runtime
        )

    def _spans(self, pipeline: PipelineSettings, exporter: str) -> SpanExporter:
        others = self._make(FailoverSpanExporter, *self._shared(exporter))
        bound = {
            name: self._make(FailoverSpanExporter, own, pool) for name, own, pool in self._bound(pipeline, exporter)
        }
        return DestinationSpanExporter(others, bound) if bound else others

    def logs(self, pipeline: PipelineSettings, exporter: str) -> LogRecordExporter:
        """What exports log records of a pipeline through an exporter."""
        others = self._logs(pipeline, exporter)
        tenancy = self._tenancy(pipeline)
        if tenancy is None or tenancy.quarantine_exporter is None:
            return others
        elsewhere = self._logs(pipeline, tenancy.quarantine_exporter)
        return QuarantineLogRecordExporter(
            others, quarantine=elsewhere, tenant=tenancy.quarantine_tenant, runtime=self._parts.runtime
        )

    def _logs(self, pipeline: PipelineSettings, exporter: str) -> LogRecordExporter:
        others = self._make(FailoverLogRecordExporter, *self._shared(exporter))
        bound = {
            name: self._make(FailoverLogRecordExporter, own, pool)
            for name, own, pool in self._bound(pipeline, exporter)
        }
        return DestinationLogRecordExporter(others, bound) if bound else others

    def metrics(self, pipeline: PipelineSettings) -> MetricExporter:
        """What exports metrics."""
        others = self._make(FailoverMetricExporter, *self._shared(pipeline.exporter))
        tenancy = self._tenancy(pipeline)
        if tenancy is None or tenancy.quarantine_exporter is None:
            return others
        return QuarantineMetricExporter(
            others,
            quarantine=self._make(FailoverMetricExporter, *self._shared(tenancy.quarantine_exporter)),
            tenant=tenancy.quarantine_tenant,
            attribute=tenancy.attribute,
            runtime=self._parts.runtime,
        )

    def _tenancy(self, pipeline: PipelineSettings) -> TenancyConfig | None:
        """The tenancy of a pipeline; None without one."""
        config: TenancyConfig | None = self._settings.components.get(pipeline.processors.get("tenancy", ""))
        return config

    def archive(self, exporter: str) -> ProcessorArchive:
        """An archive that items leave through, on batches of its own."""
        shared, runtime = self._shared(exporter), self._parts.runtime
        spans = FairBatchSpanProcessor(self._make(FailoverSpanExporter, *shared, routed=False), runtime=runtime)
        logs = FairBatchLogRecordProcessor(
            self._make(FailoverLogRecordExporter, *shared, routed=False), runtime=runtime
        )
        metrics = self._make(FailoverMetricExporter, *shared, routed=False)
        self._parts.archives += (spans, logs, metrics)
        return ProcessorArchive(spans=spans, logs=logs, metrics=metrics.export)

    def _make(
        self, kind: type[_ExporterT], config: FailoverConfig, pool: EndpointPool | None, *, routed: bool = True
    ) -> _ExporterT:
        directory = self._directory() if routed else None
        exporter = kind(config=config, pool=pool, runtime=self._parts.runtime, directory=directory)
        if exporter.pool not in self._parts.pools:
            self._parts.pools.append(exporter.pool)
        if exporter.spool is not None:
            self._parts.spools.append(exporter.spool)
        return exporter

    def _shared(self, name: str) -> tuple[FailoverConfig, EndpointPool | None]:
        """The configuration of an exporter, and the pool that its signals share.

        None for the endpoints of the standard environment, which may name another for each signal.
        """
        config: FailoverConfig = self._settings.components[name]
        return config, self._pool(name, config) if config.endpoints else None

    def _bound(
        self, pipeline: PipelineSettings, exporter: str
    ) -> list[tuple[Classification, FailoverConfig, EndpointPool]]:
        """The classifications that are bound to some endpoints of an exporter, each with those alone."""
        redaction = pipeline.processors.get("redaction")
        if redaction is None:
            return []
        config: FailoverConfig = self._settings.components[exporter]
        found = []
        for classification, names in self._settings.components[redaction].classification.destinations.items():
            own = bound_to(config, classification, names)
            found.append((classification, own, self._pool(f"{redaction} {classification} {exporter}", own)))
        return found

    def _pool(self, key: str, config: FailoverConfig) -> EndpointPool:
        if key not in self._pools:
            self._pools[key] = EndpointPool(config=config, runtime=self._parts.runtime)
        return self._pools[key]
