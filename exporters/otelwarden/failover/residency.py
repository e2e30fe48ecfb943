"""Tells, once a period for each tenant, that its telemetry may go nowhere."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from otelwarden.core import Runtime, Signal, run_in_child_after_fork

PERIOD: Final = 60.0
"""Seconds; a batch a second would be an event a second, about something that only people can change."""

_MAX_TENANTS: Final = 1_000


class ResidencyNews:
    """The event `residency`, reason `no_allowed_endpoint`, with the items of the batch that met it."""

    def __init__(self, signal: Signal, runtime: Runtime) -> None:
        self._signal: Signal = signal
        self._runtime = runtime
        self._now_ns = runtime.clock.monotonic_ns
        self._start_over()
        run_in_child_after_fork(self._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._told_ns: dict[str, int] = {}

    def tell(self, tenants: Mapping[str, int]) -> None:
        """There is no endpoint that these tenants' items may go to."""
        for tenant, count in tenants.items():
            if self._is_news(tenant):
                reason = "no_allowed_endpoint"
                self._runtime.emit("failover", "residency", reason, tenant=tenant, signal=self._signal, count=count)

    def _is_news(self, tenant: str) -> bool:
        with self._lock:
            now = self._now_ns()
            told = self._told_ns.get(tenant)
            if told is not None and now - told < PERIOD * 1e9:
                return False
            if len(self._told_ns) >= _MAX_TENANTS:
                self._told_ns.clear()
            self._told_ns[tenant] = now
            return True
