"""The usage of metrics: counted, never limited."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from otelwarden.core import METRICS, DropPoints, GovernedMetricReader, Runtime, points_by_tenant
from otelwarden.quota.limiter import QuotaLimiter


class QuotaMetricReader(GovernedMetricReader):
    """Counts the data points of each collection as their tenant's usage, and passes all of them.

    Args:
        reader: the next in line, in-memory, periodic or pull.
        limiter: keeps the count; see `QuotaLimiter.usage`.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(self, reader: MetricReader, *, limiter: QuotaLimiter, runtime: Runtime | None = None) -> None:
        super().__init__(reader, self._count, component="quota", on_error="pass", runtime=runtime)
        self._self_limiter = limiter

    def _count(self, data: MetricsData, dropped: DropPoints) -> MetricsData:
        for tenant, points in points_by_tenant(data, self._self_runtime.tenant_attribute).items():
            self._self_limiter.allow(tenant, METRICS, points)
        return data
