"""The running pipelines of one configuration, held in one hand."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from otelwarden.audit import AuditTrail
from otelwarden.core import Balance, Deadline, Runtime
from otelwarden.pipeline.handler import detach_handler
from otelwarden.pipeline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One snapshot of everything. Counts are of this process since it started or was forked."""

    balances: tuple[Balance, ...]
    """What became of the items, for each stage, signal and tenant."""
    decisions: tuple[Mapping[str, Any], ...]
    """How often each kind of decision was taken: component, action, reason, tenant, signal, count."""
    errors: Mapping[str, Mapping[str, int]]
    """Errors caught: component -> `place:type` -> count."""
    tenants: Mapping[str, int]
    """Tenants by status; empty without tenancy."""
    usage: tuple[Mapping[str, Any], ...]
    """What the quota allowed and what was over it; empty without quota."""
    endpoints: tuple[Mapping[str, Any], ...]
    """State and counts of each endpoint."""
    audit: Mapping[str, Any]
    """State of the trail; empty without audit."""

    @property
    def unaccounted(self) -> int:
        """Items that no stage accounts for; 0 when the pipelines are at rest."""
        return sum(abs(balance.unaccounted) for balance in self.balances)


@dataclass(slots=True, kw_only=True)
class Parts:
    """What `build` made, and what must be stopped again; filled as it goes, so that a failure half way can be undone."""

    runtime: Runtime
    tracer_provider: TracerProvider | None = None
    logger_provider: LoggerProvider | None = None
    meter_provider: MeterProvider | None = None
    sdk_meter_provider: SdkMeterProvider | None = None
    span_processor: SpanProcessor | None = None
    log_processor: LogRecordProcessor | None = None
    trail: AuditTrail | None = None
    handler: logging.Handler | None = None
    registry: Any = None
    limiter: Any = None
    pools: list[Any] = field(default_factory=list)
    closers: list[Callable[[], None]] = field(default_factory=list)


class Warden:
    """The running pipelines. Made by `configure()`.

    Attributes:
        settings: the configuration in force.
        runtime: what the stages share; observe it to hear of every decision.
        tracer_provider: None when the configuration has no pipeline for traces; the other two likewise.
    """

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.settings = settings
        self.runtime = parts.runtime
        self.tracer_provider = parts.tracer_provider
        self.logger_provider = parts.logger_provider
        self.meter_provider = parts.meter_provider
        self._parts = parts
        self._down = False
        atexit.register(self.shutdown)

    def stats(self) -> Stats:
        """A snapshot of everything."""
        parts = self._parts
        return Stats(
            balances=tuple(self.runtime.balances()),
            decisions=tuple(
                {**decision._asdict(), "count": count} for decision, count in self.runtime.decisions().items()
            ),
            errors=self.runtime.error_counts(),
            tenants=parts.registry.stats() if parts.registry is not None else {},
            usage=tuple(parts.limiter.usage()) if parts.limiter is not None else (),
            endpoints=tuple(endpoint for pool in parts.pools for endpoint in pool.stats()),
            audit=parts.trail.stats() if parts.trail is not None else {},
        )

    def force_flush(self, timeout: float = 30.0) -> bool:
        """Exports what every pipeline holds.

        Args:
            timeout: seconds, shared by all.

        Returns:
            Whether everything went out in time.
        """
        deadline = Deadline(timeout)
        parts, errors = self._parts, self.runtime.errors("pipeline")
        done = True
        for component in (parts.span_processor, parts.log_processor, parts.sdk_meter_provider):
            if component is None:
                continue
            try:
                done = component.force_flush(deadline.remaining_millis) is not False and done
            except Exception as error:  # the meter provider raises when a reader fails or is late
                errors.record("force_flush", error)
                done = False
        if parts.trail is not None:
            done = parts.trail.flush(deadline) and done
        return done and not deadline.expired

    def shutdown(self, timeout: float = 30.0) -> None:
        """Exports what every pipeline holds and stops everything; what is left at the deadline is dropped and counted.

        Called at exit unless it was called before.

        Args:
            timeout: seconds, shared by all.
        """
        if self._down:
            return
        self._down = True
        atexit.unregister(self.shutdown)
        stop(self._parts, Deadline(timeout))


def stop(parts: Parts, deadline: Deadline) -> None:
    """Stops what was built, from the application's side towards the outside; the trail last, to seal the rest."""
    errors = parts.runtime.errors("pipeline")

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            errors.record("shutdown", error)

    if (handler := parts.handler) is not None:
        attempt(lambda: detach_handler(handler))
    for processor in (parts.span_processor, parts.log_processor):
        if processor is not None:
            # Through the chain and not the provider, whose own shutdown knows no deadline.
            attempt(lambda each=processor: each.shutdown(deadline.remaining_millis))  # type: ignore[misc]
    for provider in (parts.tracer_provider, parts.logger_provider):
        if provider is not None:
            attempt(provider.shutdown)
    if (meters := parts.sdk_meter_provider) is not None:
        attempt(lambda: meters.shutdown(deadline.remaining_millis))
    for close in parts.closers:
        attempt(close)
    if (trail := parts.trail) is not None:
        attempt(lambda: trail.close(deadline.remaining))
