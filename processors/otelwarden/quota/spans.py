"""The backstop for spans: each span that is kept is charged to its own tenant when it ends."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode

from otelwarden.core import (
    TRACE_ID,
    TRACE_STATE,
    TRACES,
    Deadline,
    Drop,
    ItemState,
    OnError,
    Runtime,
    SpanStageProcessor,
    TenantResolver,
    copy_span,
    flush_within,
    probability_of,
    randomness_of,
    shutdown_within,
    span_context_of,
    threshold_of,
    with_threshold,
)
from otelwarden.quota.limiter import QuotaLimiter
from otelwarden.quota.overflow import Overflow
from otelwarden.quota.recent import RecentTraces
from otelwarden.quota.verdict import DecidedTraceState

TRACE_CUT: Final = Drop("trace_cut")


class QuotaSpanProcessor(SpanStageProcessor):
    """Drops spans over their tenant's limits.

    Spans of traces that are not sampled pass uncharged. Spans of a trace that `QuotaSampler` decided about may overdraw
    a rate up to `max_debt`, so that the trace stays whole. A span beyond that is dropped: as `trace_cut` if spans of
    its trace passed before, else for what refused it: `rate`, `budget`, `size` or `store_down`. What still passes of
    such a trace has its `th` erased, since nobody knows at which probability it was kept.

    With another `overflow` than `drop`, or where `exempt` covers them, spans over a limit take another way.

    Args:
        next_processor: gets the spans within the limits.
        limiter: shared with the sampler and the other signals.
        reroute: begins another pipeline, which gets the spans over a limit as they end; needed for `overflow: reroute`.
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
        reroute: SpanProcessor | None = None,
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
        self._reroutes = limiter.config.overflow == "reroute"
        self._rerouted = reroute
        self._over: Overflow[ReadableSpan] = Overflow(
            limiter.config,
            TRACES,
            is_error=_is_error,
            reroute=reroute.on_end if reroute is not None else None,
            runtime=self._stage.runtime,
        )
        self._passed = RecentTraces()
        self._last_passed = 0
        self._cut = RecentTraces()

    def _charge(self, span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        if not state.sampled:
            return span
        context: Any = span_context_of(span)
        trace_state = context[TRACE_STATE]
        decided = type(trace_state) is DecidedTraceState
        if decided:
            verdict = trace_state.verdict
            if span.parent is None and verdict.ended is not None:
                verdict.ended.tick()
            if verdict.reason is not None:
                # The sampler has said that it would have dropped the trace.
                if not self._reroutes or self._over.exempts(span, state.tenant, verdict.reason):
                    return span
                return self._over.drop(span, verdict.reason)
        refusal = self._take(state.tenant, TRACES, span, decided)
        trace_id = context[TRACE_ID]
        if refusal is None:
            if trace_id != self._last_passed:  # the spans of a trace tend to end one after the other
                self._last_passed = trace_id
                self._passed.add(trace_id)
            return self._with_threshold(span, context, None) if self._cut.any and trace_id in self._cut else span
        return self._beyond(span, state.tenant, refusal, context)

    def _beyond(self, span: ReadableSpan, tenant: str, refusal: str, context: SpanContext) -> ReadableSpan | Drop:
        """What becomes of a span over a limit."""
        trace_id, over = context.trace_id, self._over
        randomness = randomness_of(trace_id, context.trace_state)
        passing = over.passes(span, tenant, refusal, randomness)
        if passing == "sample":
            return self._with_threshold(span, context, over.threshold)
        if passing:
            return self._with_threshold(span, context, None) if trace_id in self._cut else span
        self._cut.add(trace_id)
        if self._reroutes:
            span = self._with_threshold(span, context, None)  # it goes for another reason than its randomness
        return over.drop(span, refusal, TRACE_CUT if trace_id in self._passed else None)

    def _with_threshold(self, span: ReadableSpan, context: SpanContext, least: int | None) -> ReadableSpan:
        """The span with a threshold that is no lower than `least`; with none where that is None, or it had none."""
        known = probability_of(context.trace_state)
        if known is None:
            return span
        threshold = None if least is None else max(least, threshold_of(known))
        state = with_threshold(context.trace_state, threshold)
        changed = SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)
        return copy_span(span, context=changed)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Shuts down the next in line, and the pipeline of what is over a limit."""
        deadline = Deadline.after_millis(timeout_millis)
        super().shutdown(deadline.remaining_millis)
        if self._rerouted is not None:
            shutdown_within(self._rerouted, deadline, self._stage.errors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes both likewise."""
        deadline = Deadline.after_millis(timeout_millis)
        done = super().force_flush(deadline.remaining_millis)
        return (self._rerouted is None or flush_within(self._rerouted, deadline, self._stage.errors)) and done


def _is_error(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR
