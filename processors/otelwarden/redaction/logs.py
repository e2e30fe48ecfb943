"""Redaction of log records: `RedactionLogRecordProcessor` and `RedactionLogRecordExporter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelwarden.core import (
    LOGS,
    UNCHANGED,
    Drop,
    ItemState,
    LogStageExporter,
    LogStageProcessor,
    OnError,
    Runtime,
    copy_log,
    default_runtime,
    item_attributes,
    item_ids,
    set_state,
)
from otelwarden.redaction.actions import DELETED, ItemFacts
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.document import Document, Edits, Unscannable, rebuild
from otelwarden.redaction.envelopes import text_or_empty
from otelwarden.redaction.evidence import COMPONENT
from otelwarden.redaction.flat import NOT_FLAT, FlatHits, FlatItem, FlatItems
from otelwarden.redaction.live import AnyPolicy, follow_looking
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.stage import BLOCKED_ITEM, DEFAULT_OPTIONS, RedactionOptions, Workplace

_HEADS: Final = ("log.body", "log.event_name", "log.severity_text")
_Envelope: TypeAlias = "tuple[Resource, InstrumentationScope | None]"


def facts_of_log(record: Any) -> ItemFacts:
    """What actions and conditions may know about a log record."""
    log, scope = record.log_record, record.instrumentation_scope
    moment = log.timestamp or log.observed_timestamp or 0
    return ItemFacts(moment, item_attributes(record), scope.name if scope is not None else "")


class LogRedaction:
    """The transform of the log stages: a record as it may leave, itself when nothing is found in it."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, options: RedactionOptions) -> None:
        self._work = Workplace(LOGS, policy, runtime, options, facts_of_log)
        self._redactor = self._work.redactor
        self._envelopes = self._work.envelopes
        self._flat = FlatItems(self._redactor, _HEADS)
        self._simple = not self._work.classifies and not options.evidence_attribute

    def __call__(self, record: Any, state: ItemState) -> Any | Drop:
        """The record, a redacted copy of its class, or a `Drop` when it cannot be scanned or a rule blocks it."""
        seen = self.look((record,), (state,))
        return self.act(record, state, seen[0]) if seen else record

    def look(self, records: Sequence[Any], states: Sequence[ItemState]) -> dict[int, Any]:
        """Which of the records cannot pass as they are."""
        if not self._simple:
            return dict.fromkeys(range(len(records)), NOT_FLAT)
        seen = self._flat.look([_flat_item(record) for record in records])
        envelopes = [(record.resource, record.instrumentation_scope) for record in records]
        for number in self._envelopes.changed(envelopes, states, LOGS):
            seen.setdefault(number, None)
        return seen

    def act(self, record: Any, state: ItemState, seen: FlatHits | object) -> Any | Drop:
        """The record, a redacted copy, or a `Drop` when it cannot be scanned or a rule blocks it.

        Args:
            seen: what `look` saw in it; None when only its resource or scope changes.
        """
        try:
            envelope = self._envelopes.of(record.resource, record.instrumentation_scope, LOGS, state.tenant)
            if seen is None:
                return _changed(record, envelope, {})
            if isinstance(seen, FlatHits):
                return self._redact_flat(record, seen, state.tenant, envelope)
            return self._redact(record, state, envelope)
        except Unscannable as error:
            return Drop(error.reason)

    def _redact_flat(self, record: Any, found: FlatHits, tenant: str, envelope: _Envelope) -> Any | Drop:
        """A record of which only texts may have to change."""
        result = self._flat.redact(found, LOGS, tenant, record)
        if result is None:
            return _changed(record, envelope, {})
        redaction, attributes = result
        self._tell(record, redaction, tenant)
        if redaction.blocked:
            return BLOCKED_ITEM
        if not redaction.changes:
            return _changed(record, envelope, {})
        edits, log = redaction.edits, record.log_record
        body = edits.texts.get(0, log.body)
        changes = {
            "body": None if body is DELETED else body,
            "event_name": log.event_name and text_or_empty(edits, 1, log.event_name),
            "severity_text": log.severity_text and text_or_empty(edits, 2, log.severity_text),
            "attributes": attributes,
        }
        return _changed(record, envelope, changes)

    def _redact(self, record: Any, state: ItemState, envelope: _Envelope) -> Any | Drop:
        tenant = state.tenant
        parts = _RecordParts(record, self._redactor.document())
        redaction = self._redactor.redact(parts.document, LOGS, tenant, record)
        if redaction is not None:
            self._tell(record, redaction, tenant)
            if redaction.blocked:
                return BLOCKED_ITEM
        changes = parts.rebuild(redaction.edits) if redaction is not None and redaction.changes else {}
        classification = self._work.class_of(redaction, record.resource, record.instrumentation_scope, tenant)
        added = self._work.added(redaction, classification)
        if added:
            attributes = changes.get("attributes", UNCHANGED)
            changes["attributes"] = {**(item_attributes(record) if attributes is UNCHANGED else attributes), **added}
        copy = _changed(record, envelope, changes)
        if classification is not None:
            set_state(copy, state.replaced(classification=classification))
        return copy

    def _tell(self, record: Any, redaction: Redaction, tenant: str) -> None:
        trace_id, span_id = item_ids(record)
        self._work.evidence.of_item(redaction.counts, LOGS, tenant, trace_id, span_id)
        if redaction.archives:
            self._work.archive(record, redaction)


