"""Everything that otelwarden touches of the SDK without a public name for it, and nothing else.

Each has a test in `tests/core/test_sdk_privates.py` that fails loudly when it moves. Where the SDK's own objects may be
replaced by others (a wrapped span, a foreign mapping), there is a public way round.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry import context as context_api
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.baggage import _BAGGAGE_KEY
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, get_current, get_value, set_value
from opentelemetry.context.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics._internal.instrument import Gauge
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler, _get_from_env_or_default
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.propagation import _SPAN_KEY

BAGGAGE_KEY: Final = _BAGGAGE_KEY
"""Key of the baggage in a context: the mapping under it is replaced, never changed, so `is` tells two apart."""

SPAN_KEY: Final = _SPAN_KEY
"""Key of the current span in a context; the public function around it costs five times as much."""


_runtime_context: Any = context_api._RUNTIME_CONTEXT

current_context: Final[Callable[[], Context]] = (
    _runtime_context._current_context.get
    if type(_runtime_context) is ContextVarsRuntimeContext
    else context_api.get_current
)
"""`opentelemetry.context.get_current` without its two frames, which cost 0.1 us for every span."""

TRACE_ID: Final = 0
SPAN_ID: Final = 1
IS_REMOTE: Final = 2
TRACE_FLAGS: Final = 3
TRACE_STATE: Final = 4
IS_VALID: Final = 5
"""Places in a `SpanContext`, which is a tuple; the properties cost four times as much."""

STATE: Final = "_otelwarden_state"
"""The attribute, in Python's sense, under which the state of an item is found."""


def lineage_of(span: Any, parent: Any) -> tuple[Any, Any, int]:
    """Where the state of a span that starts is to be left, the state that its parent has, and its trace flags.

    The place is the span's attributes: they are what a live span and the `ReadableSpan` that the SDK makes at its end
    have in common. So a state lives exactly as long as somebody can still ask for it, and no table has to be kept of
    spans that never end.

    Args:
        span: of the SDK.
        parent: whatever the context has for its current span; a remote one, like any that is not the SDK's, has none.
    """
    inherited = None
    if parent is not None:
        try:
            inherited = parent._attributes._otelwarden_state
        except AttributeError:
            inherited = None
    return span._attributes, inherited, span._context[TRACE_FLAGS]


def state_left_on(span: Any) -> Any:
    """The state that was left on a span when it started; None for one without, or anything else."""
    return getattr(getattr(span, "_attributes", None), STATE, None)


def state_at_end(span: Any) -> Any:
    """The state of a finished span, which rides on itself from here on; None for one that nobody saw start."""
    try:
        state = span._otelwarden_state = span._attributes._otelwarden_state
    except AttributeError:
        return None
    return state


def span_context_of(span: Any) -> trace.SpanContext:
    """`ReadableSpan.context` without the property's frame."""
    context: trace.SpanContext = span._context
    return context


def parent_context_of(context: Context) -> trace.SpanContext:
    """The span context of what is current in `context`, by a fifth of the frames of `trace.get_current_span`."""
    span: Any = context.get(SPAN_KEY)
    if span is None:
        return trace.INVALID_SPAN_CONTEXT
    found = getattr(span, "_context", None)
    return found if type(found) is trace.SpanContext else trace.get_current_span(context).get_span_context()


def item_attributes(item: ReadableSpan | ReadableLogRecord | ReadWriteLogRecord) -> Mapping[str, Any]:
    """The attributes of a span or log record, read-only by convention.

    `ReadableSpan.attributes` wraps a proxy around a Python-level mapping, where each look-up costs 0.5 us. The
    dictionary inside costs 0.05.
    """
    return span_attributes(item) if isinstance(item, ReadableSpan) else log_attributes(item)


def span_attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """`item_attributes` of a span."""
    attributes = span._attributes
    return attributes._dict if type(attributes) is BoundedAttributes else plain_attributes(attributes)


def log_attributes(record: ReadableLogRecord | ReadWriteLogRecord) -> Mapping[str, Any]:
    """`item_attributes` of a log record."""
    attributes = record.log_record.attributes
    return attributes._dict if type(attributes) is BoundedAttributes else plain_attributes(attributes)


