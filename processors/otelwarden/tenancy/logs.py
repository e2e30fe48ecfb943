"""Tenancy of log records."""

from __future__ import annotations

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from otelwarden.core import LOGS, LogStageProcessor, OnError, Runtime, copy_log, log_attributes, tag_log
from otelwarden.tenancy.config import TenancyConfig
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.resolution import COMPONENT, Tenancy
from otelwarden.tenancy.stage import TenancyStage, retagged, tenancy_of
from otelwarden.tenancy.verdicts import Verdict


class TenantLogRecordProcessor(LogStageProcessor):
    """Tags log records with their tenant, and lets through those whose tenant may pass.

    A record belongs to the tenant of the span it was made in, unless its own context names another. It is tagged in
    place, as the specification wants: processors registered after this one see it. Where the tag would not fit within
    the limits of attributes, a copy leaves that carries it.

    Args:
        next_processor: the next in line; gets what passes.
        registry: the known tenants; needed unless `tenancy` is given.
        config: how to decide; None for the defaults.
        tenancy: registry and configuration in one, shared by the signals of a pipeline; instead of the two.
        on_error: what becomes of a record that tenancy failed on; one that passes belongs to the default tenant.
        runtime: None for the one of `tenancy`, or that of all stages that are used by hand.

    Raises:
        ConfigError: both or neither of `registry` and `tenancy` are given, or the configuration does not fit.
    """

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        *,
        registry: TenantRegistry | None = None,
        config: TenancyConfig | None = None,
        tenancy: Tenancy | None = None,
        on_error: OnError = "pass",
        runtime: Runtime | None = None,
    ) -> None:
        self.tenancy = tenancy_of(tenancy, registry, config, runtime)
        self._judging = TenancyStage(self.tenancy, LOGS, log_attributes, self._with_tags, on_error=on_error)
        super().__init__(
            next_processor,
            self._judging.judge,
            component=COMPONENT,
            on_error=on_error,
            resolver=self.tenancy,
            runtime=runtime or self.tenancy.runtime,
        )

    def _with_tags(self, record: ReadWriteLogRecord, verdict: Verdict) -> ReadWriteLogRecord:
        for key, value in verdict.tags.items():
            if not tag_log(record, key, value):
                attributes = log_attributes(record)
                if attributes.get(key) != value:
                    return copy_log(record, attributes=retagged(attributes, verdict))
        return record
