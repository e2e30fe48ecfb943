"""Whose telemetry it is, and whether it may pass. No SDK in here: the stages translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.baggage import get_baggage
from opentelemetry.context.context import Context

from otelwarden.core import (
    BAGGAGE_KEY,
    NO_ATTRIBUTES,
    NO_TOKEN,
    TENANT_KEY,
    TOKEN_KEY,
    ConfigError,
    Fault,
    Identity,
    Runtime,
    Token,
    default_runtime,
    plain_attributes,
)
from otelwarden.tenancy.config import TenancyConfig
from otelwarden.tenancy.ids import INVALID, ClaimedTenant
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.tokens import NoTokens, Prover, TokenVerifier
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
        self._tokens: Prover = NoTokens()
        if self.config.token is not None:
            interval = self.config.reload_interval
            self._tokens = TokenVerifier(self.config.token, runtime=self.runtime, interval=interval)
        self._tenant_of_token = self._tokens.tenant_of
        self._verdicts = Verdicts(registry.snapshot, self.config)
        self._sources = self.config.sources
        self._baggage_key = self.config.baggage_key
        self._resource_key = self.config.resource_key
        self._attribute_key = self.config.attribute_key
        registry.watch(self.config.reload_interval)

    def resolve(
        self,
        context: Context,
        resource: Mapping[str, Any] = NO_ATTRIBUTES,
        attributes: Mapping[str, Any] = NO_ATTRIBUTES,
    ) -> Identity:
        """The tenant that work in `context` belongs to; answers for any input and never raises.

        The first source that names anything decides, even when what it names is no id: a bad claim is not a reason to
        believe somebody else. A verified token decides wherever it stands; one that proves nothing names no id. That
        another source names another is counted as the event `conflict`.
        """
        verdict, source = self.judge(context, resource, attributes)
        return Identity(verdict.tenant, source)

    def judge(
        self, context: Context, resource: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> tuple[Verdict, str]:
        """The verdict on what `resolve` finds, and where it was found."""
        try:
            return self._judge(context, resource, attributes)
        except Exception as error:
            self._errors.record("resolve", error)
            return self.admit(self.config.default_tenant), "default"

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

    def _judge(
        self, context: Context, resource: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> tuple[Verdict, str]:
        verdicts = self._current()
        winner = ""
        claim: str | None = None
        for source in self._sources:
            # One branch each rather than a function each: this runs for every measurement.
            if source == "context":
                named = context.get(TENANT_KEY)
            elif source == "token":
                token = context.get(TOKEN_KEY)
                if token is None or token is NO_TOKEN:
                    continue
                named = self._tenant_of_token(token) if isinstance(token, Token) else INVALID
            elif source == "baggage":
                named = None if context.get(BAGGAGE_KEY) is None else get_baggage(self._baggage_key, context)
            elif source == "resource":
                named = plain_attributes(resource).get(self._resource_key)
            else:
                named = plain_attributes(attributes).get(self._attribute_key)
            if named is None:
                continue
            if type(named) is not str:
                # A subclass of str may lie about its hash and equality; `str.__str__` makes a plain one.
                named = str.__str__(named) if issubclass(type(named), str) else INVALID
            if claim is None:
                claim, winner = named, source
                continue
            loser: str = source
            if source == "token" and named != INVALID:  # proof wins, wherever it stands
                loser, winner = winner, source
                claim, named = named, claim
            if named != claim:
                tenant = verdicts.on_claim(claim).tenant
                self.runtime.emit(COMPONENT, "conflict", f"{winner}_over_{loser}", tenant=tenant)
        return (verdicts.on_missing(), "default") if claim is None else (verdicts.on_claim(claim), winner)
