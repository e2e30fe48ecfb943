"""What is known about an item beside its telemetry: whose it is, how sensitive, whether its trace is kept.

`on_end` gets another object than `on_start` did, perhaps in another thread and with no current context; an attribute
set at the start is the first to be evicted at the attribute limit, and the application may overwrite it. So the state
is kept here and the attribute is only its image. A span's state hangs on the live `Span`, where its children find it
even after it ended, and is found by span id when it ends. From then on it rides on the item, through batches, exporters
and copies.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final, Literal, TypeAlias

from opentelemetry.context import get_current
from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import get_current_span

from otelwarden.core._sdk import BAGGAGE_KEY, item_attributes
from otelwarden.core.context import TENANT_KEY
from otelwarden.core.protocols import UNATTRIBUTED, Identity, TenantResolver
from otelwarden.core.threshold import probability_of

LogRecord: TypeAlias = ReadWriteLogRecord | ReadableLogRecord
Item: TypeAlias = ReadableSpan | LogRecord
Classification: TypeAlias = Literal["public", "internal", "confidential", "restricted"]

MAX_LIVE_SPANS: Final = 65_536
"""States kept for spans that have not ended; beyond, the oldest goes."""

MAX_AGE: Final = 6 * 3600.0
"""Seconds after which a span that has not ended is taken for one that never will."""

_SWEEP_EVERY: Final = 1024
_STATE: Final = "_otelwarden_state"


class ItemState:
    """Whose an item is and how it is classified.

    Attributes:
        tenant: whose telemetry the item is.
        source: how that is known; see `Identity`.
        classification: the highest class of data found in the item, None while nothing has looked.
    """

    __slots__ = ("classification", "source", "tenant")

    def __init__(self, tenant: str, source: str) -> None:
        self.tenant = tenant
        self.source = source
        self.classification: Classification | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tenant!r}, {self.source!r})"


class SpanState(ItemState):
    """The state of a span.

    Attributes:
        sampled: whether its trace is kept. Only sampled spans are exported and charged.
        probability: at which probability it was sampled, in (0, 1]; None when not known.
        local_root: span id of the first span of its trace in this process.
    """

    __slots__ = ("_baggage", "_born_ns", "_named", "local_root", "probability", "sampled")

    def __init__(
        self,
        identity: Identity,
        *,
        sampled: bool,
        probability: float | None,
        local_root: int,
        named: object = None,
        baggage: object = None,
    ) -> None:
        self.tenant, self.source = identity
        self.classification = None
        self.sampled = sampled
        self.probability = probability
        self.local_root = local_root
        self._named = named
        self._baggage = baggage
        self._born_ns = time.monotonic_ns()

    def _child(self, sampled: bool) -> SpanState:
        state = SpanState.__new__(SpanState)
        state.tenant = self.tenant
        state.source = self.source
        state.classification = None
        state.sampled = sampled
        state.probability = self.probability
        state.local_root = self.local_root
        state._named = self._named
        state._baggage = self._baggage
        state._born_ns = time.monotonic_ns()
        return state

    def _told_the_same(self, context: Context) -> bool:
        """Whether `context` names the tenant that was named when this state was made."""
        return context.get(TENANT_KEY) == self._named and context.get(BAGGAGE_KEY) is self._baggage


class LiveSpans:
    """The states of the spans that have not ended, by span id. Bounded by number and by age."""

    def __init__(self, *, max_spans: int = MAX_LIVE_SPANS, max_age: float = MAX_AGE) -> None:
        self._max_spans = max_spans
        self._max_age_ns = int(max_age * 1e9)
        self._states: dict[int, SpanState] = {}
        self._until_sweep = _SWEEP_EVERY
        self._lock = threading.RLock()
        self.expired = 0
        """Spans whose state was given up before they ended."""

    def __len__(self) -> int:
        return len(self._states)

    def add(self, span_id: int, state: SpanState) -> None:
        """Keeps `state` until `take`."""
        self._states[span_id] = state
        self._until_sweep -= 1
        if self._until_sweep <= 0 or len(self._states) > self._max_spans:
            self._sweep()

    def take(self, span_id: int) -> SpanState | None:
        """The state of the span that ends now; None when it was given up or never made."""
        return self._states.pop(span_id, None)

    def _sweep(self) -> None:
        self._until_sweep = _SWEEP_EVERY
        oldest_allowed = time.monotonic_ns() - self._max_age_ns
        with self._lock:
            excess = len(self._states) - self._max_spans
            # Oldest first, as dictionaries keep their order; a copy, as other threads add and take meanwhile.
            for span_id, state in list(self._states.items()):
                if excess <= 0 and state._born_ns >= oldest_allowed:
                    break
                if self._states.pop(span_id, None) is not None:
                    self.expired += 1
                    excess -= 1


live_spans: Final = LiveSpans()
"""The live spans of this process. One for all pipelines: a span has one tenant, however many chains it passes."""

_NOBODY: Final = ItemState(UNATTRIBUTED, "default")


def begin_span(span: Span, parent_context: Context | None, resolver: TenantResolver) -> SpanState:
    """The state of a span that starts, made by whichever stage asks first.

    It is inherited from the parent `Span` object, unless the context names another tenant than it did for the parent.

    Args:
        parent_context: what the SDK hands to `on_start`; None means the current context.
        resolver: asked at a local root.
    """
    existing: SpanState | None = span.__dict__.get(_STATE)
    if existing is not None:
        return existing
    context = get_current() if parent_context is None else parent_context
    parent: SpanState | None = getattr(get_current_span(context), _STATE, None)
    span_context = span.get_span_context()
    sampled = span_context.trace_flags.sampled
    if parent is not None and parent._told_the_same(context):
        state = parent._child(sampled)
    else:
        state = SpanState(
            resolver.resolve(context, span.resource.attributes, item_attributes(span)),
            sampled=sampled,
            probability=probability_of(span_context.trace_state) if parent is None else parent.probability,
            local_root=span_context.span_id if parent is None else parent.local_root,
            named=context.get(TENANT_KEY),
            baggage=context.get(BAGGAGE_KEY),
        )
    span.__dict__[_STATE] = state
    live_spans.add(span_context.span_id, state)
    return state


def end_span(span: ReadableSpan, resolver: TenantResolver) -> SpanState:
    """The state of a span that has ended; from here on it rides on the item.

    A span whose state was given up is judged by what is left of it: its resource, its attributes, its flags.
    """
    state: SpanState | None = span.__dict__.get(_STATE)
    if state is None:
        context = span.context
        state = live_spans.take(context.span_id)
        if state is None:
            state = SpanState(
                resolver.resolve(Context(), span.resource.attributes, item_attributes(span)),
                sampled=context.trace_flags.sampled,
                probability=probability_of(context.trace_state),
                local_root=0,
            )
        span.__dict__[_STATE] = state
    return state


def begin_log(record: ReadWriteLogRecord, resolver: TenantResolver) -> ItemState:
    """The state of a log record, inherited from the span it was made in or resolved from its own context."""
    existing: ItemState | None = record.__dict__.get(_STATE)
    if existing is not None:
        return existing
    context = record.log_record.context
    if context is None:
        context = Context()
    parent: SpanState | None = getattr(get_current_span(context), _STATE, None)
    if parent is not None and parent._told_the_same(context):
        state = ItemState(parent.tenant, parent.source)
    else:
        resource = record.resource.attributes if record.resource is not None else {}
        state = ItemState(*resolver.resolve(context, resource, record.log_record.attributes or {}))
    record.__dict__[_STATE] = state
    return state


def state_of(item: Item) -> ItemState:
    """The state that rides on an item; of one that passed no stage, that of nobody's telemetry."""
    state: ItemState | None = item.__dict__.get(_STATE)
    return _NOBODY if state is None else state


def carry_state(source: Item, copy: Any) -> None:
    """Makes a copy of an item carry the same state."""
    state = source.__dict__.get(_STATE)
    if state is not None:
        copy.__dict__[_STATE] = state
