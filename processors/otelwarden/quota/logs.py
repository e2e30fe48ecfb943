"""The limit on log records."""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.trace import get_current_span

from otelwarden.core import (
    LOGS,
    Drop,
    ItemState,
    LogStageProcessor,
    OnError,
    Runtime,
    TenantResolver,
    item_ids,
)
from otelwarden.quota.limiter import QuotaLimiter
from otelwarden.quota.notice import SOURCE
from otelwarden.quota.spans import DROPS
from otelwarden.quota.verdict import OVER_LIMIT, verdict_of

TRACE_DROPPED: Final = Drop("trace_dropped")


class QuotaLogRecordProcessor(LogStageProcessor):
    """Drops log records over their tenant's limits, and those of traces that `QuotaSampler` dropped.

    The latter are dropped for the reason `trace_dropped`, uncharged, unless `logs_follow_traces` is off. Records
    outside of any trace, of traces that another sampler dropped, or of those that wait in the reserve for errors, are
    judged by their own limit alone.

    Args:
        next_processor: gets the records within the limits.
        limiter: shared with the other signals.
        on_error: what becomes of a record that could not be charged.
        resolver: whose a record is that no stage before this one has asked about.
        count_bytes: whether the accounts are in bytes too; 1 us for each item unless a batch processor of ours is next.
        runtime: None for the one shared by all stages that are used by hand.
    """

    def __init__(
        self,
        next_processor: LogRecordProcessor,
        *,
        limiter: QuotaLimiter,
        on_error: OnError = "pass",
        resolver: TenantResolver | None = None,
        count_bytes: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(
            next_processor,
            self._charge,
            component="quota",
            on_error=on_error,
            resolver=resolver,
            count_bytes=count_bytes,
            runtime=runtime,
        )
        self._take = limiter.charge
        self._observe = limiter.config.overflow == "observe"
        self._follow = limiter.config.logs_follow_traces and not self._observe

    def _charge(self, record: ReadWriteLogRecord, state: ItemState) -> ReadWriteLogRecord | Drop:
        if state.source == SOURCE:
            return record  # our own notice to a tenant over its limits
        context = record.log_record.context
        if self._follow and context is not None:
            verdict = verdict_of(get_current_span(context).get_span_context().trace_state)
            if verdict is not None and verdict.held is None and verdict.reason in OVER_LIMIT:
                return TRACE_DROPPED
        refusal = self._take(state.tenant, LOGS, record)
        if refusal is None:
            return record
        if not self._observe:
            return DROPS.get(refusal) or Drop(refusal)
        trace_id, span_id = item_ids(record)
        self._stage.runtime.emit(
            "quota",
            "would_drop",
            refusal,
            tenant=state.tenant,
            signal=LOGS,
            trace_id=trace_id,
            span_id=span_id,
        )
        return record
