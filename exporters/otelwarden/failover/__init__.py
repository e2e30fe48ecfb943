"""Failover: telemetry leaves by whichever endpoint takes it, and every item that none took is counted."""

from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.draining import drain
from otelwarden.failover.endpoint import Endpoint
from otelwarden.failover.environment import endpoint_of_environment
from otelwarden.failover.health import EndpointStats, PooledEndpoint, Status
from otelwarden.failover.logs import FailoverLogRecordExporter
from otelwarden.failover.metrics import FailoverMetricExporter
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.selection import PrioritySelection, Selection
from otelwarden.failover.spans import FailoverSpanExporter
from otelwarden.failover.spool import Spool, SpoolConfig, SpoolStats, StreamReport, inspect

__all__ = [
    "Endpoint",
    "EndpointPool",
    "EndpointStats",
    "FailoverConfig",
    "FailoverLogRecordExporter",
    "FailoverMetricExporter",
    "FailoverSpanExporter",
    "PooledEndpoint",
    "PrioritySelection",
    "Selection",
    "Spool",
    "SpoolConfig",
    "SpoolStats",
    "Status",
    "StreamReport",
    "drain",
    "endpoint_of_environment",
    "inspect",
]
