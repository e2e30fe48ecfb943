"""The audit stages for spans, last before the exporter: what they let through is what leaves."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from otelwarden.audit.exports import DELIVERED, FAILED, ExportRecorder, count_by_tenant
from otelwarden.audit.trail import AuditTrail
from otelwarden.core import (
    TRACES,
    Drop,
    ItemState,
    OnError,
    Runtime,
    SpanStageExporter,
    SpanStageProcessor,
    TenantResolver,
)


class AuditSpanProcessor(SpanStageProcessor):
    """Records each sampled span that it hands to the next processor; what becomes of it there it cannot know.

    Args:
        next_processor: the next in line.
        trail: where it is recorded.
        on_error: `drop` lets no span pass while the trail cannot be written.
        resolver: whose a span is that no stage before this one has asked about.
        runtime: None for the trail's.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        trail: AuditTrail,
        on_error: OnError = "pass",
        resolver: TenantResolver | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._recorder = ExportRecorder(trail, TRACES, on_error=on_error)
        super().__init__(
            next_processor,
            self._record,
            component="audit",
            on_error=on_error,
            resolver=resolver,
            runtime=runtime or trail.runtime,
        )

    def _record(self, span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        if not span.context.trace_flags.sampled:
            return span  # no exporter will see it
        return self._recorder.admit_and_count(span, state)


class AuditSpanExporter(SpanStageExporter):
    """Records what the next exporter was given and whether it was delivered, by tenant.

    Args:
        next_exporter: the next in line.
        trail: where it is recorded.
        on_error: `drop` lets no span pass while the trail cannot be written.
        runtime: None for the trail's.
    """

    def __init__(
        self,
        next_exporter: SpanExporter,
        *,
        trail: AuditTrail,
        on_error: OnError = "pass",
        runtime: Runtime | None = None,
    ) -> None:
        self._recorder = ExportRecorder(trail, TRACES, on_error=on_error)
        super().__init__(
            next_exporter,
            self._recorder.admit,
            component="audit",
            on_error=on_error,
            runtime=runtime or trail.runtime,
        )

    def _forward(self, spans: list[ReadableSpan]) -> bool:
        counts = count_by_tenant(spans)
        reason = FAILED
        try:
            if super()._forward(spans):
                reason = DELIVERED
        finally:
            self._recorder.left(counts, reason)
        return reason == DELIVERED
