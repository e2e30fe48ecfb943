"""Decides whether an item is within its tenant's limits. Knows tenants, limits and meters, nothing of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from otelwarden.core import (
    LOGS,
    OTHER_TENANTS,
    SIGNALS,
    SYSTEM_CLOCK,
    TRACES,
    Clock,
    ConfigError,
    Count,
    Fault,
    Item,
    Runtime,
    Signal,
    TenantDirectory,
    default_runtime,
    measure,
    run_in_child_after_fork,
    threshold_of,
)
from otelwarden.quota.admission import Admission
from otelwarden.quota.config import QuotaConfig
from otelwarden.quota.gate import MeterGate
from otelwarden.quota.gcra import GcraMeter
from otelwarden.quota.headroom import headroom, reserve_of
from otelwarden.quota.limits import ALL, MetricLimits, SignalLimits, TenantLimits
from otelwarden.quota.meters import BUDGET, CLOSED, LimitStatus, MeterKey
from otelwarden.quota.places import Place, Places, Terms
from otelwarden.quota.series import SeriesLimiter
from otelwarden.quota.store import MemoryStore, Reachable, Store

MAX_TENANTS: Final = 16_384
"""Tenants with meters of their own, for each signal."""


class Usage(NamedTuple):
    """What one tenant used of one signal, in this process."""

    tenant: str
    signal: Signal
    allowed: int
    """Items that were within the limits."""
    over: int
    """Items that were over a limit, dropped or not."""


class Beginning(NamedTuple):
    """What was decided about a trace that begins here."""

    reason: str | None
    """None when it is kept; else why not: `rate` or `budget`."""
    threshold: int
    """Of its randomness, in [0, 2^56]."""
    spans: Count
    """Every span of the trace ticks this when it starts."""
    ended: Count | None = None
    """If the trace is kept, its first span ticks this when it ends; None if it is not."""


class _NoDirectory:
    """The directory of a pipeline without tenancy: nobody has limits of their own."""

    generation = 0

    def limits(self, tenant: str) -> Mapping[str, Any] | None:
        return None

    def plan(self, tenant: str) -> str | None:
        return None

    def time_zone(self, tenant: str) -> str | None:
        return None


class QuotaLimiter:
    """Decides, for each tenant and signal, whether items are within the limits; exact under threads, 0.5 us for a rate.

    A tenant's own limits come from `directory`, field by field over those of its plan and the defaults, and are in
    force as soon as its generation changes. Limits there that make no sense are counted as an error, and the last good
    ones stay.

    State is bounded: when `max_tenants` have meters, idle ones make room, since one that is full is the same as none.
    When none is idle, the tenants beyond share one set of meters under the default limits, so nobody's limit is ever
    reset.

    Args:
        directory: None if no tenant has limits of its own.
        store: None for the memory of this process.
        clock: of the memory store.
        max_tenants: tenants with meters of their own, for each signal.
        runtime: counts refused limits and hears of warnings; None for the one shared by all stages used by hand.
    """

    def __init__(
        self,
        config: QuotaConfig,
        *,
        directory: TenantDirectory | None = None,
        store: Store | None = None,
        clock: Clock = SYSTEM_CLOCK,
        max_tenants: int = MAX_TENANTS,
        runtime: Runtime | None = None,
    ) -> None:
        if max_tenants < 1:
            raise ConfigError([Fault(message="no room for any tenant", given=max_tenants, allowed="at least 1")])
        self.config = config
        self._directory = directory or _NoDirectory()
        self._store = store or MemoryStore(clock=clock)
        self.clock = clock
        """Of everything that is decided in this process."""
        self._monotonic_ns = clock.monotonic_ns
        self._runtime = runtime or default_runtime()
        self._errors = self._runtime.errors("quota")
        self._all = Places(self._store, self._terms, self._warn, max_tenants=max_tenants, clock=clock)
        self._places: Mapping[Signal, dict[str, Place]] = self._all.by_signal
        self.series = SeriesLimiter(self.cardinality_of, lambda: self._directory.generation)
        run_in_child_after_fork(self._restart_after_fork)

    @property
    def store_answers(self) -> bool:
        """Whether what was used is counted in the store; where it is out of reach limits are this process's alone."""
        return not (isinstance(self._store, Reachable) and self._store.down)

    # --- decisions

    def allow(self, tenant: str, signal: Signal, items: int = 1, size: int = 0) -> bool:
        """Takes items of the tenant's limits if they are within all of them. All or none are taken.

        Args:
            size: bytes of the items together, for limits on bytes.
        """
        return self.refusal(tenant, signal, items, size) is None

    def overdraw(self, tenant: str, signal: Signal, items: int = 1, size: int = 0) -> bool:
        """Takes items as `allow` does, but may go beyond a rate by up to `max_debt` items."""
        return self.refusal(tenant, signal, items, size, True) is None

    def refusal(self, tenant: str, signal: Signal, items: int = 1, size: int = 0, debt: bool = False) -> str | None:
        """Takes items if all limits allow it.

        Returns:
            None when they were taken; else why not: `rate`, `budget`, `size` or `store_down`.
        """
        try:
            place = self._places[signal][tenant]
        except KeyError:
            return self._ask(tenant, signal, items, size, debt)
        if place.generation == self._directory.generation:
            refusal = place.take(items, debt, size)
            if refusal is not CLOSED:
                return refusal
        return self._ask(tenant, signal, items, size, debt)

    def charge(self, tenant: str, signal: Signal, item: Item, debt: bool = False) -> str | None:
        """Takes one span or log record as `refusal` does; its size is measured only where bytes are limited."""
        # The lines of `refusal` again: calling it would cost a fifth of the decision.
        try:
            place = self._places[signal][tenant]
        except KeyError:
            return self._ask(tenant, signal, 1, measure(item), debt)
        if place.generation == self._directory.generation:
            refusal = place.take(1, debt, measure(item)) if place.counts_bytes else place.take(1, debt)
            if refusal is not CLOSED:
                return refusal
        return self._ask(tenant, signal, 1, measure(item), debt)

    def _ask(self, tenant: str, signal: Signal, items: int, size: int, debt: bool) -> str | None:
        while True:
            place = self._place(tenant, signal)
            refusal = place.take(items, debt, size)
            if refusal is not CLOSED:
                return refusal
            # Closed by an eviction that has not forgotten it yet; perhaps of this very thread, below a finalizer.
            self._all.forget(tenant, signal, place)

    # --- the sampler

    def admission_of(self, tenant: str) -> Admission:
        """The admission of the tenant's traces, whose counters the sampler ticks."""
        place = self._place(tenant, TRACES)
        admission = place.admission
        if admission is None:
            # Two threads may both make one; then the later is lost with a few ticks of its counters.
            place.admission = admission = place.admission or Admission(self._monotonic_ns())
        return admission

    def begin_trace(self, tenant: str, randomness: int, share: float = 1.0) -> Beginning:
        """Decides about a new trace of the tenant; see `Admission.decide`."""
        admission = self.admission_of(tenant)
        place = self._place(tenant, TRACES)
        limit, left, budget, others = headroom(place, self._places[LOGS].get(tenant))
        if limit is None and budget is None:
            return Beginning(None, threshold_of(share), admission.kept, admission.ended)
        reason, threshold = admission.decide(self._monotonic_ns(), limit, randomness, share, left, others)
        if reason is None:
            return Beginning(None, threshold, admission.kept, admission.ended)
        if reason == BUDGET and budget is not None and isinstance(place.gate, MeterGate):
            budget.refuse_ahead()
            place.gate.tell(budget)
        return Beginning(reason, threshold, admission.lost)

    def _reserve(self, tenant: str) -> GcraMeter | None:
        config = self.config.reserve
        return None if config is None else reserve_of(self._place(tenant, TRACES), config.share, self.clock)

    def has_reserve(self, tenant: str) -> bool:
        """Whether the tenant's reserve could keep a trace now."""
        reserve = self._reserve(tenant)
        return reserve is not None and (reserve.level() or 0) >= 1

    def take_reserve(self, tenant: str, spans: int) -> bool:
        """Takes the spans of a trace of the tenant's reserve, if it is not used up; the last trace may overdraw it.

        They are not charged: that is done, as ever, when they pass. New traces are left with the rest of the rate.
        """
        reserve = self._reserve(tenant)
        if reserve is None or (reserve.level() or 0) < 1 or reserve.take(spans, True) is not None:
            return False
        self.admission_of(tenant).unbidden.add(spans)
        return True

    # --- limits and what is left of them

    def limits_of(self, tenant: str) -> TenantLimits:
        """The limits of a tenant now in force: its own over its plan's over the default."""
        return self._read_limits(tenant, self.config.default)

    def limit_of(self, tenant: str, signal: Signal) -> SignalLimits | None:
        """The limits on one signal now in force; None for none."""
        limits = self._place(tenant, signal).terms.own
        return limits if limits is not None and limits.limits_anything else None

    def cardinality_of(self, tenant: str) -> int | None:
        """Active series that the tenant's metrics may have; None for any number."""
        metrics: MetricLimits | None = self.limits_of(tenant).metrics
        return metrics.cardinality if metrics is not None else None

    def level(self, tenant: str, signal: Signal) -> float | None:
        """Items that may pass now by the rate, negative when overdrawn; None without one."""
        return self._place(tenant, signal).level()

    def usage(self) -> list[Usage]:
        """What each tenant used so far; tenants that are not kept apart are summed up as `<other>`."""
        found = [Usage(tenant, signal, allowed, over) for tenant, signal, allowed, over in self._all.counts()]
        return [usage for usage in found if usage.allowed or usage.over]

    def status(self) -> list[LimitStatus]:
        """Every limit of every tenant that was met, and what is left of it."""
        found = [meter.status() for meter in self._all.meters()]
        return [each if each.tenant else replace(each, tenant=OTHER_TENANTS) for each in found]

    def reconfigure(self, config: QuotaConfig) -> None:
        """Sets other defaults and plans, in force with the next item of each tenant; what was taken stays taken.

        All other fields are those that the limiter began with.
        """
        self.config = replace(self.config, default=config.default, plans=config.plans)
        self._all.outdate()

    def close(self, timeout: float = 5.0) -> None:
        """Gives back to the store what this process holds and did not use.

        Args:
            timeout: seconds.
        """
        self._store.close(timeout)

    # --- how places are made

    def _place(self, tenant: str, signal: Signal) -> Place:
        return self._all.place(tenant, signal, self._directory.generation)

    def _terms(self, tenant: str, signal: Signal, last_good: Terms | None) -> Terms:
        """What holds for one signal of a tenant; no tenant stands for all that have no room."""
        if not tenant:
            limits = self.config.default
        else:
            limits = self._read_limits(tenant, last_good.limits if last_good is not None else self.config.default)
        own, together = limits.of(signal), limits.of(ALL)
        debt = self.config.debt_items
        return Terms(limits, own, together if signal in SIGNALS[:2] else None, debt(own), debt(together))

    def _read_limits(self, tenant: str, last_good: TenantLimits) -> TenantLimits:
        try:
            directory = self._directory
            return self.config.limits_of(directory.limits(tenant), directory.plan(tenant), directory.time_zone(tenant))
        except Exception as error:
            self._errors.record("limits", error)
            return last_good

    def _warn(self, key: MeterKey, level: int) -> None:
        """Tells that a budget was used up to `level` percent."""
        kind = f"{key.unit}/{key.kind}"
        signal = "" if key.scope == ALL else key.scope
        tenant = key.tenant or OTHER_TENANTS
        self._runtime.emit("quota", "warn", f"budget_{level}", tenant=tenant, signal=signal, target=kind)

    def _restart_after_fork(self) -> None:
        self._all.restart_after_fork()
