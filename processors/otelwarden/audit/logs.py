"""The audit stages for log records, last before the exporter: what they let through is what leaves."""

from __future__ import annotations

from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter

from otelwarden.audit.exports import DELIVERED, FAILED, ExportRecorder, count_by_tenant
from otelwarden.audit.trail import AuditTrail
from otelwarden.core import LOGS, LogStageExporter, LogStageProcessor, OnError, Runtime, TenantResolver


class AuditLogRecordProcessor(LogStageProcessor):
    """Records each log record that it hands to the next processor; the arguments are those of `AuditSpanProcessor`."""

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        *,
        trail: AuditTrail,
        on_error: OnError = "pass",
        resolver: TenantResolver | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        recorder = ExportRecorder(trail, LOGS, on_error=on_error)
        super().__init__(
            next_processor,
            recorder.admit_and_count,
            component="audit",
            on_error=on_error,
            resolver=resolver,
            runtime=runtime or trail.runtime,
        )


class AuditLogRecordExporter(LogStageExporter):
    """Records what the next exporter was given, by tenant; the arguments are those of `AuditSpanExporter`."""

    def __init__(
        self,
        next_exporter: LogRecordExporter,
        *,
        trail: AuditTrail,
        on_error: OnError = "pass",
        runtime: Runtime | None = None,
    ) -> None:
        self._recorder = ExportRecorder(trail, LOGS, on_error=on_error)
        super().__init__(
            next_exporter,
            self._recorder.admit,
            component="audit",
            on_error=on_error,
            runtime=runtime or trail.runtime,
        )

    def _forward(self, batch: list[ReadableLogRecord]) -> bool:
        counts = count_by_tenant(batch)
        reason = FAILED
        try:
            if super()._forward(batch):
                reason = DELIVERED
        finally:
            self._recorder.left(counts, reason)
        return reason == DELIVERED
