"""Quarantined telemetry leaves through an exporter of its own, and through no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    DataPointT,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core import (
    TENANT_ATTRIBUTE,
    Deadline,
    Drop,
    ErrorCount,
    Item,
    Runtime,
    counts_its_losses,
    default_runtime,
    flush_within,
    map_metrics,
    map_points,
    preferences_of,
    shutdown_within,
    state_of,
    tenant_of_point,
)
from otelwarden.tenancy.resolution import COMPONENT

_ItemT = TypeVar("_ItemT", bound=Item)

_ELSEWHERE = Drop("elsewhere")


class _TwoExporters:
    """What the three have in common: two exporters, both shut down and flushed within one deadline."""

    def __init__(self, exporter: Any, quarantine: Any, tenant: str, runtime: Runtime | None) -> None:
        self._both = (exporter, quarantine)
        self._tenant = tenant
        self._errors: ErrorCount = (runtime or default_runtime()).errors(COMPONENT)
        self.counts_its_losses = counts_its_losses(exporter) and counts_its_losses(quarantine)

    def _parts(self, batch: Sequence[_ItemT]) -> list[tuple[Any, list[_ItemT]]]:
        """Each exporter with what is for it, if there is anything."""
        here: list[_ItemT] = []
        there: list[_ItemT] = []
        for item in batch:
            (there if state_of(item).tenant == self._tenant else here).append(item)
        return [(exporter, part) for exporter, part in zip(self._both, (here, there), strict=True) if part]

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Shuts both down within one deadline."""
        deadline = Deadline.after_millis(timeout_millis)
        for exporter in self._both:
            shutdown_within(exporter, deadline, self._errors)

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Flushes both within one deadline."""
        deadline = Deadline.after_millis(timeout_millis)
        done = [flush_within(exporter, deadline, self._errors) for exporter in self._both]
        return all(done)


class QuarantineSpanExporter(_TwoExporters, SpanExporter):
    """Exports the spans of the quarantine tenant elsewhere.

    Args:
        exporter: for all other spans.
        quarantine: for those of the quarantine tenant.
        tenant: its id, the `quarantine_tenant` of tenancy.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        quarantine: SpanExporter,
        tenant: str = "quarantine",
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(exporter, quarantine, tenant, runtime)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports each span where it belongs."""
        results = [exporter.export(part) for exporter, part in self._parts(spans)]
        good = all(result is SpanExportResult.SUCCESS for result in results)
        return SpanExportResult.SUCCESS if good else SpanExportResult.FAILURE


class QuarantineLogRecordExporter(_TwoExporters, LogRecordExporter):
    """As `QuarantineSpanExporter`, for log records."""

    def __init__(
        self,
        exporter: LogRecordExporter,
        *,
        quarantine: LogRecordExporter,
        tenant: str = "quarantine",
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(exporter, quarantine, tenant, runtime)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Exports each record where it belongs."""
        results = [exporter.export(part) for exporter, part in self._parts(batch)]
        good = all(result is LogRecordExportResult.SUCCESS for result in results)
        return LogRecordExportResult.SUCCESS if good else LogRecordExportResult.FAILURE


class QuarantineMetricExporter(_TwoExporters, MetricExporter):
    """As `QuarantineSpanExporter`, for metric points, which are known by their tag.

    Args:
        attribute: the attribute that tags points with their tenant.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        *,
        quarantine: MetricExporter,
        tenant: str = "quarantine",
        attribute: str = TENANT_ATTRIBUTE,
        runtime: Runtime | None = None,
    ) -> None:
        _TwoExporters.__init__(self, exporter, quarantine, tenant, runtime)
        # What the reader asks an exporter for; the other one takes what it gets.
        MetricExporter.__init__(self, **preferences_of(exporter))
        self._attribute = attribute

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Exports each point where it belongs."""
        deadline = Deadline.after_millis(timeout_millis)
        good = True
        for exporter, quarantined in zip(self._both, (False, True), strict=True):
            part = self._part(metrics_data, quarantined)
            if part.resource_metrics:
                result = exporter.export(part, timeout_millis=deadline.remaining_millis, **kwargs)
                good = result is MetricExportResult.SUCCESS and good
        return MetricExportResult.SUCCESS if good else MetricExportResult.FAILURE

    def _part(self, data: MetricsData, quarantined: bool) -> MetricsData:
        def chosen(point: DataPointT) -> DataPointT | Drop:
            is_quarantined = tenant_of_point(point, self._attribute) == self._tenant
            return point if is_quarantined is quarantined else _ELSEWHERE

        def metric(each: Metric) -> Metric | None:
            return map_points(each, chosen, self._attribute, lambda *_: None)

        return map_metrics(data, metric)
