"""The main gate for spans: whole traces are kept or dropped where they begin in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.context import get_current
from opentelemetry.context.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from otelwarden.core import (
    TRACES,
    UNATTRIBUTED,
    ContextResolver,
    Runtime,
    TenantResolver,
    default_runtime,
    get_tenant,
    probability_of,
    randomness_of,
    threshold_of,
    with_threshold,
)
from otelwarden.quota.limiter import Beginning, QuotaLimiter
from otelwarden.quota.meters import BUDGET, RATE
from otelwarden.quota.verdict import OVER_LIMIT, DecidedTraceState, Verdict, verdict_of

NOT_SAMPLED: Final = "not_sampled"
_EVERYTHING: Final = with_threshold(None, 0)


class QuotaSampler(Sampler):
    """Keeps as many whole traces of each tenant as its rate of spans allows.

    Decides once for each trace, at its first span in this process; all local descendants obey. A trace with a sampled
    remote parent is kept, so that it is whole across services, and counts against the rate; one with an unsampled
    remote parent is dropped. Any other belongs to the tenant that `resolver` names, and is kept if its randomness (the
    `rv` that `root` wrote, else the last 56 bits of the trace id) is at least the threshold for the probability that
    `Admission` finds. The threshold is written into the trace state (`ot=th:...`), so that a kept span is known to
    stand for 1 / p spans. The threshold of an earlier decision is only ever raised; where an earlier decision told no
    threshold, none is written.

    Every call is accounted for in the ledger `sampler`: received, and forwarded or dropped for the reason `rate` or
    `budget`, or `not_sampled` when the remote parent or `root` said so. Only the first two are told as events.

    Args:
        limiter: shared with the processors.
        resolver: says whose a trace is; None for what `use_tenant` said.
        root: decides first about traces that begin here. Samplers that write a threshold, or keep everything, leave
            counts unbiased.
        resource: of the tracer provider, which the SDK does not tell a sampler; None if no tenant is found by it.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self,
        limiter: QuotaLimiter,
        *,
        resolver: TenantResolver | None = None,
        root: Sampler = ALWAYS_ON,
        resource: Resource | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._limiter = limiter
        self._resolver = resolver or ContextResolver()
        self._root = root
        self._resource = resource.attributes if resource is not None else {}
        self._runtime = runtime or default_runtime()
        self._account = self._runtime.ledger("sampler", TRACES).account
        self._errors = self._runtime.errors("sampler")
        config = limiter.config
        self._observe = config.overflow == "observe"
        self._reroute = config.overflow == "reroute"
        self._sample = threshold_of(config.sample_ratio) if config.overflow == "sample" else None

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Keeps or drops; adds no attributes and never raises. See `Sampler.should_sample` for the arguments."""
        parent = get_current_span(parent_context).get_span_context()
        context = get_current() if parent_context is None else parent_context
        try:
            if not parent.is_valid:
                return self._new_trace(context, trace_id, name, kind, attributes, links)
            if parent.is_remote:
                return self._remote_child(context, parent, trace_id, attributes)
            return self._local_child(context, parent, trace_id, attributes)
        except Exception as error:
            self._errors.record("should_sample", error)
            sampled = not parent.is_valid or parent.trace_flags.sampled
            self._settle(UNATTRIBUTED, None if sampled else NOT_SAMPLED)
            return _kept(attributes, parent.trace_state) if sampled else _dropped(parent.trace_state)

    def get_description(self) -> str:
        """`QuotaSampler{root:..., overflow:...}`."""
        return f"QuotaSampler{{root:{self._root.get_description()},overflow:{self._limiter.config.overflow}}}"

    def _new_trace(
        self,
        context: Context,
        trace_id: int,
        name: str,
        kind: SpanKind | None,
        attributes: Attributes,
        links: Sequence[Link] | None,
    ) -> SamplingResult:
        tenant, named = self._tenant(context, attributes), get_tenant(context)
        share: float | None = 1.0
        state: TraceState | None = None
        if self._root is not ALWAYS_ON:
            first = self._root.should_sample(context, trace_id, name, kind, attributes, links)
            attributes, state = first.attributes, first.trace_state
            if first.decision is not Decision.RECORD_AND_SAMPLE:
                decided = DecidedTraceState.of(state, Verdict(tenant, named, None, None, NOT_SAMPLED))
                self._settle(tenant, NOT_SAMPLED if first.decision is Decision.DROP else None)
                return SamplingResult(first.decision, attributes, decided)
            share = probability_of(state)
        randomness = randomness_of(trace_id, state)
        begun = self._limiter.begin_trace(tenant, randomness, share or 1.0)
        if self._sample is not None:
            begun = _sampled(begun, randomness, self._sample)
        verdict = Verdict(tenant, named, begun.spans, begun.ended, begun.reason)
        if begun.reason is None or self._observe:
            threshold = 0 if self._observe else begun.threshold
            result = _kept(attributes, _kept_state(state, share, threshold, verdict))
        elif self._reroute:
            result = _kept(attributes, DecidedTraceState.of(with_threshold(state, None), verdict))
        else:
            result = _dropped(DecidedTraceState.of(with_threshold(state, None), verdict))
        begun.spans.tick()
        self._settle(tenant, verdict.reason, trace_id)
        return result

    def _remote_child(
        self, context: Context, parent: SpanContext, trace_id: int, attributes: Attributes
    ) -> SamplingResult:
        tenant = self._tenant(context, attributes)
        sampled = parent.trace_flags.sampled
        offered = self._limiter.admission_of(tenant).unbidden if sampled else None
        verdict = Verdict(tenant, get_tenant(context), offered, None, None if sampled else NOT_SAMPLED)
        state = DecidedTraceState.of(parent.trace_state, verdict)
        if offered is not None:
            offered.tick()
        self._settle(tenant, verdict.reason, trace_id)
        return _kept(attributes, state) if sampled else _dropped(state)

    def _local_child(
        self, context: Context, parent: SpanContext, trace_id: int, attributes: Attributes
    ) -> SamplingResult:
        verdict = verdict_of(parent.trace_state)
        sampled = parent.trace_flags.sampled
        reason = None if sampled else NOT_SAMPLED
        offered = None
        if verdict is not None and get_tenant(context) == verdict.named:
            tenant, offered = verdict.tenant, verdict.offered
        else:
            tenant = self._tenant(context, attributes)
            if sampled:
                offered = self._limiter.admission_of(tenant).unbidden
        if verdict is not None:
            reason = verdict.reason
        if offered is not None:
            offered.tick()
        self._settle(tenant, reason, trace_id)
        return _kept(attributes, parent.trace_state) if sampled else _dropped(parent.trace_state)

    def _tenant(self, context: Context, attributes: Attributes) -> str:
        return self._resolver.resolve(context, self._resource, attributes or {}).tenant

    def _settle(self, tenant: str, reason: str | None, trace_id: int = 0) -> None:
        """Accounts for one call; `reason` says why the span is dropped, or would be when only observing."""
        account = self._account(tenant)
        account.received.tick()
        over = reason in OVER_LIMIT
        if reason is None or (over and (self._observe or self._reroute)):
            account.forwarded.tick()
        else:
            account.dropped(reason).tick()
        if reason is not None and over and not self._reroute:  # who reroutes a span tells of it
            action = "would_drop" if self._observe else "drop"
            self._runtime.emit("sampler", action, reason, tenant=tenant, signal=TRACES, trace_id=trace_id)


def _sampled(begun: Beginning, randomness: int, least: int) -> Beginning:
    """The decision, but that a trace of the sample is kept: one whose randomness is `least` or more."""
    # While the rate keeps a larger share than the sample, that holds; a budget that is used up keeps none beside it.
    threshold = least if begun.reason == BUDGET else min(begun.threshold, least)
    reason = None if randomness >= threshold else begun.reason or RATE
    return begun._replace(reason=reason, threshold=threshold)


def _kept(attributes: Attributes, state: TraceState | None) -> SamplingResult:
    return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)


def _dropped(state: TraceState | None) -> SamplingResult:
    return SamplingResult(Decision.DROP, None, state)


def _kept_state(state: TraceState | None, share: float | None, threshold: int, verdict: Verdict) -> DecidedTraceState:
    """The trace state of a trace that is kept.

    Args:
        share: at which probability an earlier decision kept the trace; None when it told none, so that the probability
            of both together is not known either.
    """
    if share is None:
        return DecidedTraceState.of(state, verdict)
    if not state:
        return DecidedTraceState.of(_EVERYTHING if threshold == 0 else with_threshold(None, threshold), verdict)
    if threshold > threshold_of(share) or probability_of(state) is None:
        state = with_threshold(state, threshold)
    return DecidedTraceState.of(state, verdict)
