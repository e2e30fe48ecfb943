"""The usage of metrics, and the limit on their series as the SDK sees it."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader, MetricsData

from otelwarden.core import METRICS, DropPoints, GovernedMetricReader, Runtime, points_by_tenant
from otelwarden.quota.limiter import QuotaLimiter
from otelwarden.quota.series import Instrument


class QuotaMetricReader(GovernedMetricReader):
    """Counts the data points of each collection as their tenant's usage, and passes all of them.

    Each collection tells the series limiter which places are free again, and observers how many measurements went into
    overflow series since the last: one event `fold` for each tenant.

    Args:
        reader: the next in line, in-memory, periodic or pull; made with `raised_cardinality_limits`.
        limiter: keeps the count; see `QuotaLimiter.usage` and `QuotaLimiter.series`.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(self, reader: MetricReader, *, limiter: QuotaLimiter, runtime: Runtime | None = None) -> None:
        super().__init__(reader, self._count, component="quota", on_error="pass", runtime=runtime)
        self._self_limiter = limiter
        self._self_folded: dict[str, int] = {}

    def _collecting(self) -> None:
        self._self_limiter.series.collecting()

    def _count(self, data: MetricsData, dropped: DropPoints) -> MetricsData:
        self._free_places(data)
        for tenant, points in points_by_tenant(data, self._self_runtime.tenant_attribute).items():
            self._self_limiter.allow(tenant, METRICS, points)
        for usage in self._self_limiter.series.usage():
            if count := usage.folded - self._self_folded.get(usage.tenant, 0):
                self._self_folded[usage.tenant] = usage.folded
                self._self_runtime.emit(
                    "quota", "fold", "cardinality", tenant=usage.tenant, signal=METRICS, count=count
                )
        return data

    def _free_places(self, data: MetricsData) -> None:
        delta: list[Instrument] = []
        cumulative: list[Instrument] = []
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    temporality = getattr(metric.data, "aggregation_temporality", AggregationTemporality.CUMULATIVE)
                    found = delta if temporality is AggregationTemporality.DELTA else cumulative
                    found.append((scope.scope.name, metric.name))
        self._self_limiter.series.collected(delta, cumulative)
