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
    bare_spans,
    carry_state,
    copy_event,
    copy_link,
    copy_span,
    default_runtime,
    events_of,
    item_attributes,
    item_ids,
    links_of,
    plain_attributes,
    set_state,
    with_attributes,
)
from otelwarden.redaction.actions import DELETED, ItemFacts
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.document import Document, Edits, Fields, FlatFields, Unscannable
from otelwarden.redaction.envelopes import text_or_empty
from otelwarden.redaction.evidence import COMPONENT
from otelwarden.redaction.flat import NOT_FLAT, FlatHits, FlatItems
from otelwarden.redaction.live import AnyPolicy, follow_looking
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.stage import BLOCKED_ITEM, DEFAULT_OPTIONS, RedactionOptions, Workplace


def facts_of_span(span: ReadableSpan) -> ItemFacts:
    """What actions and conditions may know about a span."""
    scope = span.instrumentation_scope
    return ItemFacts(span.start_time or 0, item_attributes(span), scope.name if scope is not None else "")


class SpanRedaction:
    """The transform of the span stages: a span as it may leave, itself when nothing is found in it."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, options: RedactionOptions) -> None:
        self._work = Workplace(TRACES, policy, runtime, options, facts_of_span)
        self._redactor = self._work.redactor
        self._envelopes = self._work.envelopes
        self._flat = FlatItems(self._redactor, ("span.name",))
        # Short for what becomes of most spans, which nothing is asked about beside their texts.
        self._simple = not self._work.classifies and not options.evidence_attribute

    def __call__(self, span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        """The span, a redacted copy, or a `Drop` when it cannot be scanned or a rule blocks it."""
        seen = self.look((span,), (state,))
        return self.act(span, state, seen[0]) if seen else span

    def look(self, spans: Sequence[ReadableSpan], states: Sequence[ItemState]) -> dict[int, Any]:
        """Which of the spans cannot pass as they are."""
        if not self._simple:
            return dict.fromkeys(range(len(spans)), NOT_FLAT)
        items, envelopes = bare_spans(spans)
        seen = self._flat.look(items)
        for number in self._envelopes.changed(envelopes, states, TRACES):
            seen.setdefault(number, None)
        return seen

    def act(self, span: ReadableSpan, state: ItemState, seen: FlatHits | object) -> ReadableSpan | Drop:
        """The span, a redacted copy, or a `Drop` when it cannot be scanned or a rule blocks it.

        Args:
            seen: what `look` saw in it; None when only its resource or scope changes.
        """
        try:
            resource, scope = self._envelopes.of(span.resource, span.instrumentation_scope, TRACES, state.tenant)
            if seen is None:
                return _in_envelope(span, resource, scope)
            if isinstance(seen, FlatHits):
                return self._redact_flat(span, seen, state.tenant, resource, scope)
            return self._redact(span, state, resource, scope)
        except Unscannable as error:
            return Drop(error.reason)

    def _redact_flat(
        self,
        span: ReadableSpan,
        found: FlatHits,
        tenant: str,
        resource: Resource,
        scope: InstrumentationScope | None,
    ) -> ReadableSpan | Drop:
        """A span of which only the name and the attribute values may have to change."""
        result = self._flat.redact(found, TRACES, tenant, span)
        if result is None:
            return _in_envelope(span, resource, scope)
        redaction, attributes = result
        self._tell(span, redaction, tenant)
        if redaction.blocked:
            return BLOCKED_ITEM
        if not redaction.changes:
            return _in_envelope(span, resource, scope)
        name = text_or_empty(redaction.edits, 0, span.name)
        copy = with_attributes(span, attributes, name=name, resource=resource, scope=scope)
        if copy is None:
            return copy_span(span, name=name, attributes=attributes, resource=resource, scope=scope)
        carry_state(span, copy)
        return copy

    def _redact(
        self, span: ReadableSpan, state: ItemState, resource: Resource, scope: InstrumentationScope | None
    ) -> ReadableSpan | Drop:
        parts = _SpanParts(span, self._redactor.document())
        redaction = self._redactor.redact(parts.document, TRACES, state.tenant, span)
        if redaction is not None:
            self._tell(span, redaction, state.tenant)
            if redaction.blocked:
                return BLOCKED_ITEM
        changes = parts.rebuild(redaction.edits) if redaction is not None and redaction.changes else {}
        classification = self._work.class_of(redaction, span.resource, span.instrumentation_scope, state.tenant)
        added = self._work.added(redaction, classification)
        if added:
            changes["attributes"] = {**changes.get("attributes", item_attributes(span)), **added}
        copy: ReadableSpan = _in_envelope(span, resource, scope)
        if changes:
            copy = copy_span(span, resource=resource, scope=scope, **changes)
        if classification is not None:
            set_state(copy, state.replaced(classification=classification))
        return copy

    def _tell(self, span: ReadableSpan, redaction: Redaction, tenant: str) -> None:
        trace_id, span_id = item_ids(span)
        self._work.evidence.of_item(redaction.counts, TRACES, tenant, trace_id, span_id)
        if redaction.archives:
            self._work.archive(span, redaction)


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
        self._name = document.place("span.name", span.name)
        self._attributes = document.fields(item_attributes(span))
        self._description = document.place("span.status", span.status.description)
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
        self._name = document.place("event.name", event.name)
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
        policy: a policy, one that follows its files, or names and paths of policies.
        on_error: what becomes of a span that redaction failed on; `drop` fails closed.
        runtime: None for the one shared by all stages that are used by hand.
        options: keys, archives, limits and what else redaction may be given.

    Raises:
        ConfigError: a policy is refused, or needs a key or an archive that is not there.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        policy: AnyPolicy,
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        options: RedactionOptions = DEFAULT_OPTIONS,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = follow_looking(policy, lambda of: SpanRedaction(of, runtime, options))
        super().__init__(next_processor, transform, component=COMPONENT, on_error=on_error, runtime=runtime)


class RedactionSpanExporter(SpanStageExporter):
    """Redacts batches of spans and hands them to the next exporter; the arguments are those of the processor."""

    def __init__(
        self,
        next_exporter: SpanExporter,
        *,
        policy: AnyPolicy,
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        options: RedactionOptions = DEFAULT_OPTIONS,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = follow_looking(policy, lambda of: SpanRedaction(of, runtime, options))
        super().__init__(next_exporter, transform, component=COMPONENT, on_error=on_error, runtime=runtime)
