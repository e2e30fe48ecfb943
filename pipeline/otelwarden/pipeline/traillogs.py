"""The audit trail's way out as log records: an exporter with connections, a spool and accounts of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from opentelemetry.sdk.resources import Resource

from otelwarden.audit import TrailLogs, TrailLogsConfig, TrailLogsStats
from otelwarden.core import Runtime
from otelwarden.failover import FailoverConfig, FailoverLogRecordExporter


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLogsPipeline:
    """The listener of a trail, and what its exporter accounts for apart from all other telemetry.

    If the accounts were the pipelines', each checkpoint would seal that the last one had left, which would leave, and
    so on; and an endpoint that is down would make a decision of each record that tells of it.
    """

    logs: TrailLogs
    runtime: Runtime
    """Of the exporter alone; nobody observes it."""

    @classmethod
    def open(
        cls, config: TrailLogsConfig, exporter: FailoverConfig, *, resource: Resource, runtime: Runtime
    ) -> TrailLogsPipeline:
        """The pipeline that a configuration describes.

        Args:
            exporter: the configuration of the exporter that it names.
            runtime: whose errors count what is lost.

        Raises:
            ConfigError: an endpoint is none, or the spool cannot be opened.
        """
        if exporter.spool is not None:
            # A directory is shared by whoever replays what is in it.
            spool = replace(exporter.spool, path=f"{exporter.spool.path.rstrip('/')}-audit")
            exporter = replace(exporter, spool=spool)
        own = Runtime(clock=runtime.clock, config_digest=runtime.config_digest)
        exports = FailoverLogRecordExporter(config=exporter, runtime=own)
        logs = TrailLogs(exports, resource=resource, max_bytes=config.max_bytes, runtime=runtime)
        return cls(logs=logs, runtime=own)

    def stats(self) -> TrailLogsStats:
        """What was done so far in this process; what the exporter took and dropped is among the lost."""
        stats = self.logs.stats()
        lost = Counter(stats.lost)
        for balance in self.runtime.balances():
            lost.update(balance.dropped)
        return replace(stats, lost=dict(lost))
