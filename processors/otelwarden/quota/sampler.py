"""The main gate for spans: whole traces are kept or dropped where they begin in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.context.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.util.types import Attributes

from otelwarden.core import (
    IS_REMOTE,
    IS_VALID,
    TRACE_FLAGS,
    TRACE_STATE,
    TRACES,
    UNATTRIBUTED,
    ContextResolver,
    Runtime,
    TenantResolver,
    current_context,
    default_runtime,
    names_another,
    parent_context_of,
    parent_state,
    probability_of,
    randomness_of,
    threshold_of,
    with_threshold,
)
from otelwarden.quota.limiter import Beginning, QuotaLimiter
from otelwarden.quota.meters import BUDGET, RATE
from otelwarden.quota.reserve import HeldTrace
from otelwarden.quota.verdict import OVER_LIMIT, DecidedTraceState, Verdict, verdict_of

_SAMPLED: Final = int(TraceFlags.SAMPLED)
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
        self._accounts = self._runtime.ledger("sampler", TRACES).accounts
        self._errors = self._runtime.errors("sampler")
        config = limiter.config
        self._observe = config.overflow == "observe"
        self._reroute = config.overflow == "reroute"
        self._sample = threshold_of(config.sample_ratio) if config.overflow == "sample" else None
        self._may_wait = config.reserve is not None and not self._observe and not self._reroute

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
        context = current_context() if parent_context is None else parent_context
        parent: Any = parent_context_of(context)
        try:
            if not parent[IS_VALID]:
                return self._new_trace(context, trace_id, name, kind, attributes, links)
            if parent[IS_REMOTE]:
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
        tenant = self._tenant(context, attributes)
        share: float | None = 1.0
        state: TraceState | None = None
        if self._root is not ALWAYS_ON:
            first = self._root.should_sample(context, trace_id, name, kind, attributes, links)
            attributes, state = first.attributes, first.trace_state
            if first.decision is not Decision.RECORD_AND_SAMPLE:
                decided = DecidedTraceState.of(state, Verdict.of(context, tenant, reason=NOT_SAMPLED))
                self._settle(tenant, NOT_SAMPLED if first.decision is Decision.DROP else None)
                return SamplingResult(first.decision, attributes, decided)
            share = probability_of(state)
        randomness = randomness_of(trace_id, state)
        begun = self._limiter.begin_trace(tenant, randomness, share or 1.0)
        if self._sample is not None:
            begun = _sampled(begun, randomness, self._sample)
        waits = begun.reason == RATE and self._may_wait and self._limiter.has_reserve(tenant)
        held = HeldTrace(tenant) if waits else None
        verdict = Verdict.of(context, tenant, begun.spans, begun.ended, begun.reason, held)
        begun.spans.tick()
        self._settle(tenant, None if waits else begun.reason, trace_id)
        if begun.reason is None or self._observe:
            threshold = 0 if self._observe else begun.threshold
            return _kept(attributes, _kept_state(state, share, threshold, verdict))
        decided = DecidedTraceState.of(with_threshold(state, None), verdict)
        if self._reroute:
            return _kept(attributes, decided)
        return _recorded(attributes, decided) if waits else _dropped(decided)

    def _remote_child(
        self, context: Context, parent: SpanContext, trace_id: int, attributes: Attributes
    ) -> SamplingResult:
        tenant = self._tenant(context, attributes)
        sampled = parent.trace_flags.sampled
        offered = self._limiter.admission_of(tenant).unbidden if sampled else None
        verdict = Verdict.of(context, tenant, offered, reason=None if sampled else NOT_SAMPLED)
        state = DecidedTraceState.of(parent.trace_state, verdict)
        if offered is not None:
            offered.tick()
        self._settle(tenant, verdict.reason, trace_id)
        return _kept(attributes, state) if sampled else _dropped(state)

    def _local_child(self, context: Context, parent: Any, trace_id: int, attributes: Attributes) -> SamplingResult:
        state = parent[TRACE_STATE]
        verdict = verdict_of(state)
        sampled = parent[TRACE_FLAGS] & _SAMPLED != 0
        tenant = self._tenant_of_child(context, verdict, attributes)
        if verdict is not None and tenant == verdict.tenant:
            offered = verdict.offered
        elif sampled:
            offered = self._limiter.admission_of(tenant).unbidden
        else:
            offered = None
            if verdict is not None:  # as this span has no state by which its own children would find their tenant
                state = DecidedTraceState.of(state, verdict.about(context, tenant))
        if offered is not None:
            offered.tick()
        waits = verdict is not None and verdict.held is not None and verdict.held.kept is not False
        reason = verdict.reason if verdict is not None else None if sampled else NOT_SAMPLED
        self._settle(tenant, None if waits else reason, trace_id)
        if waits:
            return _recorded(attributes, state)
        return _kept(attributes, state) if sampled else _dropped(state)

    def _tenant_of_child(self, context: Context, verdict: Verdict | None, attributes: Attributes) -> str:
        """The tenant of a span with a parent in this process: the parent's, unless the context names another."""
        # A parent that is not recorded has no state; what was named where the trace began is known.
        known = parent_state(context) or verdict
        if known is not None and not names_another(known, context):
            return known.tenant
        return self._tenant(context, attributes)

    def _tenant(self, context: Context, attributes: Attributes) -> str:
        return self._resolver.resolve(context, self._resource, attributes or {}).tenant

    def _settle(self, tenant: str, reason: str | None, trace_id: int = 0) -> None:
        """Accounts for one call; `reason` says why the span is dropped, or would be when only observing."""
        account = self._accounts[tenant]
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


def _recorded(attributes: Attributes, state: TraceState | None) -> SamplingResult:
    return SamplingResult(Decision.RECORD_ONLY, attributes, state)


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
