"""The stage in front of the quota on spans in which traces over a rate wait, in case they have an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags

from otelwarden.core import (
    DROP_ON_ERROR,
    ItemState,
    Runtime,
    SpanStageProcessor,
    SpanState,
    TenantResolver,
    Watcher,
    copy_span,
    end_span,
    run_in_child_after_fork,
    set_state,
    with_threshold,
)
from otelwarden.quota.limiter import QuotaLimiter
from otelwarden.quota.meters import RATE
from otelwarden.quota.overflow import DROPS
from otelwarden.quota.reserve import Decided, ErrorReserve, HeldItem, HeldTrace
from otelwarden.quota.reserveconfig import ReserveConfig
from otelwarden.quota.verdict import DecidedTraceState, Verdict, verdict_of

_LOOKS: Final = 4
"""Times that traces are looked for in `max_age` that have waited for too long."""


class ErrorReserveSpanProcessor(SpanStageProcessor):
    """Holds the spans of traces that `QuotaSampler` would have dropped for their rate, until the first of them ends.

    Then those of a trace with an error are sampled after all, if the reserve of its tenant has enough left, and handed
    on; they have no `th`, as no probability has kept them. All others are dropped, for `rate`. All other spans pass.

    `force_flush` hands on the traces that have an error already; the others go on waiting. `shutdown` decides about
    all. What waits is `held` in the ledger `reserve`, which has accounts of these spans alone.

    Args:
        next_processor: a `QuotaSpanProcessor`, which charges what is handed on.
        limiter: shared with the sampler; with a `reserve` in its configuration.
        resolver: whose a span is that no stage before this one has asked about.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        limiter: QuotaLimiter,
        resolver: TenantResolver | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        config = limiter.config.reserve or ReserveConfig()
        self._reserve = ErrorReserve(config, limiter.take_reserve, clock=limiter.clock)
        self._closed = False
        super().__init__(
            next_processor,
            lambda span, state: span,
            component="reserve",
            on_error="pass",
            resolver=resolver,
            runtime=runtime,
            held=self._reserve.held,
            held_bytes=self._reserve.held_bytes,
        )
        self._watcher = Watcher(self, name="reserve")
        self._interval = max(0.05, config.max_age / _LOOKS)
        run_in_child_after_fork(self._reserve.restart_after_fork)

    def on_end(self, span: ReadableSpan) -> None:
        """Holds a span of a trace that waits, and hands on any other."""
        verdict = verdict_of(span.context.trace_state)
        if verdict is None or verdict.held is None:
            self._next_on_end(span)
        else:
            self._hold(span, verdict.held)

    def _hold(self, span: ReadableSpan, trace: HeldTrace) -> None:
        stage = self._stage
        state = end_span(span, self._resolver)
        account = self._stage.ledger.account(state.tenant)
        account.received.tick()
        size = stage.receive_bytes(span, account)
        try:
            failed = span.status.status_code is StatusCode.ERROR
            decided = self._reserve.hold(
                trace, HeldItem(span, state.tenant, size), failed=failed, last=span.parent is None
            )
        except Exception as error:
            stage.errors.record("hold", error)
            stage.dropped(span, state.tenant, DROP_ON_ERROR, size)
            return
        if not self._watcher.started:
            self._watcher.start(self._interval)
        self._settle(decided if not self._closed else [*decided, *self._reserve.everything()])

    def _settle(self, decided: Iterable[Decided]) -> None:
        for kept, items in decided:
            for item, tenant, size in items:
                if kept:
                    self._hand_on(item, tenant, size)
                else:
                    self._stage.dropped(item, tenant, DROPS[RATE], size)

    def _hand_on(self, span: ReadableSpan, tenant: str, size: int) -> None:
        try:
            self._next_on_end(_sampled(span, end_span(span, self._resolver)))
        except Exception as error:
            self._stage.errors.record("next.on_end", error)
            self._stage.dropped(span, tenant, DROP_ON_ERROR, size)
            return
        account = self._stage.ledger.account(tenant)
        account.forwarded.tick()
        account.forwarded_bytes.add(size)

    def reload(self) -> bool:
        """Decides about the traces that have waited for too long; whether there were any."""
        decided = self._reserve.expire()
        self._settle(decided)
        return bool(decided)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hands on the traces that have an error already, and flushes the next in line."""
        self._settle(self._reserve.failed_so_far())
        return super().force_flush(timeout_millis)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Decides about everything that waits, and shuts down the next in line."""
        self._closed = True
        self._watcher.stop()
        self._settle(self._reserve.everything())
        super().shutdown(timeout_millis)


def _sampled(span: ReadableSpan, state: ItemState) -> ReadableSpan:
    """A copy of a span that is sampled after all, at a probability that nobody knows."""
    context: SpanContext = span.context
    verdict = verdict_of(context.trace_state)
    trace_state = with_threshold(context.trace_state, None)
    if verdict is not None:
        trace_state = DecidedTraceState.of(trace_state, Verdict(*verdict[:4]))
    flags = TraceFlags(context.trace_flags | TraceFlags.SAMPLED)
    copy = copy_span(
        span, context=SpanContext(context.trace_id, context.span_id, context.is_remote, flags, trace_state)
    )
    if isinstance(state, SpanState):
        set_state(copy, state.replaced(sampled=True, trace_state=trace_state))
    return copy
