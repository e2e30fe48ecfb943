"""From settings to running pipelines: which stage stands where.

    application's thread                      | export thread
    tenancy -> quota -> batch (spans, logs)   | redaction -> compliance -> audit -> failover
    tenancy, where it is measured (metrics)   | tenancy -> quota -> redaction -> compliance -> audit -> failover

Tenancy and quota must see an item while it is made and ended; redaction and audit cost more and can wait for the batch,
and audit sees what truly leaves. Compliance stands before it where it is configured: what it holds back does not leave.
"""

from __future__ import annotations

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otelwarden.compliance import Sample, Watch
from otelwarden.core import (
    LOGS,
    METRICS,
    TRACES,
    ConfigError,
    FairBatchLogRecordProcessor,
    FairBatchSpanProcessor,
    publish_self_metrics,
    raised_cardinality_limits,
    sampler_of_environment,
)
from otelwarden.pipeline.compliance import CatalogueScanner, ProcessView, open_assessor, policies_of, settle_trails
from otelwarden.pipeline.components import Components
from otelwarden.pipeline.exporting import log_exporter, span_exporter, staged_reader
from otelwarden.pipeline.handler import attach_handler
from otelwarden.pipeline.settings import PipelineSettings, Settings
from otelwarden.quota import (
    DropNotices,
    ErrorReserveSpanProcessor,
    QuotaLogRecordProcessor,
    QuotaMetricReader,
    QuotaSampler,
    QuotaSpanProcessor,
    UsageExport,
)
from otelwarden.tenancy import (
    TenantLogRecordProcessor,
    TenantMeterProvider,
    TenantMetricReader,
    TenantSpanProcessor,
)