def plain_attributes(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The dictionary inside any attributes, read-only by convention."""
    if type(attributes) is BoundedAttributes:
        return attributes._dict
    return attributes if attributes is not None else {}


def copy_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A shallow copy of the attributes of a log record, which keeps the count of dropped ones."""
    if type(attributes) is not BoundedAttributes:
        return dict(attributes)
    if not attributes.dropped:
        return attributes._dict.copy()
    copy = BoundedAttributes(immutable=False)
    copy._dict = attributes._dict.copy()
    copy.dropped = attributes.dropped
    return copy


def with_values(attributes: Mapping[str, Any] | None, values: dict[str, Any]) -> Mapping[str, Any]:
    """Attributes that hold other values, and keep the limits and the count of dropped ones.

    Args:
        values: kept as they are. The SDK's constructor would clean each of them, which takes 1 us for one.
    """
    if type(attributes) is not BoundedAttributes:
        return values
    copy = object.__new__(BoundedAttributes)
    copy.__dict__.update(attributes.__dict__)
    copy._dict = values
    return copy


def tag_span(span: Span, key: str, value: str | int | float | bool) -> None:
    """Sets an attribute of a span that has just started, at half the cost of `set_attribute`.

    Nobody else has the span yet, so the lock can be spared, and a tag needs no cleaning.
    """
    attributes = span._attributes
    if type(attributes) is BoundedAttributes:
        tags, limit = attributes._dict, attributes.maxlen
        if limit is None or len(tags) < limit:
            tags[key] = value
            return
    span.set_attribute(key, value)


def tag_log(record: ReadWriteLogRecord, key: str, value: str | int | float | bool) -> bool:
    """Sets an attribute of a log record as `tag_span` does, unless another would have to go; whether it is set."""
    attributes = record.log_record.attributes
    if type(attributes) is not BoundedAttributes or attributes._immutable:
        return False
    tags, limit = attributes._dict, attributes.maxlen
    if limit is not None and len(tags) >= limit and key not in tags:
        return False
    tags[key] = value
    return True


def events_of(span: ReadableSpan) -> Sequence[Event]:
    """The events of a span; the property makes a list and a tuple even where there are none."""
    events = span._events
    return () if type(events) is BoundedList and not events._dq else span.events  # type: ignore[attr-defined]


def links_of(span: ReadableSpan) -> Sequence[trace.Link]:
    """The links of a span, as `events_of`."""
    links = span._links
    return () if type(links) is BoundedList and not links._dq else span.links  # type: ignore[attr-defined]


def fields_of(span: ReadableSpan) -> tuple[Any, Any, str, Any, int | None, int | None, Any, Mapping[str, Any], bool]:
    """Context, parent, name, kind, start and end, status and attributes of a span; whether that is all there is of it.

    It is where there are no events and links, and none were dropped, nor attributes. In one call: the properties and
    the checks inside them cost 1.5 us.
    """
    attributes, events, links = span._attributes, span._events, span._links
    values: Mapping[str, Any]
    if type(attributes) is BoundedAttributes and type(events) is BoundedList and type(links) is BoundedList:
        lists: Any = (events, links)
        values = attributes._dict
        all_there_is = not (attributes.dropped or lists[0]._dq or lists[1]._dq or lists[0].dropped or lists[1].dropped)
    else:
        values, all_there_is = plain_attributes(attributes), False
    return (
        span._context,
        span._parent,
        span._name,
        span._kind,
        span._start_time,
        span._end_time,
        span._status,
        values,
        all_there_is,
    )


def bare_attributes(span: ReadableSpan) -> Mapping[str, Any] | None:
    """The attributes of a span that holds no text elsewhere than in them and in its name.

    None for one with events, links, a status description or a trace state. In one call, as the properties cost 1 us.
    """
    events: Any = span._events
    links: Any = span._links
    context = span._context
    if (
        (events._dq if type(events) is BoundedList else events)  # type: ignore[attr-defined]
        or (links._dq if type(links) is BoundedList else links)  # type: ignore[attr-defined]
        or context is None
        or context.trace_state
        or span._status.description
    ):
        return None
    attributes = span._attributes
    return attributes._dict if type(attributes) is BoundedAttributes else plain_attributes(attributes)


def bare_spans(
    spans: Sequence[ReadableSpan],
) -> tuple[list[tuple[tuple[str], Mapping[str, Any]] | None], list[tuple[Resource, InstrumentationScope | None]]]:
    """Name and attributes of each span that holds no text elsewhere, None for any other; resource and scope of all."""
    items: list[Any] = []
    envelopes = []
    for each in spans:
        span: Any = each
        envelopes.append((span._resource, span._instrumentation_scope))
        # The span of an SDK that nobody has touched, at half the price of `bare_attributes`.
        try:
            if not (span._events._dq or span._links._dq or span._context.trace_state or span._status.description):
                items.append(((span._name,), span._attributes._dict))
                continue
        except AttributeError:
            attributes = bare_attributes(span)
            if attributes is not None:
                items.append(((span._name,), attributes))
                continue
        items.append(None)
    return items, envelopes


def with_attributes(
    span: ReadableSpan,
    attributes: dict[str, Any],
    *,
    name: str,
    resource: Resource,
    scope: InstrumentationScope | None,
) -> ReadableSpan | None:
    """A copy of a finished span of the SDK, which shares with it what is not given; None for a span of any other class.

    It takes a quarter of what the copy through public names does, which makes tuples of events and links.
    """
    if type(span) is not ReadableSpan:
        return None
    old = span._attributes
    new: Mapping[str, Any] = attributes
    if type(old) is BoundedAttributes and old.dropped:
        new = BoundedAttributes(immutable=False)
        new._dict = attributes
        new.dropped = old.dropped
    return ReadableSpan(
        name,
        span._context,
        span._parent,
        resource,
        new,
        span._events,
        span._links,
        span._kind,
        span._instrumentation_info,
        span._status,
        span._start_time,
        span._end_time,
        scope,
    )


def forward_on_ending(processor: SpanProcessor, span: Span) -> None:
    """Calls the hook that the SDK calls while a span ends (the specification's OnEnding, in development)."""
    processor._on_ending(span)


class EndingHook(SpanProcessor):
    """A span processor that hands OnEnding to the processor it decorates."""

    _next: SpanProcessor

    def _on_ending(self, span: Span) -> None:
        try:
            forward_on_ending(self._next, span)
        except Exception as error:
            self.ending_failed(error)

    def ending_failed(self, error: Exception) -> None:
        """Told what the next in line raised. Were it to escape, the SDK would not even end the span."""


def set_collect_callback(reader: MetricReader, collect: Any) -> None:
    """Hands a metric reader the function that collects, as a `MeterProvider` does."""
    reader._set_collect_callback(collect)


def preferences_of(exporter: MetricExporter) -> dict[str, Any]:
    """Arguments for the constructor of a metric exporter that asks its reader for the same as `exporter` does."""
    return {
        "preferred_temporality": exporter._preferred_temporality,
        "preferred_aggregation": exporter._preferred_aggregation,
    }


MAX_SERIES: Final = 1_000_000
"""Series in one instrument, of all tenants together, where the SDK has a limit of its own and it is raised."""


def raised_cardinality_limits(reader: type[MetricReader]) -> dict[str, Any]:
    """Arguments for the constructor of a reader that raise the SDK's own limit on series to `MAX_SERIES`.

    Since 1.45.2 it lumps what exceeds 2,000 series of an instrument, of all tenants together, in one that is nobody's.
    Tenants have limits of their own, which are reached long before this one. Empty where there is nothing to raise.
    """
    if "cardinality_limits" not in inspect.signature(reader.__init__).parameters:
        return {}
    kinds = (Counter, Gauge, Histogram, UpDownCounter, ObservableCounter, ObservableGauge, ObservableUpDownCounter)
    return {"cardinality_limits": dict.fromkeys(kinds, MAX_SERIES)}


def sampler_of_environment() -> Sampler | None:
    """The sampler that `OTEL_TRACES_SAMPLER` names; None when it names none."""
    return _get_from_env_or_default() if os.environ.get(OTEL_TRACES_SAMPLER) else None


def suppress_instrumentation_in_this_thread() -> None:
    """Tells instrumentations to leave the calling thread alone, for good: what it sends is telemetry already."""
    attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, get_current()))


def is_instrumentation_suppressed() -> bool:
    """Whether the work at hand is not to be instrumented."""
    return bool(get_value(_SUPPRESS_INSTRUMENTATION_KEY))


def global_providers_set() -> list[str]:
    """Which of the three global providers the application has set already."""
    found = []
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        found.append("TracerProvider")
    if not isinstance(_logs.get_logger_provider(), _logs._internal.ProxyLoggerProvider):
        found.append("LoggerProvider")
    if not isinstance(metrics.get_meter_provider(), _ProxyMeterProvider):
        found.append("MeterProvider")
    return found
