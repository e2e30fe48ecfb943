"""What is known about an item beside its telemetry: whose it is, how sensitive, whether its trace is kept.

`on_end` gets another object than `on_start` did, perhaps in another thread and with no current context; an attribute
set at the start is the first to be evicted at the attribute limit, and the application may overwrite it. So the state
is kept here and the attribute is only its image. A span's state hangs on what the live `Span` and the finished one have
in common, where its children find it even after it ended. From the end on it rides on the item, through batches,
exporters and copies.
"""

from __future__ import annotations

from copy import copy as copy_of
from typing import Any, Final, Literal, Protocol, TypeAlias

from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import TraceFlags, TraceState
from typing_extensions import Self

from otelwarden.core._sdk import (
    BAGGAGE_KEY,
    SPAN_KEY,
    STATE,
    current_context,
    item_attributes,
    lineage_of,
    span_context_of,
    state_at_end,
    state_left_on,
)
from otelwarden.core.context import TENANT_KEY, TOKEN_KEY
from otelwarden.core.protocols import UNATTRIBUTED, Identity, TenantResolver
from otelwarden.core.threshold import probability_of

LogRecord: TypeAlias = ReadWriteLogRecord | ReadableLogRecord
Item: TypeAlias = ReadableSpan | LogRecord
Classification: TypeAlias = Literal["public", "internal", "confidential", "restricted"]

_SAMPLED: Final = int(TraceFlags.SAMPLED)


class ItemState:
    """Whose an item is and how it is classified. Never changed once made: items of one trace share it.

    Attributes:
        tenant: whose telemetry the item is.
        source: how that is known; see `Identity`.
        classification: the highest class of data found in the item, None while nothing has looked.
    """

    __slots__ = ("classification", "source", "tenant")
    sampled: bool = True
    """Whether it is kept; only of a span may it be said that it is not."""

    def __init__(self, tenant: str, source: str, classification: Classification | None = None) -> None:
        self.tenant = tenant
        self.source = source
        self.classification = classification

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("tenant", "source", "classification"))
        return f"{type(self).__name__}({fields})"

    def replaced(self, **changes: Any) -> Self:
        """A state like this one, with other values for the attributes named."""
        copy = copy_of(self)
        for name, value in changes.items():
            setattr(copy, name, value)
        return copy


class SpanState(ItemState):
    """The state of a span, shared by the spans of a trace in this process.

    Attributes:
        sampled: whether the trace is kept. Only sampled spans are exported and charged.
        trace_state: that of the local root.
        local_root: span id of the first span of its trace in this process; 0 when not known.
        named: the tenant that the context named when the state was made, None for none.
        baggage: the baggage of that context; `is` tells whether it is still the same.
        token: the token of that context, likewise.
    """

    __slots__ = ("baggage", "local_root", "named", "sampled", "token", "trace_state")

    def __init__(
        self,
        identity: Identity,
        sampled: bool,
        trace_state: TraceState,
        local_root: int,
        named: object = None,
        baggage: object = None,
        token: object = None,
    ) -> None:
        self.tenant, self.source = identity
        self.classification = None
        self.sampled = sampled
        self.trace_state = trace_state
        self.local_root = local_root
        self.named = named
        self.baggage = baggage
        self.token = token

    @property
    def probability(self) -> float | None:
        """At which probability the trace was sampled, in (0, 1]; None when not known."""
        return probability_of(self.trace_state)


_NOBODY: Final = SpanState(Identity(UNATTRIBUTED, "default"), True, TraceState(), 0)


class NamedTenant(Protocol):
    """What a context named when something was decided by it; None for what it did not."""

    @property
    def named(self) -> object:
        """The tenant itself."""
        ...

    @property
    def token(self) -> object:
        """A token."""
        ...

    @property
    def baggage(self) -> object:
        """Baggage."""
        ...


