"""Redaction of spans: `RedactionSpanProcessor` and `RedactionSpanExporter`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, TraceState

from otelwarden.core import (
    TRACES,
    UNCHANGED,
    Drop,
    ItemState,
    OnError,
    Runtime,
    SpanStageExporter,
    SpanStageProcessor,
    bare_attributes,
    carry_state,
    copy_event,
    copy_link,
    copy_span,
    default_runtime,
    events_of,
    item_attributes,
    links_of,
    plain_attributes,
    with_attributes,
)
from otelwarden.redaction.actions import DELETED
from otelwarden.redaction.document import Document, Edits, Fields, FlatFields, Unscannable
from otelwarden.redaction.envelopes import Envelopes, text_or_empty
from otelwarden.redaction.evidence import Evidence
from otelwarden.redaction.flat import NOT_FLAT, Candidates, FlatItems
from otelwarden.redaction.policy import PolicySource, RedactionPolicy, policy_of
from otelwarden.redaction.redactor import MAX_VALUE_LENGTH, Redaction, Redactor


class SpanRedaction:
    """The transform of the span stages: a span as it may leave, itself when nothing is found in it."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, max_value_length: int) -> None:
        self._redactor = Redactor(
            policy, max_value_length=max_value_length, exempt=frozenset([runtime.tenant_attribute])
        )
        self._evidence = Evidence(runtime)
        self._envelopes = Envelopes(self._redactor, self._evidence.of_envelope)
        self._flat = FlatItems(self._redactor, ("span.name",))

    def __call__(self, span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        """The span, a redacted copy, or a `Drop` when it cannot be scanned."""
        old_resource, old_scope = span.resource, span.instrumentation_scope
        try:
            resource, scope = self._envelopes.of(old_resource, old_scope, TRACES, state.tenant)
            same = resource is old_resource and scope is old_scope
            attributes = bare_attributes(span)
            found = NOT_FLAT if attributes is None else self._flat.look((span.name,), attributes)
            if found is None:
                return span if same else _in_envelope(span, resource, scope)
            if type(found) is Candidates:
                return self._redact_flat(span, found, state.tenant, resource, scope)
            return self._redact(span, state.tenant, resource, scope)
        except Unscannable as error:
            return Drop(error.reason)

    def _redact_flat(
        self,
        span: ReadableSpan,
        found: Candidates,
        tenant: str,
        resource: Resource,
        scope: InstrumentationScope | None,
    ) -> ReadableSpan:
        """A span of which only the name and the attribute values may have to change."""
        result = self._flat.redact(found, TRACES, tenant)
        if result is None:
            return _in_envelope(span, resource, scope)
        redaction, attributes = result
        self._tell(span, redaction, tenant)
        name = text_or_empty(redaction.edits, 0, span.name)
        copy = with_attributes(span, attributes, name=name, resource=resource, scope=scope)
        if copy is None:
            return copy_span(span, name=name, attributes=attributes, resource=resource, scope=scope)
        carry_state(span, copy)
        return copy

    def _redact(
        self, span: ReadableSpan, tenant: str, resource: Resource, scope: InstrumentationScope | None
    ) -> ReadableSpan:
        parts = _SpanParts(span, self._redactor.document())
        redaction = self._redactor.redact(parts.document, TRACES, tenant)
        if redaction is None:
            return _in_envelope(span, resource, scope)
        self._tell(span, redaction, tenant)
        return copy_span(span, resource=resource, scope=scope, **parts.rebuild(redaction.edits))

    def _tell(self, span: ReadableSpan, redaction: Redaction, tenant: str) -> None:
        context = span.context
        self._evidence.of_item(redaction.counts, TRACES, tenant, context.trace_id, context.span_id)


def _in_envelope(span: ReadableSpan, resource: Resource, scope: InstrumentationScope | None) -> ReadableSpan:
    """The span, or a copy when its resource or scope changed."""
    if resource is span.resource and scope is span.instrumentation_scope:
        return span
    return copy_span(span, resource=resource, scope=scope)


class _SpanParts:
    """A span taken apart into a document."""

    def __init__(self, span: ReadableSpan, document: Document) -> None:
        self.document = document
        self._span = span
        self._name = document.text("span.name", span.name)
        self._attributes = document.fields(item_attributes(span))
        self._description = document.optional("span.status", span.status.description)
        self._trace_state = _trace_state_of(document, span.context.trace_state)
        self._events = [_EventParts(event, document) for event in events_of(span)]
        self._links = [_LinkParts(link, document) for link in links_of(span)]

    def rebuild(self, edits: Edits) -> dict[str, Any]:
        """The arguments of `copy_span` for what changed."""
        span = self._span
        changes: dict[str, Any] = {"attributes": self._attributes.rebuild(edits)}
        if self._name in edits.texts:
            changes["name"] = text_or_empty(edits, self._name, span.name)
        if self._description in edits.texts:
            description = text_or_empty(edits, self._description, span.status.description)
            changes["status"] = Status(span.status.status_code, description)
        if self._trace_state is not None:
            changes["context"] = _with_trace_state(span.context, self._trace_state, edits)
        if self._events:
            changes["events"] = [event.rebuild(edits) for event in self._events]
        if self._links:
            changes["links"] = [link.rebuild(edits) for link in self._links]
        return changes


class _EventParts:
    """An event taken apart."""

    def __init__(self, event: Event, document: Document) -> None:
        self._event = event
        self._name = document.text("event.name", event.name)
        self._attributes = document.fields(plain_attributes(event.attributes))

    def rebuild(self, edits: Edits) -> Event:
        """The event itself, or a changed copy."""
        event = self._event
        old = plain_attributes(event.attributes)
        attributes = self._attributes.rebuild(edits)
        if attributes is old and self._name not in edits.texts:
            return event
        return copy_event(
            event,
            name=text_or_empty(edits, self._name, event.name),
            attributes=UNCHANGED if attributes is old else attributes,
        )


class _LinkParts:
    """A link taken apart."""

    def __init__(self, link: Link, document: Document) -> None:
        self._link = link
        self._trace_state = _trace_state_of(document, link.context.trace_state)
        self._attributes = document.fields(plain_attributes(link.attributes))

    def rebuild(self, edits: Edits) -> Link:
        """The link itself, or a changed copy."""
        link = self._link
        old = plain_attributes(link.attributes)
        attributes = self._attributes.rebuild(edits)
        context = link.context
        if self._trace_state is not None:
            context = _with_trace_state(context, self._trace_state, edits)
        if attributes is old and context is link.context:
            return link
        return copy_link(link, context=context, attributes=UNCHANGED if attributes is old else attributes)


def _trace_state_of(document: Document, trace_state: TraceState | None) -> Fields | FlatFields | None:
    return document.fields(trace_state) if trace_state else None


def _with_trace_state(context: SpanContext, fields: Fields | FlatFields, edits: Edits) -> SpanContext:
    old: Any = context.trace_state
    new = fields.rebuild(edits)
    if new is old:
        return context
    # Entries that the W3C syntax refuses (a replacement text with a comma) are left out by the constructor.
    state = TraceState([(key, value) for key, value in new.items() if value is not DELETED])
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)


