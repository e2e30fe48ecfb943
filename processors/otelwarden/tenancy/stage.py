"""What the stages for spans and log records have in common: an item is judged as it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from otelwarden.core import (
    ConfigError,
    Drop,
    Item,
    ItemState,
    OnError,
    Runtime,
    Signal,
    item_ids,
    set_state,
)
from otelwarden.tenancy.config import QUARANTINED_ID, TenancyConfig
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.resolution import COMPONENT, Tenancy
from otelwarden.tenancy.verdicts import Verdict

_ItemT = TypeVar("_ItemT", bound=Item)


def tenancy_of(
    tenancy: Tenancy | None, registry: TenantRegistry | None, config: TenancyConfig | None, runtime: Runtime | None
) -> Tenancy:
    """The tenancy that a stage is given, or one made of the registry and the configuration that it is given.

    Raises:
        ConfigError: both or neither are given, or the configuration does not fit the runtime.
    """
    if tenancy is None:
        if registry is None:
            raise ConfigError("a stage of tenancy needs `registry` or `tenancy`")
        return Tenancy(registry, config, runtime=runtime)
    if registry is not None or config is not None:
        raise ConfigError("`tenancy` brings its own registry and configuration; give either it or those")
    return tenancy


def retagged(attributes: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """A copy of `attributes` with the tags of the verdict, and none of an earlier verdict's quarantine.

    One more than the limit of attributes may be in it: the tag evicts nothing.
    """
    copy = {**attributes, **verdict.tags}
    if verdict.action == "pass":
        copy.pop(QUARANTINED_ID, None)
    return copy


class TenancyStage(Generic[_ItemT]):
    """Judges items as they leave.

    The account of an item is that of the tenant which its state named when it arrived here; what leaves belongs to the
    tenant of the verdict, in every stage after this one.

    Args:
        attributes_of: the attributes of an item, read-only.
        with_tags: makes an item carry the tags of a verdict.
        on_error: `pass` attributes an item that this fails on to the default tenant.
    """

    def __init__(
        self,
        tenancy: Tenancy,
        signal: Signal,
        attributes_of: Callable[[_ItemT], Mapping[str, Any]],
        with_tags: Callable[[_ItemT, Verdict], _ItemT],
        *,
        on_error: OnError,
    ) -> None:
        self._tenancy = tenancy
        self._admit = tenancy.admit
        self._attribute = tenancy.config.attribute
        self._signal = signal
        self._attributes_of = attributes_of
        self._with_tags = with_tags
        self._passes_on_error = on_error == "pass"
        self._errors = tenancy.runtime.errors(COMPONENT)

    def judge(self, item: _ItemT, state: ItemState) -> _ItemT | Drop:
        """The item as it leaves, or why it does not."""
        try:
            verdict = self._admit(state.tenant)
            tenant = verdict.tenant
            if (
                verdict.passes_bare
                and tenant == state.tenant
                and self._attributes_of(item).get(self._attribute) == tenant
            ):
                return item  # nearly every span: it has its tag, and nothing else is stamped
            drop = verdict.bars(self._signal)
            if drop is not None:
                return drop
            if tenant != state.tenant:
                set_state(item, state.replaced(tenant=tenant))
            if verdict.action == "quarantine":
                self.tell("quarantine", verdict.reason, item, verdict.measured)
            return self._with_tags(item, verdict)
        except Exception as error:
            if not self._passes_on_error:
                raise
            self._errors.record("judge", error)
            return self._belonging_to_nobody(item, state)

    def _belonging_to_nobody(self, item: _ItemT, state: ItemState) -> _ItemT:
        config = self._tenancy.config
        tenant = config.default_tenant
        set_state(item, state.replaced(tenant=tenant, source="default"))
        verdict = Verdict("pass", tenant, "", None, {config.attribute: tenant}, tenant)
        return self._with_tags(item, verdict)

    def tell(self, action: str, reason: str, item: _ItemT, tenant: str) -> None:
        """Tells observers what was done with an item."""
        trace_id, span_id = item_ids(item)
        self._tenancy.runtime.emit(
            COMPONENT,
            action,
            reason,
            tenant=tenant,
            signal=self._signal,
            trace_id=trace_id,
            span_id=span_id,
        )
