"""Failover: telemetry leaves by whichever endpoint takes it, and every item that none took is counted."""

from otelwarden.failover.checks import EndpointCheck, HealthCheck
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.draining import drain
from otelwarden.failover.endpoint import Endpoint
from otelwarden.failover.environment import endpoint_of_environment, endpoints_of_environment
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.logs import FailoverLogRecordExporter
from otelwarden.failover.metrics import FailoverMetricExporter
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.selection import (
    ConsistentSelection,
    LeastInFlightSelection,
    PrioritySelection,
    RandomSelection,
    RoundRobinSelection,
    Selection,
    WeightedSelection,
)
from otelwarden.failover.spans import FailoverSpanExporter
from otelwarden.failover.spool import Spool, SpoolConfig, SpoolStats, StreamReport, inspect
from otelwarden.failover.stats import EndpointStats, PoolStats
from otelwarden.failover.status import Status

__all__ = [
    "ConsistentSelection",
    "Endpoint",
    "EndpointCheck",
    "EndpointPool",
    "EndpointStats",
    "FailoverConfig",
    "FailoverLogRecordExporter",
    "FailoverMetricExporter",
    "FailoverSpanExporter",
    "HealthCheck",
    "LeastInFlightSelection",
    "Outbound",
    "PoolStats",
    "PooledEndpoint",
    "PrioritySelection",
    "RandomSelection",
    "RoundRobinSelection",
    "Selection",
    "Spool",
    "SpoolConfig",
    "SpoolStats",
    "Status",
    "StreamReport",
    "WeightedSelection",
    "drain",
    "endpoint_of_environment",
    "endpoints_of_environment",
    "inspect",
]
