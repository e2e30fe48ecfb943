"""The audit stage for metrics: a reader around a reader."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from otelwarden.audit.exports import UNAVAILABLE, ExportRecorder
from otelwarden.audit.records import HANDED_ON
from otelwarden.audit.trail import AuditTrail
from otelwarden.core import METRICS, DropPoints, GovernedMetricReader, OnError, Runtime, points_by_tenant


class AuditMetricReader(GovernedMetricReader):
    """Records how many points of each tenant a collection hands to the next reader.

    Args:
        reader: the next in line.
        trail: where it is recorded.
        on_error: `drop` lets no point pass while the trail cannot be written.
        runtime: None for the trail's.
    """

    def __init__(
        self,
        reader: MetricReader,
        *,
        trail: AuditTrail,
        on_error: OnError = "pass",
        runtime: Runtime | None = None,
    ) -> None:
        recorder = ExportRecorder(trail, METRICS, on_error=on_error)
        tenant_attribute = (runtime or trail.runtime).tenant_attribute

        def record(data: MetricsData, dropped: DropPoints) -> MetricsData:
            counts = points_by_tenant(data, tenant_attribute)
            if recorder.refuses:
                for tenant, count in counts.items():
                    dropped(tenant, UNAVAILABLE.reason, count)
                return MetricsData([])
            recorder.left(counts, HANDED_ON)
            return data

        super().__init__(reader, record, component="audit", on_error=on_error, runtime=runtime or trail.runtime)
