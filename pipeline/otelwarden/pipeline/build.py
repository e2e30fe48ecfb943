"""From settings to running pipelines: which stage stands where.

    application's thread                      | export thread
    tenancy -> quota -> batch (spans, logs)   | redaction -> compliance -> audit -> failover
    tenancy, where it is measured (metrics)   | tenancy -> quota -> redaction -> compliance -> audit -> failover

Tenancy and quota must see an item while it is made and ended; redaction and audit cost more and can wait for the batch,
and audit sees what truly leaves. Compliance stands before it where it is configured: what it holds back does not leave.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otelwarden.audit import AuditConfig, AuditLogRecordExporter, AuditMetricReader, AuditSpanExporter, AuditTrail
from otelwarden.compliance import (
    ComplianceLogRecordExporter,
    ComplianceMetricReader,
    ComplianceSpanExporter,
    Sample,
    Watch,
)
from otelwarden.core import (
    LOGS,
    METRICS,
    TENANT_ATTRIBUTE,
    TRACES,
    Classification,
    ConfigError,
    ContextResolver,
    FairBatchLogRecordProcessor,
    FairBatchSpanProcessor,
    Runtime,
    TenantResolver,
    TenantRouting,
    publish_self_metrics,
    raised_cardinality_limits,
    sampler_of_environment,
)
from otelwarden.failover import (
    EndpointPool,
    FailoverConfig,
    FailoverLogRecordExporter,
    FailoverMetricExporter,
    FailoverSpanExporter,
)
from otelwarden.pipeline.compliance import ProcessView, open_assessor, scanner_of, settle_trails
from otelwarden.pipeline.destinations import DestinationLogRecordExporter, DestinationSpanExporter, bound_to
from otelwarden.pipeline.handler import attach_handler
from otelwarden.pipeline.settings import PipelineSettings, Settings
from otelwarden.pipeline.warden import Parts
from otelwarden.quota import (
    DropNotices,
    QuotaConfig,
    QuotaLimiter,
    QuotaLogRecordProcessor,
    QuotaMetricReader,
    QuotaSampler,
    QuotaSpanProcessor,
    UsageExport,
    open_store,
)
from otelwarden.redaction import (
    LivePolicy,
    ProcessorArchive,
    RedactionBaggagePropagator,
    RedactionConfig,
    RedactionLogRecordExporter,
    RedactionMetricReader,
    RedactionSpanExporter,
)
from otelwarden.tenancy import (
    Tenancy,
    TenancyConfig,
    TenantLogRecordProcessor,
    TenantMeterProvider,
    TenantMetricReader,
    TenantRegistry,
    TenantSpanProcessor,
)


class Builder:
    """Builds the pipelines of `settings` into `parts`, which holds all that must be stopped again."""

    def __init__(self, settings: Settings) -> None:
        tenancy: TenancyConfig | None = settings.find("tenancy")
        self._settings = settings
        self._runtime = Runtime(
            config_digest=settings.digest,
            tenant_attribute=tenancy.attribute if tenancy is not None else TENANT_ATTRIBUTE,
        )
        self._made: dict[str, Any] = {}  # id of a component -> what its signals share
        self.parts = Parts(runtime=self._runtime)

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

    # --- what the signals share

    def _registry(self) -> TenantRegistry:
        if self.parts.registry is None:
            self.parts.registry = TenantRegistry(self._settings.tenants, runtime=self._runtime)
        registry: TenantRegistry = self.parts.registry
        return registry

    def _directory(self) -> TenantRouting | None:
        """What failover may ask about tenants; None where no file names any and nobody resolves them."""
        known = self._settings.tenants is not None or self._settings.find("tenancy") is not None
        return self._registry() if known else None

    def _tenancy(self, pipeline: PipelineSettings) -> Tenancy | None:
        name = pipeline.processors.get("tenancy")
        if name is None:
            return None
        if name not in self._made:
            config: TenancyConfig = self._settings.components[name]
            self._made[name] = Tenancy(self._registry(), config, runtime=self._runtime)
        tenancy: Tenancy = self._made[name]
        return tenancy

    def _resolver(self, pipeline: PipelineSettings) -> TenantResolver:
        return self._tenancy(pipeline) or ContextResolver()

    def _limiter(self, pipeline: PipelineSettings) -> QuotaLimiter | None:
        name = pipeline.processors.get("quota")
        if name is None:
            return None
        if name not in self._made:
            config: QuotaConfig = self._settings.components[name]
            try:
                store = open_store(config.store, self._runtime)
            except ConfigError as error:
                pointer = f"/processors/{name.replace('/', '~1')}/store"
                raise ConfigError(fault.within(pointer, file=self._settings.file) for fault in error.faults) from None
            self._made[name] = QuotaLimiter(config, directory=self._registry(), store=store, runtime=self._runtime)
            self.parts.limiters[name] = self._made[name]
        limiter: QuotaLimiter = self._made[name]
        return limiter

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

    def _redaction(self, pipeline: PipelineSettings) -> dict[str, Any] | None:
        """The arguments of the redaction stages; None without redaction."""
        name = pipeline.processors.get("redaction")
        if name is None:
            return None
        if name not in self._made:
            config: RedactionConfig = self._settings.components[name]
            exporters = {
                archive: self._archive(each.exporter) for archive, each in config.archives.items() if each.exporter
            }
            policy = config.live_policy(runtime=self._runtime)
            if isinstance(policy, LivePolicy):
                self.parts.policies.append(policy)
            options = config.options(runtime=self._runtime, exporters=exporters)
            self._made[name] = {
                "policy": policy,
                "on_error": config.on_error,
                "options": options,
                "runtime": self._runtime,
            }
            if config.baggage.redact or config.baggage.drop:
                self.parts.propagator = RedactionBaggagePropagator(
                    get_global_textmap(),
                    policy=policy if config.baggage.redact else None,
                    drop=config.baggage.drop,
                    runtime=self._runtime,
                    options=options,
                )
        arguments: dict[str, Any] = self._made[name]
        return arguments

    def _archive(self, exporter: str) -> ProcessorArchive:
        """An archive that items leave through, on batches of its own."""
        config, runtime = self._settings.components[exporter], self._runtime
        if exporter not in self._made and config.endpoints:
            self._made[exporter] = EndpointPool(config=config, runtime=runtime)
        pool = self._made.get(exporter)
        spans = FailoverSpanExporter(config=config, pool=pool, runtime=runtime)
        logs = FailoverLogRecordExporter(config=config, pool=pool, runtime=runtime)
        metrics = FailoverMetricExporter(config=config, pool=pool, runtime=runtime)
        for each in (spans, logs, metrics):
            self._keep(each)
        of_spans = FairBatchSpanProcessor(spans, runtime=runtime)
        of_logs = FairBatchLogRecordProcessor(logs, runtime=runtime)
        self.parts.archives += (of_spans, of_logs, metrics)
        return ProcessorArchive(spans=of_spans, logs=of_logs, metrics=metrics.export)

    def _trail(self, pipeline: PipelineSettings) -> AuditTrail | None:
        name = pipeline.processors.get("audit")
        if name is None:
            return None
        if name not in self._made:
            config: AuditConfig = self._settings.components[name]
            self._made[name] = trail = AuditTrail.from_config(config, runtime=self._runtime)
            self.parts.trails.append(trail)
            self._runtime.observe(trail)
        found: AuditTrail = self._made[name]
        return found

    def _exporter(self, name: str) -> tuple[FailoverConfig, EndpointPool | None]:
        """The configuration of an exporter, and the pool that its signals share.

        None for the endpoints of the standard environment, which may name another for each signal.
        """
        config: FailoverConfig = self._settings.components[name]
        if name not in self._made and config.endpoints:
            self._made[name] = EndpointPool(config=config, runtime=self._runtime)
        return config, self._made.get(name)

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
            key = f"{redaction} {classification} {exporter}"
            if key not in self._made:
                self._made[key] = EndpointPool(config=own, runtime=self._runtime)
            found.append((classification, own, self._made[key]))
        return found

    def _keep(self, exporter: FailoverSpanExporter | FailoverLogRecordExporter | FailoverMetricExporter) -> None:
        if exporter.pool not in self.parts.pools:
            self.parts.pools.append(exporter.pool)
        if exporter.spool is not None:
            self.parts.spools.append(exporter.spool)

    # --- compliance

    def _build_watch(self) -> None:
        config = self._settings.compliance
        if config is None:
            return
        self._scanner = scanner_of(self._settings)
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
            resource=resource.attributes,
        )
        parts.assessor = open_assessor(
            self._settings,
            config,
            runtime=self._runtime,
            scanner=self._scanner,
            recorders=parts.trails,
            snapshot=view.snapshot,
            settle=lambda: settle_trails(parts.trails),
        )
        watch.follow(parts.assessor)

    # --- the three pipelines

    def _build_traces(self, pipeline: PipelineSettings, resource: Resource) -> None:
        runtime = self._runtime
        processor: SpanProcessor = self._leaving_spans(pipeline, pipeline.exporter)
        sampler: Sampler | None = None
        if (limiter := self._limiter(pipeline)) is not None:
            resolver = self._resolver(pipeline)
            other = limiter.config.reroute_exporter
            processor = QuotaSpanProcessor(
                processor,
                limiter=limiter,
                reroute=self._leaving_spans(pipeline, other) if other else None,
                resolver=resolver,
                count_bytes=True,
                runtime=runtime,
            )
            root = sampler_of_environment() or ALWAYS_ON
            sampler = QuotaSampler(limiter, resolver=resolver, root=root, resource=resource, runtime=runtime)
        if (tenancy := self._tenancy(pipeline)) is not None:
            processor = TenantSpanProcessor(processor, tenancy=tenancy, runtime=runtime)
        provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self.parts.span_processor, self.parts.tracer_provider = processor, provider

    def _leaving_spans(self, pipeline: PipelineSettings, name: str) -> FairBatchSpanProcessor:
        """What spans pass on their way out through an exporter, from the batch on."""
        runtime = self._runtime
        config, pool = self._exporter(name)
        failover = FailoverSpanExporter(config=config, pool=pool, runtime=runtime, directory=self._directory())
        self._keep(failover)
        exporter: SpanExporter = failover
        bound = {
            label: FailoverSpanExporter(config=own, pool=of, runtime=runtime, directory=self._directory())
            for label, own, of in self._bound(pipeline, name)
        }
        if bound:
            for each in bound.values():
                self._keep(each)
            exporter = DestinationSpanExporter(failover, bound)
        if (trail := self._trail(pipeline)) is not None:
            exporter = AuditSpanExporter(exporter, trail=trail, runtime=runtime)
        if (watch := self.parts.watch) is not None:
            exporter = ComplianceSpanExporter(exporter, watch=watch, runtime=runtime)
        if (redaction := self._redaction(pipeline)) is not None:
            exporter = RedactionSpanExporter(exporter, **redaction)
        return FairBatchSpanProcessor(exporter, config=pipeline.batch, runtime=runtime)

    def _build_logs(self, pipeline: PipelineSettings, resource: Resource) -> None:
        runtime = self._runtime
        processor: LogRecordProcessor = self._leaving_logs(pipeline, pipeline.exporter)
        if (limiter := self._limiter(pipeline)) is not None:
            other = limiter.config.reroute_exporter
            processor = QuotaLogRecordProcessor(
                processor,
                limiter=limiter,
                reroute=self._leaving_logs(pipeline, other) if other else None,
                resolver=self._resolver(pipeline),
                count_bytes=True,
                runtime=runtime,
            )
        if (tenancy := self._tenancy(pipeline)) is not None:
            processor = TenantLogRecordProcessor(processor, tenancy=tenancy, runtime=runtime)
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_log_record_processor(processor)
        self.parts.log_processor, self.parts.logger_provider = processor, provider
        if self._settings.logging_handler:
            self.parts.handler = attach_handler(
                provider, level=self._settings.logging_level, errors=runtime.errors("pipeline")
            )

    def _leaving_logs(self, pipeline: PipelineSettings, name: str) -> FairBatchLogRecordProcessor:
        """As `_leaving_spans`, for log records."""
        runtime = self._runtime
        config, pool = self._exporter(name)
        failover = FailoverLogRecordExporter(config=config, pool=pool, runtime=runtime, directory=self._directory())
        self._keep(failover)
        exporter: LogRecordExporter = failover
        bound = {
            label: FailoverLogRecordExporter(config=own, pool=of, runtime=runtime, directory=self._directory())
            for label, own, of in self._bound(pipeline, name)
        }
        if bound:
            for each in bound.values():
                self._keep(each)
            exporter = DestinationLogRecordExporter(failover, bound)
        if (trail := self._trail(pipeline)) is not None:
            exporter = AuditLogRecordExporter(exporter, trail=trail, runtime=runtime)
        if (watch := self.parts.watch) is not None:
            exporter = ComplianceLogRecordExporter(exporter, watch=watch, runtime=runtime)
        if (redaction := self._redaction(pipeline)) is not None:
            exporter = RedactionLogRecordExporter(exporter, **redaction)
        return FairBatchLogRecordProcessor(exporter, config=pipeline.batch, runtime=runtime)

    def _build_metrics(self, pipeline: PipelineSettings, resource: Resource) -> None:
        runtime = self._runtime
        config, pool = self._exporter(pipeline.exporter)
        exporter = FailoverMetricExporter(config=config, pool=pool, runtime=runtime, directory=self._directory())
        self._keep(exporter)
        limiter, tenancy = self._limiter(pipeline), self._tenancy(pipeline)
        # A reader sees a collection after those around it have. Any: proxies, of which only `isinstance` knows.
        reader: Any = PeriodicExportingMetricReader(
            exporter,
            export_interval_millis=pipeline.interval * 1e3,
            **(raised_cardinality_limits(PeriodicExportingMetricReader) if limiter and tenancy else {}),
        )
        if (trail := self._trail(pipeline)) is not None:
            reader = AuditMetricReader(reader, trail=trail, runtime=runtime)
        if (watch := self.parts.watch) is not None:
            reader = ComplianceMetricReader(reader, watch=watch, runtime=runtime)
        if (redaction := self._redaction(pipeline)) is not None:
            reader = RedactionMetricReader(reader, **redaction)
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