class RedactionSpanProcessor(SpanStageProcessor):
    """Redacts spans as they end and hands them to the next processor.

    Args:
        next_processor: the next in line; a redactor registered beside it instead would leak.
        policy: a policy, or names and paths of policies.
        on_error: what becomes of a span that redaction failed on; `drop` fails closed.
        runtime: None for the one shared by all stages that are used by hand.
        max_value_length: characters of the longest value that is scanned; a span with a longer one is dropped.

    Raises:
        ConfigError: a policy is refused.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        policy: RedactionPolicy | Sequence[PolicySource],
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        max_value_length: int = MAX_VALUE_LENGTH,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = SpanRedaction(policy_of(policy), runtime, max_value_length)
        super().__init__(next_processor, transform, component="redaction", on_error=on_error, runtime=runtime)


class RedactionSpanExporter(SpanStageExporter):
    """Redacts batches of spans and hands them to the next exporter; the arguments are those of the processor."""

    def __init__(
        self,
        next_exporter: SpanExporter,
        *,
        policy: RedactionPolicy | Sequence[PolicySource],
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        max_value_length: int = MAX_VALUE_LENGTH,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = SpanRedaction(policy_of(policy), runtime, max_value_length)
        super().__init__(next_exporter, transform, component="redaction", on_error=on_error, runtime=runtime)