class Builder:
    """Builds the pipelines of `settings` into `parts`, which holds all that must be stopped again."""

    def __init__(self, settings: Settings) -> None:
        self._components = Components(settings)
        self._settings = settings
        self._runtime = self._components.runtime
        self.parts = self._components.parts

    def build(self) -> None:
        """Builds what the settings name.

        Raises:
            ConfigError: something cannot be opened.
        """
        pipelines = self._settings.pipelines
        self._build_watch()
        resource = Resource.create(dict(self._settings.resource))
        if METRICS in pipelines:
            self._build_metrics(pipelines[METRICS], resource)
        if TRACES in pipelines:
            self._build_traces(pipelines[TRACES], resource)
        if LOGS in pipelines:
            self._build_logs(pipelines[LOGS], resource)
        self._build_usage()
        self._build_notices(resource)
        if self.parts.sdk_meter_provider is not None and self._settings.self_metrics:
            publish_self_metrics(self._runtime, self.parts.sdk_meter_provider)
        self._build_assessor(resource)

    # --- the three pipelines

    def _build_traces(self, pipeline: PipelineSettings, resource: Resource) -> None:
        components, runtime = self._components, self._runtime
        processor: SpanProcessor = self._leaving_spans(pipeline)
        sampler: Sampler | None = None
        if (limiter := components.limiter(pipeline)) is not None:
            resolver = components.resolver(pipeline)
            other = limiter.config.reroute_exporter
            processor = QuotaSpanProcessor(
                processor,
                limiter=limiter,
                reroute=self._leaving_spans(pipeline, other) if other else None,
                resolver=resolver,
                count_bytes=True,
                runtime=runtime,
            )
            if limiter.config.reserve is not None:
                processor = ErrorReserveSpanProcessor(processor, limiter=limiter, resolver=resolver, runtime=runtime)
            root = sampler_of_environment() or ALWAYS_ON
            sampler = QuotaSampler(limiter, resolver=resolver, root=root, resource=resource, runtime=runtime)
        if (tenancy := components.tenancy(pipeline)) is not None:
            processor = TenantSpanProcessor(processor, tenancy=tenancy, runtime=runtime)
        provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self.parts.span_processor, self.parts.tracer_provider = processor, provider

    def _leaving_spans(self, pipeline: PipelineSettings, exporter: str = "") -> SpanProcessor:
        """What spans pass on their way out through an exporter, from the batch on."""
        leaving = span_exporter(self._components, pipeline, exporter)
        return FairBatchSpanProcessor(leaving, config=pipeline.batch, runtime=self._runtime)

    def _leaving_logs(self, pipeline: PipelineSettings, exporter: str = "") -> LogRecordProcessor:
        """As `_leaving_spans`, for log records."""
        leaving = log_exporter(self._components, pipeline, exporter)
        return FairBatchLogRecordProcessor(leaving, config=pipeline.batch, runtime=self._runtime)

    def _build_logs(self, pipeline: PipelineSettings, resource: Resource) -> None:
        components, runtime = self._components, self._runtime
        processor: LogRecordProcessor = self._leaving_logs(pipeline)
        if (limiter := components.limiter(pipeline)) is not None:
            resolver = components.resolver(pipeline)
            other = limiter.config.reroute_exporter
            processor = QuotaLogRecordProcessor(
                processor,
                limiter=limiter,
                reroute=self._leaving_logs(pipeline, other) if other else None,
                resolver=resolver,
                count_bytes=True,
                runtime=runtime,
            )
        if (tenancy := components.tenancy(pipeline)) is not None:
            processor = TenantLogRecordProcessor(processor, tenancy=tenancy, runtime=runtime)
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_log_record_processor(processor)
        self.parts.log_processor, self.parts.logger_provider = processor, provider
        if self._settings.logging_handler:
            self.parts.handler = attach_handler(
                provider, level=self._settings.logging_level, errors=runtime.errors("pipeline")
            )

    def _build_metrics(self, pipeline: PipelineSettings, resource: Resource) -> None:
        components, runtime = self._components, self._runtime
        limiter, tenancy = components.limiter(pipeline), components.tenancy(pipeline)
        periodic = PeriodicExportingMetricReader(
            components.exporters.metrics(pipeline),
            export_interval_millis=pipeline.interval * 1e3,
            **(raised_cardinality_limits(PeriodicExportingMetricReader) if limiter and tenancy else {}),
        )
        reader = staged_reader(periodic, components, pipeline)
        if limiter is not None:
            reader = QuotaMetricReader(reader, limiter=limiter, runtime=runtime)
        if tenancy is not None:
            reader = TenantMetricReader(reader, tenancy=tenancy, runtime=runtime)
        provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.parts.sdk_meter_provider = provider
        self.parts.meter_provider = (
            TenantMeterProvider(provider, tenancy, resource=resource, series=limiter.series if limiter else None)
            if tenancy is not None
            else provider
        )

    # --- what goes with them

    def _build_usage(self) -> None:
        pipelines = self._settings.pipelines.items()
        for name, limiter in self.parts.limiters.items():
            if (config := limiter.config.usage) is None:
                continue
            signals = [signal for signal, pipeline in pipelines if pipeline.processors.get("quota") == name]
            try:
                export = UsageExport(config, signals=signals, runtime=self._runtime)
            except ConfigError as error:
                pointer = f"/processors/{name.replace('/', '~1')}/usage"
                raise ConfigError(fault.within(pointer, file=self._settings.file) for fault in error.faults) from None
            self.parts.usage.append(export)

    def _build_notices(self, resource: Resource) -> None:
        periods = [p for limiter in self.parts.limiters.values() if (p := limiter.config.notice_period) is not None]
        if self.parts.log_processor is not None and periods:
            self.parts.notices = DropNotices(
                self.parts.log_processor, period=min(periods), resource=resource, runtime=self._runtime
            )

    # --- compliance

    def _build_watch(self) -> None:
        config = self._settings.compliance
        if config is None:
            return
        self._policies = policies_of(self._settings)
        self._scanner = CatalogueScanner(tuple(self._policies.values()))
        self._sample = Sample(
            self._scanner,
            items=config.sample_items,
            window=config.sample_window,
            inventory=config.inventory,
            tenant_attribute=self._runtime.tenant_attribute,
            time_ns=self._runtime.clock.time_ns,
        )
        self.parts.watch = Watch(config, sample=self._sample, runtime=self._runtime)

    def _build_assessor(self, resource: Resource) -> None:
        config, watch, parts = self._settings.compliance, self.parts.watch, self.parts
        if config is None or watch is None:
            return
        view = ProcessView(
            self._settings,
            self._runtime,
            sample=self._sample,
            pools=lambda: parts.pools,
            limiters=lambda: parts.limiters,
            resource=resource.attributes,
        )
        parts.assessor = open_assessor(
            self._settings,
            config,
            runtime=self._runtime,
            policies=self._policies,
            scanner=self._scanner,
            recorders=parts.trails,
            snapshot=view.snapshot,
            settle=lambda: settle_trails(parts.trails),
        )
        watch.follow(parts.assessor)
