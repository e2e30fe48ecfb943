"""The exporter of log records."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from otelwarden.core import LOGS, Runtime, TenantRouting
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoints
from otelwarden.failover.exporter import Exporting, handling_of_items
from otelwarden.failover.pool import DEFAULTS, EndpointPool
from otelwarden.failover.spool import Spool
from otelwarden.otlp import encode_logs


class FailoverLogRecordExporter(LogRecordExporter):
    """Exports log records by OTLP to the best of several endpoints; in place of an `OTLPLogExporter`.

    `export` encodes, hands over and returns; it waits for no endpoint. With a spool, what it took survives the process.

    Args:
        endpoints: URLs (of gRPC), mappings or `Endpoint`s, in the order of preference; None for those of `config`, or
            else the one of the OTLP environment.
        pool: shared with the other exporters of a pipeline, so that one outage is one failover; has its own endpoints.
        runtime: None for the one shared by all stages that are used by hand.
        directory: tells the region, destinations and headers of tenants; None where nobody knows them.

    Raises ConfigError for endpoints that are none.
    """

    counts_its_losses = True

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        *,
        config: FailoverConfig = DEFAULTS,
        runtime: Runtime | None = None,
        pool: EndpointPool | None = None,
        directory: TenantRouting | None = None,
    ) -> None:
        handling = handling_of_items(encode_logs)
        self._exporting = Exporting(LOGS, lambda _: handling, endpoints, config, runtime, pool, directory)

    @property
    def pool(self) -> EndpointPool:
        """The endpoints and their health."""
        return self._exporting.pool

    @property
    def spool(self) -> Spool | None:
        """Where batches wait on disk; None when they wait in memory."""
        return self._exporting.spool

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Takes charge of the records; FAILURE only after `shutdown`."""
        taken = self._exporting.export(batch)
        return LogRecordExportResult.SUCCESS if taken else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until everything exported so far is delivered or dropped; whether it was in time."""
        return self._exporting.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Delivers what is left, then drops the rest, or leaves it in the spool, counted.

        It gives up before `timeout_millis` when nothing was settled for `FailoverConfig.shutdown_patience`.
        """
        self._exporting.shutdown(timeout_millis)
