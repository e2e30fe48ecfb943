"""Tenancy of metric points, at the reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import is_
from typing import Any

from opentelemetry.context.context import Context
from opentelemetry.sdk.metrics.export import DataPointT, Metric, MetricReader, MetricsData, ResourceMetrics

from otelwarden.core import METRICS, DropPoints, GovernedMetricReader, OnError, Runtime, map_metrics, plain_attributes
from otelwarden.tenancy.config import TenancyConfig
from otelwarden.tenancy.ids import INVALID
from otelwarden.tenancy.measurements import OVERFLOW
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.resolution import COMPONENT, Tenancy
from otelwarden.tenancy.stage import retagged, tenancy_of
from otelwarden.tenancy.verdicts import Verdict


class PointJudge:
    """What tenancy does to a collection."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy
        self._attribute = tenancy.config.attribute
        self._default = tenancy.config.default_tenant

    def __call__(self, data: MetricsData, dropped: DropPoints) -> MetricsData:
        """The points that may leave, with the tags they leave with."""
        quarantined: Counter[tuple[str, str]] = Counter()
        judged: list[ResourceMetrics] = []
        for each in data.resource_metrics:
            change = partial(self._metric, each.resource.attributes, dropped, quarantined)
            judged += map_metrics(MetricsData([each]), change).resource_metrics
        for (tenant, reason), count in quarantined.items():
            self._tenancy.runtime.emit(COMPONENT, "quarantine", reason, tenant=tenant, signal=METRICS, count=count)
        return MetricsData(judged)

    def _metric(
        self,
        resource: Mapping[str, Any],
        dropped: DropPoints,
        quarantined: Counter[tuple[str, str]],
        metric: Metric,
    ) -> Metric | None:
        points: list[Any] = []
        for point in metric.data.data_points:
            verdict = self._verdict(resource, plain_attributes(point.attributes))
            drop = verdict.bars(METRICS)
            if drop is not None:
                dropped(verdict.tenant, drop.reason, 1)
                continue
            if verdict.action == "quarantine":
                quarantined[verdict.measured, verdict.reason] += 1
            points.append(_with_tags(point, verdict))
        if not points:
            return None
        if len(points) == len(metric.data.data_points) and all(map(is_, points, metric.data.data_points)):
            return metric
        data: Any = metric.data
        return replace(metric, data=replace(data, data_points=points))

    def _verdict(self, resource: Mapping[str, Any], attributes: Mapping[str, Any]) -> Verdict:
        tag = attributes.get(self._attribute)
        if tag is not None:
            return self._tenancy.admit(tag if type(tag) is str else INVALID)
        if attributes.get(OVERFLOW) is True:
            return self._tenancy.admit(self._default)
        return self._tenancy.judge(Context(), resource, attributes)[0]


def _with_tags(point: DataPointT, verdict: Verdict) -> Any:
    attributes = plain_attributes(point.attributes)
    for key, value in verdict.tags.items():
        if attributes.get(key) != value:
            return replace(point, attributes=retagged(attributes, verdict))
    return point


class TenantMetricReader(GovernedMetricReader):
    """Judges the points of each collection by the registry as it is then, and tags those without a tenant.

    Points of tenants that may not pass are held back: a suspended tenant's cumulative sums go on where they were once
    it is active again. Those of pending tenants are quarantined. Chosen attributes of the tenant are stamped here. A
    point without a tag belongs to its resource's tenant or the default; a series of overflow always to the default,
    since it is everybody's.

    A tag that is there already is believed: `TenantMeterProvider` puts it there and lets no other through.

    Args:
        reader: the next in line, in-memory, periodic or pull.
        registry: the known tenants; needed unless `tenancy` is given.
        config: how to decide; None for the defaults.
        tenancy: registry and configuration in one, shared by the signals of a pipeline; instead of the two.
        on_error: what becomes of a collection that tenancy failed on; one that passes leaves as it came.
        runtime: None for the one of `tenancy`, or that of all stages that are used by hand.

    Raises:
        ConfigError: both or neither of `registry` and `tenancy` are given, or the configuration does not fit.
    """

    def __init__(
        self,
        reader: MetricReader,
        *,
        registry: TenantRegistry | None = None,
        config: TenancyConfig | None = None,
        tenancy: Tenancy | None = None,
        on_error: OnError = "pass",
        runtime: Runtime | None = None,
    ) -> None:
        self._self_tenancy = tenancy_of(tenancy, registry, config, runtime)
        super().__init__(
            reader,
            PointJudge(self._self_tenancy),
            component=COMPONENT,
            on_error=on_error,
            runtime=runtime or self._self_tenancy.runtime,
        )

    def _settle(self, received: dict[str, int], drops: dict[tuple[str, str], int], forwarded: dict[str, int]) -> None:
        # Whose a point is turns out here, so it was received on the account on which it leaves or is dropped. A point
        # that did neither is owed by the default tenant: the sum is still counted on its own.
        accounts: Counter[str] = Counter(forwarded)
        for (tenant, _), count in drops.items():
            accounts[tenant] += count
        if lost := sum(received.values()) - accounts.total():
            accounts[self._self_tenancy.config.default_tenant] += lost
        super()._settle(accounts, drops, forwarded)
