"""The running pipelines of one configuration, held in one hand."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from otelwarden.audit import AuditTrail, TrailLogsStats, TrailStats
from otelwarden.compliance import Assessment, Assessor, Block, ReportFormat, Watch, render_report
from otelwarden.core import Balance, ConfigError, Deadline, Decision, Fault, Runtime
from otelwarden.failover import EndpointPool, EndpointStats, FailoverMetricExporter, Spool, SpoolStats
from otelwarden.pipeline.handler import detach_handler
from otelwarden.pipeline.reload import LimitsReload
from otelwarden.pipeline.settings import Settings
from otelwarden.pipeline.traillogs import TrailLogsPipeline
from otelwarden.quota import DropNotices, LimitStatus, QuotaLimiter, Usage, UsageExport
from otelwarden.redaction import LivePolicy
from otelwarden.tenancy import TenantRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One snapshot of everything. Counts are of this process, since it started or was forked."""

    balances: tuple[Balance, ...]
    """What became of the items, for each stage, signal and tenant."""
    decisions: Mapping[Decision, int]
    """How many items, or places in items, each kind of decision was about."""
    errors: Mapping[str, Mapping[str, int]]
    """Errors caught: component -> `place:type` -> count."""
    tenants: Mapping[str, int] | None
    """Tenants in all and by status; None without tenancy and quota."""
    usage: tuple[Usage, ...]
    """What the quotas allowed and what was over them."""
    limits: tuple[LimitStatus, ...]
    """Every limit of every tenant that was met: what is used, what is left, and when a budget will run out."""
    endpoints: tuple[EndpointStats, ...]
    """State and counts of each endpoint."""
    spools: tuple[SpoolStats, ...]
    """What waits on disk, for each signal."""
    trails: tuple[TrailStats, ...]
    """State of each audit trail."""
    trail_logs: tuple[TrailLogsStats, ...]
    """What left each trail as log records, where that is configured."""

    @property
    def unaccounted(self) -> int:
        """Items that no stage accounts for; 0 when the pipelines are at rest."""
        return sum(abs(balance.unaccounted) for balance in self.balances)

    @property
    def unaccounted_bytes(self) -> int:
        """Bytes that no stage accounts for which measures what it gets; 0 when the pipelines are at rest."""
        return sum(abs(balance.unaccounted_bytes) for balance in self.balances)


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a builder made, and what must be stopped again; filled as it goes, so that half a building can be undone."""

    runtime: Runtime
    registry: TenantRegistry | None = None
    limiters: dict[str, QuotaLimiter] = field(default_factory=dict)
    limits: LimitsReload | None = None
    usage: list[UsageExport] = field(default_factory=list)
    notices: DropNotices | None = None
    trails: list[AuditTrail] = field(default_factory=list)
    trail_logs: list[TrailLogsPipeline] = field(default_factory=list)
    pools: list[EndpointPool] = field(default_factory=list)
    spools: list[Spool] = field(default_factory=list)
    span_processor: SpanProcessor | None = None
    log_processor: LogRecordProcessor | None = None
    tracer_provider: TracerProvider | None = None
    logger_provider: LoggerProvider | None = None
    sdk_meter_provider: SdkMeterProvider | None = None
    meter_provider: MeterProvider | None = None
    handler: logging.Handler | None = None
    watch: Watch | None = None
    assessor: Assessor | None = None
    archives: list[SpanProcessor | LogRecordProcessor | FailoverMetricExporter] = field(default_factory=list)
    policies: list[LivePolicy] = field(default_factory=list)
    propagator: TextMapPropagator | None = None


class Warden:
    """The running pipelines. Made by `configure()`.

    Attributes:
        settings: the configuration in force.
        runtime: what the stages share; observe it to hear of every decision.
        tenants: the registry; None when neither tenancy nor quota is configured.
        propagator: redacts baggage that leaves, around the global propagator; None unless that is configured.
        tracer_provider: None when the configuration has no pipeline for traces; the other two likewise.
    """

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.settings = settings
        self.runtime = parts.runtime
        self.tenants = parts.registry
        self.tracer_provider = parts.tracer_provider
        self.logger_provider = parts.logger_provider
        self.meter_provider = parts.meter_provider
        self.propagator = parts.propagator
        self._parts = parts
        self._down = False
        atexit.register(self.shutdown)

    def stats(self) -> Stats:
        """A snapshot of everything."""
        parts = self._parts
        return Stats(
            balances=tuple(self.runtime.balances()),
            decisions=self.runtime.decisions(),
            errors=self.runtime.error_counts(),
            tenants=parts.registry.stats() if parts.registry is not None else None,
            usage=tuple(usage for limiter in parts.limiters.values() for usage in limiter.usage()),
            limits=tuple(status for limiter in parts.limiters.values() for status in limiter.status()),
            endpoints=tuple(endpoint for pool in parts.pools for endpoint in pool.stats()),
            spools=tuple(spool.stats() for spool in parts.spools),
            trails=tuple(trail.stats() for trail in parts.trails),
            trail_logs=tuple(pipeline.stats() for pipeline in parts.trail_logs),
        )

    @property
    def compliance(self) -> Assessor:
        """Assesses, and takes decisions about findings, controls and changes.

        Raises:
            ConfigError: the configuration has no section `compliance`.
        """
        assessor = self._parts.assessor
        if assessor is None:
            message = "nothing is to be assessed"
            raise ConfigError([Fault(file=self.settings.file, message=message, allowed="a section `compliance`")])
        return assessor

    def assess(self, frameworks: Iterable[str] = (), *, actor: str = "") -> Assessment:
        """Assesses everything now.

        Args:
            frameworks: ids of frameworks; none for all that are configured.
            actor: who asked for it, as `user:<id>`.

        Raises:
            ConfigError: compliance or a framework is not configured.
        """
        return self.compliance.assess(frameworks, actor=actor)

    @property
    def blocked(self) -> tuple[Block, ...]:
        """What compliance holds back at the moment, under `inline: block`."""
        watch = self._parts.watch
        return watch.gate.blocks if watch is not None else ()

    def report(self, format: ReportFormat = "json") -> str:  # the word for it
        """The report of the latest assessment, which is made when there is none yet.

        Args:
            format: `json`, `oscal`, `md` or `html`.

        Raises:
            ConfigError: compliance is not configured, or what the format needs is not installed.
        """
        store = self.compliance.store
        if store.assessment() is None:
            self.assess()
        return render_report(store, format)

    def force_flush(self, timeout: float = 30.0) -> bool:
        """Exports what every pipeline holds.

        Args:
            timeout: seconds, shared by all.

        Returns:
            Whether everything went out in time.
        """
        deadline = Deadline(timeout)
        parts, errors = self._parts, self.runtime.errors("pipeline")
        done = True
        for component in (parts.span_processor, parts.log_processor, parts.sdk_meter_provider):
            if component is None:
                continue
            try:
                done = component.force_flush(deadline.remaining_millis) is not False and done
            except Exception as error:  # the meter provider raises when a reader fails or is late
                errors.record("force_flush", error)
                done = False
        for archive in parts.archives:
            done = archive.force_flush(deadline.remaining_millis) is not False and done
        for trail in parts.trails:
            done = trail.flush(deadline) and done
        for pipeline in parts.trail_logs:
            done = pipeline.logs.flush(deadline) and done
        return done and not deadline.expired

    def shutdown(self, timeout: float = 30.0) -> None:
        """Exports what every pipeline holds and stops everything; what is left at the deadline is dropped and counted.

        Called at exit unless it was called before.

        Args:
            timeout: seconds, shared by all.
        """
        if self._down:
            return
        self._down = True
        atexit.unregister(self.shutdown)
        stop(self._parts, Deadline(timeout))


def stop(parts: Parts, deadline: Deadline) -> None:
    """Stops what was built, from the application's side towards the outside; the trail last, to seal the rest."""
    errors = parts.runtime.errors("pipeline")

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            errors.record("shutdown", error)

    if (handler := parts.handler) is not None:
        attempt(lambda: detach_handler(handler))
    if (notices := parts.notices) is not None:
        attempt(notices.close)
    for processor in (parts.span_processor, parts.log_processor):
        if processor is not None:
            # Through the chain and not the provider, whose own shutdown knows no deadline.
            attempt(lambda each=processor: each.shutdown(deadline.remaining_millis))  # type: ignore[misc]
    for provider in (parts.tracer_provider, parts.logger_provider):
        if provider is not None:
            attempt(provider.shutdown)
    if (meters := parts.sdk_meter_provider) is not None:
        attempt(lambda: meters.shutdown(deadline.remaining_millis))
    for archive in parts.archives:
        attempt(lambda each=archive: each.shutdown(deadline.remaining_millis))  # type: ignore[misc]
    for policy in parts.policies:
        attempt(policy.close)
    if (limits := parts.limits) is not None:
        attempt(limits.close)
    for export in parts.usage:
        attempt(lambda each=export: each.close(deadline.remaining))  # type: ignore[misc]
    for limiter in parts.limiters.values():
        attempt(lambda each=limiter: each.close(deadline.remaining))  # type: ignore[misc]
    if (registry := parts.registry) is not None:
        attempt(registry.close)
    if (watch := parts.watch) is not None:
        attempt(lambda: watch.stop(deadline.remaining))  # before the trail ends: what it finds belongs there
    for trail in parts.trails:
        attempt(lambda each=trail: each.close(deadline.remaining))  # type: ignore[misc]
    for pipeline in parts.trail_logs:
        attempt(lambda each=pipeline: each.logs.close(deadline.remaining))  # type: ignore[misc]
