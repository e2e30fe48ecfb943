"""Whose telemetry it is, and whether it may pass. No SDK in here: the stages translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.baggage import get_baggage
from opentelemetry.context.context import Context

from otelwarden.core import ConfigError, Fault, Identity, Runtime, default_runtime, plain_attributes
from otelwarden.core.context import TENANT_KEY
from otelwarden.core.protocols import NO_ATTRIBUTES
from otelwarden.tenancy.config import Source, TenancyConfig
from otelwarden.tenancy.ids import INVALID, ClaimedTenant
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.verdicts import Verdict, Verdicts

COMPONENT: Final = "tenancy"


class Tenancy:
    """Resolves the tenant of telemetry and judges it; one for all signals of a pipeline.

    Args:
        registry: the known tenants; watched from now on, if it has a file.
        config: None for the defaults.
        runtime: None for the one shared by all stages that are used by hand.

    Raises:
        ConfigError: `config.attribute` is not the attribute by which the runtime tells metric points apart.
    """

    def __init__(
        self, registry: TenantRegistry, config: TenancyConfig | None = None, *, runtime: Runtime | None = None
    ) -> None:
        self.registry = registry
        self.config = config or TenancyConfig()
        self.runtime = runtime or default_runtime()
        if self.runtime.tenant_attribute != self.config.attribute:
            message = "is not the attribute of the runtime; pass runtime=Runtime(tenant_attribute=...)"
            allowed = self.runtime.tenant_attribute
            raise ConfigError(
                [Fault(pointer="/attribute", message=message, given=self.config.attribute, allowed=allowed)]
            )
        self._errors = self.runtime.errors(COMPONENT)
        self._verdicts = Verdicts(registry.snapshot, self.config)
        self._sources = self.config.sources
        registry.watch(self.config.reload_interval)

    def resolve(
        self,
        context: Context,
        resource: Mapping[str, Any] = NO_ATTRIBUTES,
        attributes: Mapping[str, Any] = NO_ATTRIBUTES,
    ) -> Identity:
        """The tenant that work in `context` belongs to; answers for any input and never raises.

        The first source that names anything decides, even when what it names is no id: a bad claim is not a reason to
        believe somebody else. That a later source names another is counted as the event `conflict`.
        """
        try:
            return self._resolve(context, resource, attributes)
        except Exception as error:
            self._errors.record("resolve", error)
            return Identity(self.config.default_tenant, "default")

    def admit(self, tenant: str) -> Verdict:
        """What becomes of the telemetry of a tenant that `resolve` named, by the registry as it is now.

        A dictionary look-up; takes no lock.
        """
        verdicts = self._verdicts
        if verdicts.snapshot is not self.registry.snapshot:
            verdicts = self._current()
        return verdicts.again(tenant) if type(tenant) is ClaimedTenant else verdicts[tenant]

    def _current(self) -> Verdicts:
        verdicts = self._verdicts
        if verdicts.snapshot is not self.registry.snapshot:
            # Two threads may both do this; either's is right, as a `Verdicts` judges by one snapshot for ever.
            verdicts = self._verdicts = Verdicts(self.registry.snapshot, self.config)
        return verdicts

    def _resolve(self, context: Context, resource: Mapping[str, Any], attributes: Mapping[str, Any]) -> Identity:
        verdicts = self._current()
        winner: tuple[str, Source] | None = None
        for source in self._sources:
            named = self._named(source, context, resource, attributes)
            if named is None:
                continue
            # A subclass of str may lie about its hash and equality; `str.__str__` makes a plain one.
            claim = str.__str__(named) if issubclass(type(named), str) else INVALID
            if winner is None:
                winner = claim, source
            elif claim != winner[0]:
                reason = f"{winner[1]}_over_{source}"
                self.runtime.emit(COMPONENT, "conflict", reason, tenant=verdicts.on_claim(winner[0]).tenant)
        if winner is None:
            return Identity(verdicts.on_missing().tenant, "default")
        return Identity(verdicts.on_claim(winner[0]).tenant, winner[1])

    def _named(
        self, source: Source, context: Context, resource: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> object:
        config = self.config
        if source == "context":
            return context.get(TENANT_KEY)
        if source == "baggage":
            return get_baggage(config.baggage_key, context)
        if source == "resource":
            return plain_attributes(resource).get(config.resource_key)
        return plain_attributes(attributes).get(config.attribute_key)
