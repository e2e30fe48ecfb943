"""The exporter of metrics."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import Aggregation

from otelwarden.core import (
    METRICS,
    Drop,
    Runtime,
    TenantRouting,
    map_metrics,
    map_points,
    points_by_tenant,
    tenant_of_point,
)
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoints
from otelwarden.failover.exporter import Exporting, Handling
from otelwarden.failover.pool import DEFAULTS, EndpointPool
from otelwarden.failover.spool import Spool
from otelwarden.failover.temporality import aggregation_of_environment, temporality_of_environment
from otelwarden.otlp import encode_metrics

_POINT: Final = 1024
"""Bytes of memory that a data point takes, about."""

_OTHERS: Final = Drop("of another tenant")


def _handling(runtime: Runtime) -> Handling:
    attribute = runtime.tenant_attribute

    def only(data: MetricsData, tenants: Container[str]) -> MetricsData:
        return map_metrics(
            data,
            lambda metric: map_points(
                metric,
                lambda point: point if tenant_of_point(point, attribute) in tenants else _OTHERS,
                attribute,
                lambda tenant, reason, count: None,  # they leave by another way
            ),
        )

    return Handling(
        encode=encode_metrics,
        count=lambda data: points_by_tenant(data, attribute),
        tenant_of=lambda point: tenant_of_point(point, attribute),
        only=only,
        size=lambda data: _POINT * sum(points_by_tenant(data, attribute).values()),
    )


class FailoverMetricExporter(MetricExporter):
    """Exports metrics by OTLP to the best of several endpoints; in place of an `OTLPMetricExporter`.

    `export` encodes, hands over and returns; it waits for no endpoint. With a spool, what it took survives the process.

    Args:
        endpoints: URLs (of gRPC), mappings or `Endpoint`s, in the order of preference; None for those of `config`, or
            else the one of the OTLP environment.
        pool: shared with the other exporters of a pipeline, so that one outage is one failover; has its own endpoints.
        runtime: None for the one shared by all stages that are used by hand.
        preferred_temporality: by kind of instrument, over what the environment prefers.
        preferred_aggregation: by kind of instrument, over what the environment prefers.
        directory: tells the region, destinations and headers of tenants; None where nobody knows them.

    Raises ConfigError for endpoints that are none, and for preferences of the environment that there are not.
    """

    counts_its_losses = True

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        *,
        config: FailoverConfig = DEFAULTS,
        runtime: Runtime | None = None,
        pool: EndpointPool | None = None,
        preferred_temporality: dict[type, AggregationTemporality] | None = None,
        preferred_aggregation: dict[type, Aggregation] | None = None,
        directory: TenantRouting | None = None,
    ) -> None:
        super().__init__(
            preferred_temporality=temporality_of_environment() | (preferred_temporality or {}),
            preferred_aggregation=aggregation_of_environment() | (preferred_aggregation or {}),
        )
        self._exporting = Exporting(METRICS, _handling, endpoints, config, runtime, pool, directory)

    @property
    def pool(self) -> EndpointPool:
        """The endpoints and their health."""
        return self._exporting.pool

    @property
    def spool(self) -> Spool | None:
        """Where batches wait on disk; None when they wait in memory."""
        return self._exporting.spool

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Takes charge of the points; FAILURE only after `shutdown`. It waits for nothing, so no timeout applies."""
        taken = self._exporting.export(metrics_data)
        return MetricExportResult.SUCCESS if taken else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Waits until everything exported so far is delivered or dropped; whether it was in time."""
        return self._exporting.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Delivers what is left, then drops the rest, or leaves it in the spool, counted.

        It gives up before `timeout_millis` when nothing was settled for `FailoverConfig.shutdown_patience`.
        """
        self._exporting.shutdown(timeout_millis)
