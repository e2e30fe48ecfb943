"""What the sampler decided about a trace in this process, found again at each of its spans.

The verdict rides on the trace state object that the SDK hands from a span to its children, kept or dropped. That costs
no table that would have to be bounded and could forget, and nothing leaves the process: only entries are propagated. A
trace state that the application changed is a plain one again, and the span is treated as one nobody decided about.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from opentelemetry.context.context import Context
from opentelemetry.trace import TraceState

from otelwarden.core import BAGGAGE_KEY, TENANT_KEY, TOKEN_KEY, Count
from otelwarden.quota.meters import BUDGET, RATE
from otelwarden.quota.reserve import HeldTrace

OVER_LIMIT: Final = frozenset((RATE, BUDGET))
"""Reasons of ours for dropping a trace."""


class Verdict(NamedTuple):
    """A decision at a local root, obeyed by all its local descendants."""

    tenant: str
    """The tenant of the local root."""
    named: object
    """What the root's context named: the tenant itself; a descendant whose context names another is asked for again."""
    token: object
    """Its token."""
    baggage: object
    """Its baggage."""
    offered: Count | None = None
    """Counts every span of the trace that belongs to this tenant; None where nothing is offered to its limit."""
    ended: Count | None = None
    """Counts the traces that were kept and whose first span ended; None where nobody waits for that."""
    reason: str | None = None
    """Why the spans are dropped, or would be when only observing; None when they are within the limit."""
    held: HeldTrace | None = None
    """Where they wait meanwhile, in case one of them has an error; None where none does."""

    @classmethod
    def of(
        cls,
        context: Context,
        tenant: str,
        offered: Count | None = None,
        ended: Count | None = None,
        reason: str | None = None,
        held: HeldTrace | None = None,
    ) -> Verdict:
        """The verdict about a trace that begins here in `context`."""
        get = context.get
        return cls(tenant, get(TENANT_KEY), get(TOKEN_KEY), get(BAGGAGE_KEY), offered, ended, reason, held)

    def about(self, context: Context, tenant: str) -> Verdict:
        """The same verdict about the spans of another tenant, which `context` names."""
        return Verdict.of(context, tenant, reason=self.reason, held=self.held)


class DecidedTraceState(TraceState):
    """A trace state that remembers the verdict about its trace."""

    verdict: Verdict

    @classmethod
    def of(cls, state: TraceState | None, verdict: Verdict) -> DecidedTraceState:
        """The same entries, with a verdict."""
        decided = cls(list(state.items()) if state else None)
        decided.verdict = verdict
        return decided


def verdict_of(state: TraceState | None) -> Verdict | None:
    """The verdict about the trace that a trace state belongs to; None when the sampler made none in this process."""
    return state.verdict if type(state) is DecidedTraceState else None
