"""What the signals of one configuration share: each component of the settings, made once, when first asked for."""

from __future__ import annotations

from typing import Any

from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.resources import Resource

from otelwarden.audit import AuditConfig, AuditTrail, TrailLogs
from otelwarden.core import (
    TENANT_ATTRIBUTE,
    ConfigError,
    ContextResolver,
    Runtime,
    TenantResolver,
    TenantRouting,
)
from otelwarden.failover import FailoverConfig
from otelwarden.pipeline.exporters import Exporters
from otelwarden.pipeline.settings import PipelineSettings, Settings
from otelwarden.pipeline.traillogs import TrailLogsPipeline
from otelwarden.pipeline.warden import Parts
from otelwarden.quota import QuotaConfig, QuotaLimiter, open_store
from otelwarden.redaction import LivePolicy, RedactionBaggagePropagator, RedactionConfig
from otelwarden.tenancy import Tenancy, TenancyConfig, TenantRegistry


class Components:
    """The components of `settings`.

    Attributes:
        settings: what is to be made.
        runtime: what all of it shares.
        parts: what was made and must be stopped again.
        exporters: makes those at the end of the pipelines.
    """

    def __init__(self, settings: Settings) -> None:
        tenancy: TenancyConfig | None = settings.find("tenancy")
        self.settings = settings
        self.runtime = Runtime(
            config_digest=settings.digest,
            tenant_attribute=tenancy.attribute if tenancy is not None else TENANT_ATTRIBUTE,
        )
        self._made: dict[str, Any] = {}  # id of a component -> what its signals share
        self.parts = Parts(runtime=self.runtime)
        self.exporters = Exporters(settings, self.parts, directory=self.directory)

    def registry(self) -> TenantRegistry:
        """The tenants."""
        if self.parts.registry is None:
            self.parts.registry = TenantRegistry(self.settings.tenants, runtime=self.runtime)
        registry: TenantRegistry = self.parts.registry
        return registry

    def directory(self) -> TenantRouting | None:
        """What failover may ask about tenants; None where no file names any and nobody resolves them."""
        known = self.settings.tenants is not None or self.settings.find("tenancy") is not None
        return self.registry() if known else None

    def tenancy(self, pipeline: PipelineSettings) -> Tenancy | None:
        """Whose an item of this pipeline is; None without tenancy."""
        name = pipeline.processors.get("tenancy")
        if name is None:
            return None
        if name not in self._made:
            config: TenancyConfig = self.settings.components[name]
            self._made[name] = Tenancy(self.registry(), config, runtime=self.runtime)
        tenancy: Tenancy = self._made[name]
        return tenancy

    def resolver(self, pipeline: PipelineSettings) -> TenantResolver:
        """Who is asked for the tenant: tenancy, or else the context alone."""
        return self.tenancy(pipeline) or ContextResolver()

    def limiter(self, pipeline: PipelineSettings) -> QuotaLimiter | None:
        """How much may pass; None without quota.

        Raises:
            ConfigError: its store cannot be opened.
        """
        name = pipeline.processors.get("quota")
        if name is None:
            return None
        if name not in self._made:
            config: QuotaConfig = self.settings.components[name]
            try:
                store = open_store(config.store, self.runtime)
            except ConfigError as error:
                pointer = f"/processors/{name.replace('/', '~1')}/store"
                raise ConfigError(fault.within(pointer, file=self.settings.file) for fault in error.faults) from None
            self._made[name] = QuotaLimiter(config, directory=self.registry(), store=store, runtime=self.runtime)
            self.parts.limiters[name] = self._made[name]
        limiter: QuotaLimiter = self._made[name]
        return limiter

    def redaction(self, pipeline: PipelineSettings) -> dict[str, Any] | None:
        """The arguments of the redaction stages; None without redaction."""
        name = pipeline.processors.get("redaction")
        if name is None:
            return None
        if name not in self._made:
            config: RedactionConfig = self.settings.components[name]
            exporters = {
                archive: self.exporters.archive(each.exporter)
                for archive, each in config.archives.items()
                if each.exporter
            }
            policy = config.live_policy(runtime=self.runtime)
            if isinstance(policy, LivePolicy):
                self.parts.policies.append(policy)
            options = config.options(runtime=self.runtime, exporters=exporters)
            self._made[name] = {
                "policy": policy,
                "on_error": config.on_error,
                "options": options,
                "runtime": self.runtime,
            }
            if config.baggage.redact or config.baggage.drop:
                self.parts.propagator = RedactionBaggagePropagator(
                    get_global_textmap(),
                    policy=policy if config.baggage.redact else None,
                    drop=config.baggage.drop,
                    runtime=self.runtime,
                    options=options,
                )
        arguments: dict[str, Any] = self._made[name]
        return arguments

    def trail(self, pipeline: PipelineSettings) -> AuditTrail | None:
        """Where it is recorded what leaves; None without audit."""
        name = pipeline.processors.get("audit")
        if name is None:
            return None
        if name not in self._made:
            config: AuditConfig = self.settings.components[name]
            self._made[name] = trail = AuditTrail.from_config(
                config, listener=self._trail_logs(config), runtime=self.runtime
            )
            self.parts.trails.append(trail)
            self.runtime.observe(trail)
        found: AuditTrail = self._made[name]
        return found

    def _trail_logs(self, config: AuditConfig) -> TrailLogs | None:
        if config.logs is None:
            return None
        exporter: FailoverConfig = self.settings.components[config.logs.exporter]
        resource = Resource.create(dict(self.settings.resource))
        pipeline = TrailLogsPipeline.open(config.logs, exporter, resource=resource, runtime=self.runtime)
        self.parts.trail_logs.append(pipeline)
        return pipeline.logs
