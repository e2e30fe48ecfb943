"""What stands in the export thread: redaction, compliance, audit, in front of the exporter."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricReader, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter

from otelwarden.audit import AuditLogRecordExporter, AuditMetricReader, AuditSpanExporter
from otelwarden.compliance import ComplianceLogRecordExporter, ComplianceMetricReader, ComplianceSpanExporter
from otelwarden.core import set_collect_callback
from otelwarden.pipeline.components import Components
from otelwarden.pipeline.settings import PipelineSettings
from otelwarden.redaction import RedactionLogRecordExporter, RedactionMetricReader, RedactionSpanExporter


def span_exporter(components: Components, pipeline: PipelineSettings, name: str = "") -> SpanExporter:
    """The exporter of spans behind its stages.

    Args:
        name: id of another exporter than that of the pipeline.
    """
    runtime = components.runtime
    exporter = components.exporters.spans(pipeline, name or pipeline.exporter)
    if (trail := components.trail(pipeline)) is not None:
        exporter = AuditSpanExporter(exporter, trail=trail, runtime=runtime)
    if (watch := components.parts.watch) is not None:
        exporter = ComplianceSpanExporter(exporter, watch=watch, runtime=runtime)
    if (redaction := components.redaction(pipeline)) is not None:
        exporter = RedactionSpanExporter(exporter, **redaction)
    return exporter


def log_exporter(components: Components, pipeline: PipelineSettings, name: str = "") -> LogRecordExporter:
    """The exporter of log records behind its stages; the arguments are those of `span_exporter`."""
    runtime = components.runtime
    exporter = components.exporters.logs(pipeline, name or pipeline.exporter)
    if (trail := components.trail(pipeline)) is not None:
        exporter = AuditLogRecordExporter(exporter, trail=trail, runtime=runtime)
    if (watch := components.parts.watch) is not None:
        exporter = ComplianceLogRecordExporter(exporter, watch=watch, runtime=runtime)
    if (redaction := components.redaction(pipeline)) is not None:
        exporter = RedactionLogRecordExporter(exporter, **redaction)
    return exporter


def staged_reader(reader: MetricReader, components: Components, pipeline: PipelineSettings) -> Any:
    """A reader that gets collections after the stages; Any, as it is a proxy of which only `isinstance` knows.

    A collection is seen by the outermost first.
    """
    runtime = components.runtime
    staged: Any = reader
    if (trail := components.trail(pipeline)) is not None:
        staged = AuditMetricReader(staged, trail=trail, runtime=runtime)
    if (watch := components.parts.watch) is not None:
        staged = ComplianceMetricReader(staged, watch=watch, runtime=runtime)
    if (redaction := components.redaction(pipeline)) is not None:
        staged = RedactionMetricReader(staged, **redaction)
    return staged


def metric_exporter(components: Components, pipeline: PipelineSettings) -> StagedMetricExporter:
    """The exporter of metrics behind its stages."""
    handover = Handover(components.exporters.metrics(pipeline))
    return StagedMetricExporter(handover, staged_reader(handover, components, pipeline))


class Handover(MetricReader):
    """A reader that collects what it is given, so that stages around readers also work in front of an exporter."""

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__()
        self.exporter = exporter
        self.given = MetricsData([])
        self.result = MetricExportResult.SUCCESS

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self.result = self.exporter.export(metrics_data, timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shuts the exporter down."""
        self.exporter.shutdown(timeout_millis)


class StagedMetricExporter:
    """Hands collections to the stages around a reader, one at a time.

    Args:
        staged: the stages around `handover`.
    """

    def __init__(self, handover: Handover, staged: MetricReader) -> None:
        self._handover = handover
        self._lock = threading.Lock()
        set_collect_callback(staged, lambda *_reader, **_options: handover.given)

    def export(self, data: MetricsData, timeout_millis: float = 10_000) -> MetricExportResult:
        """Exports what the stages leave of a collection; when that is nothing, all went well."""
        with self._lock:
            self._handover.given, self._handover.result = data, MetricExportResult.SUCCESS
            self._handover.collect(timeout_millis)
            self._handover.given = MetricsData([])
            return self._handover.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flushes the exporter."""
        return self._handover.exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Shuts the exporter down."""
        self._handover.shutdown(timeout_millis)
