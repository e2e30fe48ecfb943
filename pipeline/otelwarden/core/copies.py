"""Changed copies of items that are finished.

`Span.end()` freezes the attributes before any hook runs, so a finished span can only be replaced. The copy is a real
`ReadableSpan` made by the public constructor: a proxy would not do, since `to_json()` and the console exporter read the
private fields and would print the original. Copies keep the counts of what the SDK dropped, and the state of the item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status

from otelwarden.core._sdk import copy_attributes, with_values
from otelwarden.core.state import carry_state

_T = TypeVar("_T")
_LogT = TypeVar("_LogT", ReadableLogRecord, ReadWriteLogRecord)


class _Unchanged:
    """The default of arguments for which None is a value."""


UNCHANGED: Final[Any] = _Unchanged()


def _changed(new: _T, old: _T) -> _T:
    return old if new is UNCHANGED else new


class GovernedSpan(ReadableSpan):
    """A finished span of which something was changed."""

    _dropped = (0, 0, 0)

    @property
    def dropped_attributes(self) -> int:
        """How many attributes the SDK dropped at its limits."""
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        """How many events the SDK dropped at its limits."""
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        """How many links the SDK dropped at its limits."""
        return self._dropped[2]


class GovernedEvent(Event):
    """An event of which something was changed."""

    _dropped = 0

    @property
    def dropped_attributes(self) -> int:
        """How many attributes the SDK dropped at its limits."""
        return self._dropped


class GovernedLink(Link):
    """A link of which something was changed."""

    _dropped = 0

    @property
    def dropped_attributes(self) -> int:
        """How many attributes the SDK dropped at its limits."""
        return self._dropped


def copy_span(
    span: ReadableSpan,
    *,
    name: str = UNCHANGED,
    context: SpanContext = UNCHANGED,
    attributes: Mapping[str, Any] = UNCHANGED,
    events: Sequence[Event] = UNCHANGED,
    links: Sequence[Link] = UNCHANGED,
    status: Status = UNCHANGED,
    resource: Resource = UNCHANGED,
    scope: InstrumentationScope | None = UNCHANGED,
) -> GovernedSpan:
    """A copy of `span` in which what is given is replaced. The mappings and sequences given are kept, not copied."""
    copy = GovernedSpan(
        name=_changed(name, span.name),
        context=_changed(context, span.context),
        parent=span.parent,
        resource=_changed(resource, span.resource),
        attributes=_changed(attributes, span.attributes),
        events=_changed(events, span.events),
        links=_changed(links, span.links),
        kind=span.kind,
        status=_changed(status, span.status),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=_changed(scope, span.instrumentation_scope),
    )
    copy._dropped = (span.dropped_attributes, span.dropped_events, span.dropped_links)
    carry_state(span, copy)
    return copy


def copy_event(
    event: Event, *, name: str = UNCHANGED, attributes: Mapping[str, Any] | None = UNCHANGED
) -> GovernedEvent:
    """A copy of `event` in which what is given is replaced."""
    copy = GovernedEvent(
        name=_changed(name, event.name),
        attributes=_changed(attributes, event.attributes),
        timestamp=event.timestamp,
    )
    copy._dropped = event.dropped_attributes
    return copy


def copy_link(
    link: Link, *, context: SpanContext = UNCHANGED, attributes: Mapping[str, Any] | None = UNCHANGED
) -> GovernedLink:
    """A copy of `link` in which what is given is replaced."""
    copy = GovernedLink(_changed(context, link.context), _changed(attributes, link.attributes))
    copy._dropped = link.dropped_attributes
    return copy


def copy_log(
    record: _LogT,
    *,
    body: Any = UNCHANGED,
    attributes: Mapping[str, Any] | None = UNCHANGED,
    event_name: str | None = UNCHANGED,
    severity_text: str | None = UNCHANGED,
    resource: Resource = UNCHANGED,
    scope: InstrumentationScope | None = UNCHANGED,
) -> _LogT:
    """A copy of `record` in which what is given is replaced; of the same class, so it goes wherever that one would.

    The exception that it was made of is let go: its text is in the attributes, where it can be redacted.
    """
    old = record.log_record
    new: ApiLogRecord = object.__new__(type(old))
    new.__dict__.update(old.__dict__)
    new.exception = None
    new.body = _changed(body, old.body)
    new.event_name = _changed(event_name, old.event_name)
    new.severity_text = _changed(severity_text, old.severity_text)
    if attributes is not UNCHANGED:
        new.attributes = with_values(old.attributes, dict(attributes or {}))
    copy = object.__new__(type(record))
    copy.__dict__.update(record.__dict__)
    copy.__dict__["log_record"] = new
    copy.__dict__["resource"] = _changed(resource, record.resource)
    copy.__dict__["instrumentation_scope"] = _changed(scope, record.instrumentation_scope)
    return copy


def detach_log(record: ReadWriteLogRecord, resource: Resource) -> ReadableLogRecord:
    """A finished copy of a record that is still in the hands of processors.

    Attributes that are set later are not its own. It lets go of the context, which may hold a whole request; trace and
    span id are in the record itself.
    """
    old = record.log_record
    new: ApiLogRecord = object.__new__(type(old))
    new.__dict__.update(old.__dict__)
    new.context = Context()
    if old.attributes is not None:
        new.attributes = copy_attributes(old.attributes)
    copy = ReadableLogRecord(
        log_record=new,
        resource=resource,
        instrumentation_scope=record.instrumentation_scope,
        limits=record.limits,
    )
    carry_state(record, copy)
    return copy