def names_another(known: NamedTenant, context: Context) -> bool:
    """Whether `context` names a tenant, itself, by a token or in baggage, that was not named when `known` was made."""
    baggage, named, token = context.get(BAGGAGE_KEY), context.get(TENANT_KEY), context.get(TOKEN_KEY)
    return (
        (named is not None and named != known.named)
        or (token is not None and token is not known.token)
        or (baggage is not None and baggage is not known.baggage)
    )


def parent_state(context: Context) -> SpanState | None:
    """The state of the span that is current in `context`; None when it is not recorded here, or passed no stage."""
    state: SpanState | None = state_left_on(context.get(SPAN_KEY))
    return state


def begin_span(span: Span, parent_context: Context | None, resolver: TenantResolver) -> SpanState:
    """The state of a span that starts, made by whichever stage asks first.

    It is that of the parent `Span` object, unless the context names another tenant than it did for the parent.

    Args:
        parent_context: what the SDK hands to `on_start`; None means the current context.
        resolver: asked at a local root.
    """
    context = current_context() if parent_context is None else parent_context
    get = context.get
    inherited: SpanState | None
    place, inherited, flags = lineage_of(span, get(SPAN_KEY))
    state: SpanState | None = getattr(place, STATE, None)
    if state is not None:
        return state
    sampled = flags & _SAMPLED != 0
    # The lines of `names_another`: calling it would cost a tenth of all that tenancy does for a span.
    if (
        inherited is None
        or inherited.sampled is not sampled
        or ((named := get(TENANT_KEY)) is not None and named != inherited.named)
        or ((token := get(TOKEN_KEY)) is not None and token is not inherited.token)
        or ((baggage := get(BAGGAGE_KEY)) is not None and baggage is not inherited.baggage)
    ):
        span_context = span_context_of(span)
        inherited = SpanState(
            resolver.resolve(context, span.resource.attributes, item_attributes(span)),
            sampled,
            span_context.trace_state if inherited is None else inherited.trace_state,
            span_context.span_id if inherited is None else inherited.local_root,
            get(TENANT_KEY),
            get(BAGGAGE_KEY),
            get(TOKEN_KEY),
        )
    place._otelwarden_state = inherited
    return inherited


def end_span(span: ReadableSpan, resolver: TenantResolver) -> SpanState:
    """The state of a span that has ended; from here on it rides on the item.

    A span that no stage saw start is judged by what is left of it: its resource, its attributes, its flags.
    """
    state: SpanState | None = getattr(span, STATE, None) or state_at_end(span)
    if state is None:
        context = span_context_of(span)
        state = SpanState(
            resolver.resolve(Context(), span.resource.attributes, item_attributes(span)),
            context.trace_flags.sampled,
            context.trace_state,
            0,
        )
        set_state(span, state)
    return state


def begin_log(record: ReadWriteLogRecord, resolver: TenantResolver) -> ItemState:
    """The state of a log record, inherited from the span it was made in or resolved from its own context."""
    existing: ItemState | None = getattr(record, STATE, None)
    if existing is not None:
        return existing
    context = record.log_record.context
    if context is None:
        context = Context()
    parent: SpanState | None = state_left_on(context.get(SPAN_KEY))
    state: ItemState
    if parent is not None and not names_another(parent, context):
        state = parent
    else:
        resource = record.resource.attributes if record.resource is not None else {}
        state = ItemState(*resolver.resolve(context, resource, record.log_record.attributes or {}))
    setattr(record, STATE, state)
    return state


def state_of(item: Item) -> ItemState:
    """The state that rides on an item; of one that passed no stage, that of nobody's telemetry."""
    state: ItemState | None = getattr(item, STATE, None)
    return _NOBODY if state is None else state


def set_state(item: Item, state: ItemState) -> None:
    """Makes `item` carry another state."""
    object.__setattr__(item, STATE, state)  # a readable log record is a frozen dataclass


def carry_state(source: Item, copy: Any) -> None:
    """Makes a copy of an item carry the same state."""
    state = getattr(source, STATE, None)
    if state is not None:
        set_state(copy, state)
