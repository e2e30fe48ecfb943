"""The stage for metrics: a metric reader around a metric reader.

Metrics have no processors. A reader is handed a function that collects, so a reader in front of it can change what that
function answers. `wrapt.ObjectProxy` keeps `isinstance`, equality and hash, by which the SDK finds a reader's storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import wrapt
from opentelemetry.sdk.metrics.export import (
    DataPointT,
    Metric,
    MetricReader,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)

from otelwarden.core._sdk import set_collect_callback
from otelwarden.core.drop import DROP_ON_ERROR, Drop
from otelwarden.core.events import METRICS
from otelwarden.core.failure import OnError
from otelwarden.core.protocols import UNATTRIBUTED
from otelwarden.core.runtime import Runtime, default_runtime

DropPoints: TypeAlias = Callable[[str, str, int], None]
"""Accounts for points that a transform leaves out: `(tenant, reason, count)`."""

MetricTransform: TypeAlias = Callable[[MetricsData, DropPoints], MetricsData]
PointTransform: TypeAlias = Callable[[DataPointT], "DataPointT | Drop"]


def tenant_of_point(point: DataPointT, attribute: str) -> str:
    """The tenant that a point is tagged with, or the tenant of untagged telemetry."""
    tenant = (point.attributes or {}).get(attribute)
    return tenant if isinstance(tenant, str) else UNATTRIBUTED


def points_by_tenant(data: MetricsData, attribute: str) -> dict[str, int]:
    """How many data points each tenant has in `data`."""
    counts: dict[str, int] = {}
    for resource_metrics in data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                for point in metric.data.data_points:
                    tenant = tenant_of_point(point, attribute)
                    counts[tenant] = counts.get(tenant, 0) + 1
    return counts


def map_metrics(data: MetricsData, change: Callable[[Metric], Metric | None]) -> MetricsData:
    """`data` with each metric replaced by what `change` makes of it; None leaves it out.

    Envelopes that end up empty are left out too: "senders SHOULD NOT create empty envelopes" (OTLP specification).
    What did not change is shared, not copied.
    """

    def scope(scope_metrics: ScopeMetrics) -> ScopeMetrics | None:
        metrics = [changed for metric in scope_metrics.metrics if (changed := change(metric)) is not None]
        return replace(scope_metrics, metrics=metrics) if metrics else None

    def resource(resource_metrics: ResourceMetrics) -> ResourceMetrics | None:
        scopes = [changed for each in resource_metrics.scope_metrics if (changed := scope(each)) is not None]
        return replace(resource_metrics, scope_metrics=scopes) if scopes else None

    return MetricsData([changed for each in data.resource_metrics if (changed := resource(each)) is not None])


def map_points(metric: Metric, change: PointTransform, tenant_attribute: str, dropped: DropPoints) -> Metric | None:
    """`metric` with each point replaced by what `change` makes of it; None when no point is left."""
    points: list[Any] = []
    same = True
    for point in metric.data.data_points:
        result = change(point)
        if isinstance(result, Drop):
            dropped(tenant_of_point(point, tenant_attribute), result.reason, 1)
            same = False
        else:
            points.append(result)
            same = same and result is point
    if same:
        return metric if points else None
    if not points:
        return None
    data: Any = metric.data
    return replace(metric, data=replace(data, data_points=points))


class GovernedMetricReader(wrapt.ObjectProxy[MetricReader]):
    """A metric reader in which a transform sees every collection before the reader does; base of the four.

    Several may be nested: the outermost sees the collection first.

    Args:
        reader: the next in line, in-memory, periodic or pull.
        transform: what the stage does to a collection; raising counts as an error.
        component: name of the component, as in the configuration.
        on_error: what becomes of a collection that the transform raised on.
    """

    def __init__(
        self,
        reader: MetricReader,
        transform: MetricTransform,
        *,
        component: str,
        on_error: OnError,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(reader)
        self._self_runtime = runtime or default_runtime()
        self._self_errors = self._self_runtime.errors(component)
        self._self_ledger = self._self_runtime.ledger(component, METRICS)
        self._self_component = component
        self._self_transform = transform
        self._self_on_error = on_error

    def _set_collect_callback(self, collect: Callable[..., MetricsData | None] | None) -> None:
        def collect_governed(*args: Any, **kwargs: Any) -> MetricsData | None:
            self._collecting()
            data = collect(*args, **kwargs) if collect is not None else None
            return None if data is None else self._govern(data)

        set_collect_callback(self.__wrapped__, collect_governed if collect is not None else None)

    def _collecting(self) -> None:
        """Called before each collection."""

    def _govern(self, data: MetricsData) -> MetricsData | None:
        attribute = self._self_runtime.tenant_attribute
        received = points_by_tenant(data, attribute)
        drops: dict[tuple[str, str], int] = {}

        def dropped(tenant: str, reason: str, count: int) -> None:
            drops[tenant, reason] = drops.get((tenant, reason), 0) + count

        try:
            result: MetricsData | None = self._self_transform(data, dropped)
        except Exception as error:
            self._self_errors.record("transform", error)
            drops.clear()
            result = data
            if self._self_on_error == "drop":
                result = None
                drops.update({(tenant, DROP_ON_ERROR.reason): count for tenant, count in received.items()})
        self._settle(received, drops, points_by_tenant(result, attribute) if result is not None else {})
        return result if result is not None and result.resource_metrics else None

    def _settle(self, received: dict[str, int], drops: dict[tuple[str, str], int], forwarded: dict[str, int]) -> None:
        for tenant, count in received.items():
            self._self_ledger.account(tenant).received.add(count)
        for tenant, count in forwarded.items():
            self._self_ledger.account(tenant).forwarded.add(count)
        for (tenant, reason), count in drops.items():
            self._self_ledger.account(tenant).dropped(reason).add(count)
            self._self_runtime.emit(self._self_component, "drop", reason, tenant=tenant, signal=METRICS, count=count)
