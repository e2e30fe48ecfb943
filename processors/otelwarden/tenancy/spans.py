"""Tenancy of spans."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otelwarden.core import (
    TRACES,
    ItemState,
    OnError,
    Runtime,
    SpanStageProcessor,
    copy_span,
    span_attributes,
    tag_span,
)
from otelwarden.tenancy.config import TenancyConfig
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.resolution import COMPONENT, Tenancy
from otelwarden.tenancy.stage import TenancyStage, retagged, tenancy_of
from otelwarden.tenancy.verdicts import Verdict


class TenantSpanProcessor(SpanStageProcessor):
    """Tags spans with their tenant as they start, and lets through those whose tenant may pass as they end.

    The tag is visible to the application and to other processors from the start. At the end it is asserted again: when
    the application overwrote it, or 128 later attributes evicted it, a copy with the right one leaves. Whether a tenant
    may pass is decided at the end, by the registry as it is then.

    Args:
        next_processor: the next in line; gets what passes.
        registry: the known tenants; needed unless `tenancy` is given.
        config: how to decide; None for the defaults.
        tenancy: registry and configuration in one, shared by the signals of a pipeline; instead of the two.
        on_error: what becomes of a span that tenancy failed on; one that passes belongs to the default tenant.
        runtime: None for the one of `tenancy`, or that of all stages that are used by hand.

    Raises:
        ConfigError: both or neither of `registry` and `tenancy` are given, or the configuration does not fit.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        registry: TenantRegistry | None = None,
        config: TenancyConfig | None = None,
        tenancy: Tenancy | None = None,
        on_error: OnError = "pass",
        runtime: Runtime | None = None,
    ) -> None:
        self.tenancy = tenancy_of(tenancy, registry, config, runtime)
        self._admit = self.tenancy.admit
        self._attribute = self.tenancy.config.attribute
        self._judging = TenancyStage(self.tenancy, TRACES, span_attributes, self._with_tags, on_error=on_error)
        super().__init__(
            next_processor,
            self._judging.judge,
            component=COMPONENT,
            on_error=on_error,
            on_start=self._tag,
            resolver=self.tenancy,
            runtime=runtime or self.tenancy.runtime,
        )

    def _tag(self, span: Span, state: ItemState) -> None:
        verdict = self._admit(state.tenant)
        if verdict.passes_bare:
            tag_span(span, self._attribute, verdict.tenant)
            return
        for key, value in verdict.tags.items():
            tag_span(span, key, value)

    def _with_tags(self, span: ReadableSpan, verdict: Verdict) -> ReadableSpan:
        attributes = span_attributes(span)
        for key, value in verdict.tags.items():
            if attributes.get(key) != value:
                self._judging.tell("reassert", "changed", span, verdict.tenant)
                return copy_span(span, attributes=retagged(attributes, verdict))
        return span
