"""The backstop for spans: each span that is kept is charged to its own tenant when it ends."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext

from otelwarden.core import (
    TRACE_ID,
    TRACE_STATE,
    TRACES,
    Drop,
    ItemState,
    OnError,
    Runtime,
    SpanStageProcessor,
    TenantResolver,
    copy_span,
    probability_of,
    span_context_of,
    with_threshold,
)
from otelwarden.quota.limiter import QuotaLimiter
from otelwarden.quota.meters import BUDGET, RATE, SIZE, STORE_DOWN
from otelwarden.quota.recent import RecentTraces
from otelwarden.quota.verdict import DecidedTraceState

DROPS: Final = {reason: Drop(reason) for reason in (RATE, BUDGET, SIZE, STORE_DOWN)}
TRACE_CUT: Final = Drop("trace_cut")


class QuotaSpanProcessor(SpanStageProcessor):
    """Drops spans over their tenant's limits.

    Spans of traces that are not sampled pass uncharged. Spans of a trace that `QuotaSampler` decided about may overdraw
    a rate up to `max_debt`, so that the trace stays whole. A span beyond that is dropped: as `trace_cut` if spans of
    its trace passed before, else for what refused it: `rate`, `budget`, `size` or `store_down`. What still passes of
    such a trace has its `th` erased, since nobody knows at which probability it was kept.

    Args:
        next_processor: gets the spans within the limits.
        limiter: shared with the sampler and the other signals.
        on_error: what becomes of a span that could not be charged.
        resolver: whose a span is that no stage before this one has asked about.
        count_bytes: whether the accounts are in bytes too; 1 us for each item unless a batch processor of ours is next.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        limiter: QuotaLimiter,
        on_error: OnError = "pass",
        resolver: TenantResolver | None = None,
        count_bytes: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(
            next_processor,
            self._charge,
            component="quota",
            on_error=on_error,
            resolver=resolver,
            count_bytes=count_bytes,
            runtime=runtime,
        )
        self._take = limiter.charge
        self._observe = limiter.config.overflow == "observe"
        self._passed = RecentTraces()
        self._last_passed = 0
        self._cut = RecentTraces()

    def _charge(self, span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        if not state.sampled:
            return span
        context: Any = span_context_of(span)
        trace_id, trace_state = context[TRACE_ID], context[TRACE_STATE]
        verdict = trace_state.verdict if type(trace_state) is DecidedTraceState else None
        if verdict is not None and span.parent is None and verdict.ended is not None:
            verdict.ended.tick()
        if verdict is not None and verdict.reason is not None:
            return span  # observed only: the sampler has said that it would have dropped the trace
        refusal = self._take(state.tenant, TRACES, span, verdict is not None)
        if refusal is None:
            if trace_id != self._last_passed:  # the spans of a trace tend to end one after the other
                self._last_passed = trace_id
                self._passed.add(trace_id)
            return self._without_threshold(span, context) if self._cut.any and trace_id in self._cut else span
        if self._observe:
            self._stage.runtime.emit(
                "quota",
                "would_drop",
                refusal,
                tenant=state.tenant,
                signal=TRACES,
                trace_id=trace_id,
                span_id=context.span_id,
            )
            return span
        self._cut.add(trace_id)
        return TRACE_CUT if trace_id in self._passed else DROPS.get(refusal) or Drop(refusal)

    def _without_threshold(self, span: ReadableSpan, context: SpanContext) -> ReadableSpan:
        if probability_of(context.trace_state) is None:
            return span
        changed = SpanContext(
            context.trace_id,
            context.span_id,
            context.is_remote,
            context.trace_flags,
            with_threshold(context.trace_state, None),
        )
        return copy_span(span, context=changed)
