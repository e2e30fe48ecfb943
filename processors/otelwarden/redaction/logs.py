"""Redaction of log records: `RedactionLogRecordProcessor` and `RedactionLogRecordExporter`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter

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
)
from otelwarden.redaction.actions import DELETED
from otelwarden.redaction.document import Document, Edits, Unscannable, rebuild
from otelwarden.redaction.envelopes import Envelopes, text_or_empty
from otelwarden.redaction.evidence import Evidence
from otelwarden.redaction.policy import PolicySource, RedactionPolicy, policy_of
from otelwarden.redaction.redactor import MAX_VALUE_LENGTH, Redactor


class LogRedaction:
    """The transform of the log stages: a record as it may leave, itself when nothing is found in it."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, max_value_length: int) -> None:
        self._redactor = Redactor(
            policy, max_value_length=max_value_length, exempt=frozenset([runtime.tenant_attribute])
        )
        self._evidence = Evidence(runtime)
        self._envelopes = Envelopes(self._redactor, self._evidence.of_envelope)

    def __call__(self, record: Any, state: ItemState) -> Any | Drop:
        """The record, a redacted copy of its class, or a `Drop` when it cannot be scanned."""
        try:
            return self._redacted(record, state.tenant)
        except Unscannable as error:
            return Drop(error.reason)

    def _redacted(self, record: Any, tenant: str) -> Any:
        resource, scope = self._envelopes.of(record.resource, record.instrumentation_scope, LOGS, tenant)
        same = resource is record.resource and scope is record.instrumentation_scope
        parts = _RecordParts(record, self._redactor.document())
        redaction = self._redactor.redact(parts.document, LOGS, tenant)
        if redaction is None:
            return record if same else copy_log(record, resource=resource, scope=scope)
        trace_id, span_id = item_ids(record)
        self._evidence.of_item(redaction.counts, LOGS, tenant, trace_id, span_id)
        return copy_log(record, resource=resource, scope=scope, **parts.rebuild(redaction.edits))


class _RecordParts:
    """A log record taken apart into a document."""

    def __init__(self, record: Any, document: Document) -> None:
        self.document = document
        self._log = log = record.log_record
        self._body = document.value("log.body", log.body)
        self._attributes_before = item_attributes(record)
        self._attributes = document.fields(self._attributes_before)
        self._event_name = document.optional("log.event_name", log.event_name)
        self._severity_text = document.optional("log.severity_text", log.severity_text)

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
        policy: a policy, or names and paths of policies.
        on_error: what becomes of a record that redaction failed on; `drop` fails closed.
        runtime: None for the one shared by all stages that are used by hand.
        max_value_length: characters of the longest value that is scanned; a record with a longer one is dropped.

    Raises:
        ConfigError: a policy is refused.
    """

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        *,
        policy: RedactionPolicy | Sequence[PolicySource],
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        max_value_length: int = MAX_VALUE_LENGTH,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = LogRedaction(policy_of(policy), runtime, max_value_length)
        super().__init__(next_processor, transform, component="redaction", on_error=on_error, runtime=runtime)


class RedactionLogRecordExporter(LogStageExporter):
    """Redacts batches of records and hands them to the next exporter; the arguments are those of the processor."""

    def __init__(
        self,
        next_exporter: LogRecordExporter,
        *,
        policy: RedactionPolicy | Sequence[PolicySource],
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        max_value_length: int = MAX_VALUE_LENGTH,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = LogRedaction(policy_of(policy), runtime, max_value_length)
        super().__init__(next_exporter, transform, component="redaction", on_error=on_error, runtime=runtime)
