"""The compliance stage for metrics: a reader around a reader."""

from __future__ import annotations

from itertools import islice

from opentelemetry.sdk.metrics.export import DataPointT, MetricReader, MetricsData

from otelwarden.compliance.items import sampled_points
from otelwarden.compliance.watch import Watch
from otelwarden.core import (
    METRICS,
    Drop,
    DropPoints,
    GovernedMetricReader,
    Runtime,
    map_metrics,
    map_points,
    tenant_of_point,
)


class ComplianceMetricReader(GovernedMetricReader):
    """Shows the points of a collection to the watch; those of a kind that it blocks go no further.

    Args:
        reader: the next in line.
        watch: looks at what leaves.
        runtime: None for the watch's.
    """

    def __init__(self, reader: MetricReader, *, watch: Watch, runtime: Runtime | None = None) -> None:
        attribute = (runtime or watch.runtime).tenant_attribute

        def allowed(point: DataPointT) -> DataPointT | Drop:
            return watch.refuses(METRICS, tenant_of_point(point, attribute)) or point

        def transform(data: MetricsData, dropped: DropPoints) -> MetricsData:
            watch.take(METRICS, islice(sampled_points(data, attribute), watch.sample_items))
            return map_metrics(data, lambda metric: map_points(metric, allowed, attribute, dropped))

        super().__init__(reader, transform, component="compliance", on_error="pass", runtime=runtime or watch.runtime)
