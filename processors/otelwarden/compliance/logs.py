"""The compliance stage for log records: takes the sample, and holds back what may not leave."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter

from otelwarden.compliance.watch import Watch
from otelwarden.core import (
    LOGS,
    Drop,
    ItemState,
    LogStageExporter,
    LogStageProcessor,
    LogTransform,
    Runtime,
    TenantResolver,
)


def _transform(watch: Watch) -> LogTransform:
    def transform(record: Any, state: ItemState) -> Any | Drop:
        watch.take_one(LOGS, record)
        return watch.refuses(LOGS, state.tenant) or record

    return transform


class ComplianceLogRecordProcessor(LogStageProcessor):
    """Shows each log record to the watch; the arguments are those of `ComplianceSpanProcessor`."""

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        *,
        watch: Watch,
        resolver: TenantResolver | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(
            next_processor,
            _transform(watch),
            component="compliance",
            on_error="pass",
            resolver=resolver,
            runtime=runtime or watch.runtime,
        )


class ComplianceLogRecordExporter(LogStageExporter):
    """The same in front of an exporter; the arguments are those of `ComplianceSpanExporter`."""

    def __init__(self, next_exporter: LogRecordExporter, *, watch: Watch, runtime: Runtime | None = None) -> None:
        super().__init__(
            next_exporter,
            _transform(watch),
            component="compliance",
            on_error="pass",
            runtime=runtime or watch.runtime,
        )