def _flat_item(record: Any) -> FlatItem | None:
    """The texts of a record; None for one with a structured body."""
    log = record.log_record
    body = log.body
    if body is None or type(body) is str:
        return (body or "", log.event_name or "", log.severity_text or ""), item_attributes(record)
    return None


def _changed(record: Any, envelope: _Envelope, changes: Mapping[str, Any]) -> Any:
    """The record, or a copy when something in it or its resource or scope changed."""
    resource, scope = envelope
    if not changes and resource is record.resource and scope is record.instrumentation_scope:
        return record
    return copy_log(record, resource=resource, scope=scope, **changes)


class _RecordParts:
    """A log record taken apart into a document."""

    def __init__(self, record: Any, document: Document) -> None:
        self.document = document
        self._log = log = record.log_record
        self._body = document.value("log.body", log.body)
        self._attributes_before = item_attributes(record)
        self._attributes = document.fields(self._attributes_before)
        self._event_name = document.place("log.event_name", log.event_name)
        self._severity_text = document.place("log.severity_text", log.severity_text)

    def rebuild(self, edits: Edits) -> dict[str, Any]:
        """The arguments of `copy_log` for what changed."""
        log = self._log
        body = rebuild(self._body, log.body, edits)
        attributes = self._attributes.rebuild(edits)
        return {
            "body": None if body is DELETED else body,
            "attributes": UNCHANGED if attributes is self._attributes_before else attributes,
            "event_name": log.event_name and text_or_empty(edits, self._event_name, log.event_name),
            "severity_text": log.severity_text and text_or_empty(edits, self._severity_text, log.severity_text),
        }


class RedactionLogRecordProcessor(LogStageProcessor):
    """Redacts log records as they are emitted and hands them to the next processor.

    Args:
        next_processor: the next in line; a redactor registered beside it instead would leak.
        policy: a policy, one that follows its files, or names and paths of policies.
        on_error: what becomes of a record that redaction failed on; `drop` fails closed.
        runtime: None for the one shared by all stages that are used by hand.
        options: keys, archives, limits and what else redaction may be given.

    Raises:
        ConfigError: a policy is refused, or needs a key or an archive that is not there.
    """

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        *,
        policy: AnyPolicy,
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        options: RedactionOptions = DEFAULT_OPTIONS,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = follow_looking(policy, lambda of: LogRedaction(of, runtime, options))
        super().__init__(next_processor, transform, component=COMPONENT, on_error=on_error, runtime=runtime)


class RedactionLogRecordExporter(LogStageExporter):
    """Redacts batches of records and hands them to the next exporter; the arguments are those of the processor."""

    def __init__(
        self,
        next_exporter: LogRecordExporter,
        *,
        policy: AnyPolicy,
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        options: RedactionOptions = DEFAULT_OPTIONS,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = follow_looking(policy, lambda of: LogRedaction(of, runtime, options))
        super().__init__(next_exporter, transform, component=COMPONENT, on_error=on_error, runtime=runtime)
