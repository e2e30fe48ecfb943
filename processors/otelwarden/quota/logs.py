"""The limit on log records."""

from __future__ import annotations

from typing import Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.trace import get_current_span

from otelwarden.core import (
    LOGS,
    Deadline,
    Drop,
    ItemState,
    LogStageProcessor,
    OnError,
    Runtime,
    TenantResolver,
    flush_within,
    item_ids,
    randomness_of,
    shutdown_within,
)
from otelwarden.quota.limiter import QuotaLimiter
from otelwarden.quota.notice import SOURCE
from otelwarden.quota.overflow import Overflow
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
        reroute: begins another pipeline, which gets the records over a limit; needed for `overflow: reroute`.
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
        reroute: LogRecordProcessor | None = None,
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
        self._follow = limiter.config.logs_follow_traces and limiter.config.overflow != "observe"
        self._rerouted = reroute
        self._over: Overflow[ReadWriteLogRecord] = Overflow(
            limiter.config,
            LOGS,
            is_error=_is_error,
            reroute=reroute.on_emit if reroute is not None else None,
            runtime=self._stage.runtime,
        )

    def _charge(self, record: ReadWriteLogRecord, state: ItemState) -> ReadWriteLogRecord | Drop:
        if state.source == SOURCE:
            return record  # our own notice to a tenant over its limits
        context = record.log_record.context
        if self._follow and context is not None:
            verdict = verdict_of(get_current_span(context).get_span_context().trace_state)
            reason = verdict.reason if verdict is not None and verdict.held is None else None
            if reason is not None and reason in OVER_LIMIT:
                if self._over.exempts(record, state.tenant, reason):
                    return record
                return self._over.drop(record, reason, TRACE_DROPPED)
        refusal = self._take(state.tenant, LOGS, record)
        if refusal is None or self._over.passes(record, state.tenant, refusal, _randomness(record)):
            return record
        return self._over.drop(record, refusal)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Shuts down the next in line, and the pipeline of what is over a limit."""
        deadline = Deadline.after_millis(timeout_millis)
        super().shutdown(deadline.remaining_millis)
        if self._rerouted is not None:
            shutdown_within(self._rerouted, deadline, self._stage.errors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes both likewise."""
        deadline = Deadline.after_millis(timeout_millis)
        done = super().force_flush(deadline.remaining_millis)
        return (self._rerouted is None or flush_within(self._rerouted, deadline, self._stage.errors)) and done


def _is_error(record: ReadWriteLogRecord) -> bool:
    severity = record.log_record.severity_number
    return severity is not None and severity.value >= SeverityNumber.ERROR.value


def _randomness(record: ReadWriteLogRecord) -> int | None:
    """Records of one trace go together; those of none are left to chance."""
    trace_id, _ = item_ids(record)
    if not trace_id:
        return None
    context = record.log_record.context
    return randomness_of(
        trace_id, None if context is None else get_current_span(context).get_span_context().trace_state
    )
