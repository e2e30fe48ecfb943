"""Tells a tenant, in its own stream, what of its telemetry was dropped and why.

One log record a period for each tenant of which anything was dropped, named `otelwarden.quota.dropped`. It goes the way
of the tenant's other records, and past its limits: a tenant that is throttled is who must hear of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelwarden.core import (
    LOGS,
    OTHER_TENANTS,
    SIGNALS,
    TRACES,
    ItemState,
    Runtime,
    Watcher,
    run_in_child_after_fork,
    set_state,
)
from otelwarden.quota.usageevents import COMPONENTS, UsageByTenant, Used, used_since, used_so_far

EVENT_NAME: Final = "otelwarden.quota.dropped"
SOURCE: Final = "notice"
"""Marks the state of a notice: where its tenant is known from. No application can set it."""

_SCOPE: Final = InstrumentationScope("otelwarden.quota")
_NAMES: Final[Mapping[str, str]] = {TRACES: "spans", LOGS: "log records"}


class DropNotices:
    """Sends the notices for as long as it lives, and the last ones when it is closed.

    Args:
        processor: begins the pipeline of log records.
        period: seconds between two notices to one tenant.
        resource: what the notices are of.
        runtime: that of the stages of quota, whose accounts say what was dropped.
    """

    def __init__(
        self, processor: LogRecordProcessor, *, period: float, resource: Resource | None = None, runtime: Runtime
    ) -> None:
        self._processor = processor
        self._period = period
        self._resource = resource or Resource({})
        self._runtime = runtime
        self._before: UsageByTenant = {}
        self._lock = threading.RLock()
        self._told_ns = runtime.clock.monotonic_ns()
        self._watcher = Watcher(self, name="notices")
        self._watcher.start(period)
        run_in_child_after_fork(self._in_child)

    def _in_child(self) -> None:
        self._lock = threading.RLock()
        self._before = {}  # the accounts begin at zero
        self._told_ns = self._runtime.clock.monotonic_ns()

    def reload(self) -> bool:
        """Sends what there is to tell since the last time; whether there was anything. Never raises."""
        try:
            with self._lock:
                now = self._runtime.clock.monotonic_ns()
                seconds, self._told_ns = (now - self._told_ns) / 1e9, now
                so_far = used_so_far(self._runtime.balances(*COMPONENTS), SIGNALS)
                news, self._before = used_since(so_far, self._before), so_far
            dropped: dict[str, dict[str, Used]] = {}
            for (tenant, signal), used in news.items():
                if used.dropped and tenant != OTHER_TENANTS:
                    dropped.setdefault(tenant, {})[signal] = used
            for tenant, by_signal in dropped.items():
                self._tell(tenant, by_signal, seconds)
            return bool(dropped)
        except Exception as error:
            self._runtime.errors("quota").record("notice", error)
            return False

    def _tell(self, tenant: str, by_signal: Mapping[str, Used], seconds: float) -> None:
        now = self._runtime.clock.time_ns()
        record = LogRecord(
            timestamp=now,
            observed_timestamp=now,
            context=Context(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            event_name=EVENT_NAME,
            body=_body(by_signal, seconds),
            attributes={self._runtime.tenant_attribute: tenant, **_attributes(by_signal, seconds)},
        )
        item = ReadWriteLogRecord(record, self._resource, _SCOPE)
        set_state(item, ItemState(tenant, SOURCE))
        self._processor.on_emit(item)
        self._runtime.emit("quota", "notify", "dropped", tenant=tenant, signal=LOGS)

    def close(self) -> None:
        """Sends the last notices and stops."""
        self._watcher.stop()
        self.reload()


def _body(by_signal: Mapping[str, Used], seconds: float) -> str:
    counts = [f"{sum(used.dropped.values()):,} {_NAMES.get(signal, signal)}" for signal, used in by_signal.items()]
    reasons = [
        f"{reason} {count:,} {_NAMES.get(signal, signal)}"
        for signal, used in by_signal.items()
        for reason, count in used.dropped.items()
    ]
    return f"over quota: {' and '.join(counts)} were dropped in the last {seconds:.0f} s ({', '.join(reasons)})"


def _attributes(by_signal: Mapping[str, Used], seconds: float) -> dict[str, Any]:
    """`otelwarden.quota.dropped.<signal>.<reason>`, in items, and `...dropped_bytes...` where they were measured."""
    found: dict[str, Any] = {"otelwarden.quota.period": round(seconds, 3)}
    for signal, used in by_signal.items():
        for reason, count in used.dropped.items():
            found[f"{EVENT_NAME}.{signal}.{reason}"] = count
        for reason, count in used.dropped_bytes.items():
            found[f"otelwarden.quota.dropped_bytes.{signal}.{reason}"] = count
    return found
