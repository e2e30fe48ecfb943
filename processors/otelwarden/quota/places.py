"""The gates of all tenants: made when they are first needed, kept up to date, and given up when they are idle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from otelwarden.core import LOGS, OTHER_TENANTS, SIGNALS, TRACES, Clock, Signal
from otelwarden.quota.admission import Admission
from otelwarden.quota.gate import Gate, MeterGate
from otelwarden.quota.gcra import NO_KEY, GcraMeter
from otelwarden.quota.limits import ALL, Scope, SignalLimits, TenantLimits
from otelwarden.quota.meters import BYTES, ITEMS, BudgetLimit, Limit, Meter, MeterKey, RateLimit
from otelwarden.quota.store import Store

_EVICT_SHARE: Final = 8
_EVICT_EVERY_NS: Final = 1_000_000_000
_DEBT_BYTES_PER_ITEM: Final = 1024
"""A rate of bytes may be overdrawn by this much for each span of debt."""

Warn: TypeAlias = Callable[[MeterKey, int], None]


class Terms(NamedTuple):
    """What holds for one signal of one tenant."""

    limits: TenantLimits
    """All limits of the tenant."""
    own: SignalLimits | None
    """Those on this signal."""
    together: SignalLimits | None
    """Those on all signals together."""
    debt: int
    """Items by which the rate of this signal may be overdrawn."""
    debt_together: int = 0
    """Items by which the rate of all signals together may be overdrawn."""


def limits_by_key(
    tenant: str, scope: Scope, limits: SignalLimits | None, terms: TenantLimits, debt: int
) -> dict[MeterKey, Limit]:
    """The single limits that the limits on a scope are made of."""
    found: dict[MeterKey, Limit] = {}
    if limits is None:
        return found
    if limits.rate is not None:
        found[MeterKey(tenant, scope, ITEMS, "rate")] = RateLimit(limits.rate, limits.burst_items, debt)
    if limits.byte_rate is not None:
        overdraft = max(limits.burst_bytes, debt * _DEBT_BYTES_PER_ITEM) if debt else 0
        found[MeterKey(tenant, scope, BYTES, "rate")] = RateLimit(limits.byte_rate, limits.burst_bytes, overdraft)
    zone = terms.zone
    for budgets, soft in ((limits.budget, False), (limits.soft_budget, True)):
        for unit, amounts in ((ITEMS, budgets.items), (BYTES, budgets.bytes)):
            for amount, period in amounts:
                found[MeterKey(tenant, scope, unit, period, soft)] = BudgetLimit(amount, period, zone, soft)
    return found


class Place:
    """The gate of one tenant and signal, the terms it was made by, and what the sampler knows."""

    __slots__ = ("admission", "counts_bytes", "gate", "generation", "reserve", "take", "terms")

    def __init__(self, gate: GcraMeter | MeterGate, terms: Terms, generation: int) -> None:
        self.admission: Admission | None = None
        self.reserve: GcraMeter | None = None
        self.renew(gate, terms, generation)

    def renew(self, gate: GcraMeter | MeterGate, terms: Terms, generation: int) -> None:
        """Puts another gate, or another version of the terms, into force."""
        self.gate = gate
        self.terms = terms
        self.counts_bytes = any(each.counts_bytes for each in (terms.own, terms.together) if each is not None)
        self.take = gate.take
        self.generation = generation

    @property
    def meters(self) -> tuple[Meter, ...]:
        """The meters of this signal alone."""
        gate = self.gate
        if isinstance(gate, MeterGate):
            return gate.meters
        return (gate,) if gate.limit is not None else ()

    def _rate(self) -> Meter | None:
        return next((meter for meter in self.meters if meter.key.kind == "rate" and meter.key.unit == ITEMS), None)

    def level(self) -> float | None:
        """Items that may pass now by the rate; None without one."""
        rate = self._rate()
        if rate is None:
            return None
        return rate.level() if isinstance(rate, GcraMeter) else float(rate.status().remaining)

    def own_limit(self) -> RateLimit | None:
        """The rate of items that this process may count on now; None without one."""
        limits, rate = self.terms.own, self._rate()
        if limits is None or limits.rate is None or rate is None:
            return None
        share = rate.share()
        return RateLimit(limits.rate * share, max(1, int(limits.burst_items * share)))

    def close_if_idle(self, now_ns: int) -> bool:
        """Closes the gate if forgetting it would lose nothing; whether it is closed."""
        known = self.admission
        full = known is None or known.is_full(now_ns, self.own_limit())
        return full and (self.reserve is None or self.reserve.idle()) and self.gate.close_if_idle()

    def restart_after_fork(self) -> None:
        """Makes gate and admission usable in a forked child."""
        self.gate.restart_after_fork()
        if self.admission is not None:
            self.admission.restart_after_fork()
        if self.reserve is not None:
            self.reserve.restart_after_fork()


class _Together:
    """The meters of a tenant's signals together, and how many gates use them."""

    __slots__ = ("meters", "users")

    def __init__(self) -> None:
        self.meters: dict[MeterKey, Meter] = {}
        self.users = 0


class Places:
    """The places of all tenants, bounded by their number; exact under threads.

    Args:
        terms: says what holds for a tenant and signal; given the last good terms, or None.
        warn: told of budgets that were used up to a percentage.
        max_tenants: for each signal.
    """

    def __init__(
        self,
        store: Store,
        terms: Callable[[str, Signal, Terms | None], Terms],
        warn: Warn,
        *,
        max_tenants: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._terms = terms
        self._warn = warn
        self._max_tenants = max_tenants
        self._clock = clock
        self._monotonic_ns = clock.monotonic_ns
        self._lock = threading.RLock()
        self._together: dict[str, _Together] = {}
        self._next_eviction: dict[Signal, int] = dict.fromkeys(SIGNALS, 0)
        self._gone: dict[Signal, tuple[int, int]] = dict.fromkeys(SIGNALS, (0, 0))
        self.by_signal: Mapping[Signal, dict[str, Place]] = {signal: {} for signal in SIGNALS}
        """Signal -> tenant -> place; read without a lock, changed only here."""
        self._shared: dict[Signal, Place] = {}

    def place(self, tenant: str, signal: Signal, generation: int) -> Place:
        """The tenant's place under the terms now in force, made if there is room, else the one that others share."""
        place = self.by_signal[signal].get(tenant)
        if place is not None and place.generation == generation:
            return place
        with self._lock:
            places = self.by_signal[signal]
            place = places.get(tenant)
            if place is not None:
                if place.generation != generation:
                    self._update(place, tenant, signal, generation)
                return place
            if len(places) >= self._max_tenants and not self._evict(signal):
                return self._shared_place(signal)
            terms = self._terms(tenant, signal, None)
            place = places[tenant] = Place(self._gate(tenant, signal, terms, ()), terms, generation)
            return place

    def outdate(self) -> None:
        """Makes every place read its terms again before its next item."""
        with self._lock:
            for places in self.by_signal.values():
                for place in places.values():
                    place.generation = -1
            for signal, place in self._shared.items():
                self._update(place, "", signal, 0)

    def forget(self, tenant: str, signal: Signal, closed: Place) -> None:
        """Gives up a place whose gate was closed."""
        with self._lock:
            places = self.by_signal[signal]
            if places.get(tenant) is closed and closed.gate.closed:
                del places[tenant]
                allowed, over = self._gone[signal]
                self._gone[signal] = (allowed + closed.gate.allowed, over + closed.gate.over)
                self._release(tenant, closed.gate)

    def counts(self) -> Iterator[tuple[str, Signal, int, int]]:
        """Tenant, signal, items within the limits and items over one; what is not kept apart last, as `<other>`."""
        with self._lock:
            for signal, places in self.by_signal.items():
                for tenant, place in places.items():
                    yield tenant, signal, place.gate.allowed, place.gate.over
                allowed, over = self._gone[signal]
                if signal in self._shared:
                    gate = self._shared[signal].gate
                    allowed, over = allowed + gate.allowed, over + gate.over
                yield OTHER_TENANTS, signal, allowed, over

    def meters(self) -> list[Meter]:
        """All meters."""
        with self._lock:
            own = [place.meters for places in self.by_signal.values() for place in places.values()]
            own += [place.meters for place in self._shared.values()]
            together = [tuple(each.meters.values()) for each in self._together.values()]
            return [meter for meters in (*own, *together) for meter in meters]

    def restart_after_fork(self) -> None:
        """Makes everything usable in a forked child, with counts at zero."""
        self._lock = threading.RLock()
        self._gone = dict.fromkeys(SIGNALS, (0, 0))
        for together in self._together.values():
            for meter in together.meters.values():
                meter.restart_after_fork()
        for places in self.by_signal.values():
            for place in places.values():
                place.restart_after_fork()
        for place in self._shared.values():
            place.restart_after_fork()

    # --- gates

    def _gate(self, tenant: str, signal: Signal, terms: Terms, kept: tuple[Meter, ...]) -> GcraMeter | MeterGate:
        """A gate for these terms, with the meters among `kept` that are still wanted."""
        own = self._meters(limits_by_key(tenant, signal, terms.own, terms.limits, terms.debt), kept)
        shared = self._use_together(tenant, terms) if terms.together is not None and signal in (TRACES, LOGS) else []
        largest = min((s.largest_item for s in (terms.own, terms.together) if s and s.largest_item), default=None)
        if not shared and largest is None:
            if not own:
                return GcraMeter(NO_KEY, None, clock=self._clock)
            if len(own) == 1 and isinstance(own[0], GcraMeter) and own[0].key.unit == ITEMS:
                return own[0]
        return MeterGate(own, shared, largest=largest, warn=self._warn)

    def _meters(self, wanted: Mapping[MeterKey, Limit], kept: tuple[Meter, ...]) -> list[Meter]:
        by_key = {meter.key: meter for meter in kept}
        found = []
        for key, limit in wanted.items():
            meter = by_key.pop(key, None)
            if meter is None:
                meter = self._store.meter(key, limit)
            else:
                meter.change(limit)
            found.append(meter)
        for meter in by_key.values():
            meter.close()
        return found

    def _use_together(self, tenant: str, terms: Terms) -> list[Meter]:
        together = self._together.setdefault(tenant, _Together())
        wanted = limits_by_key(tenant, ALL, terms.together, terms.limits, terms.debt_together)
        meters = self._meters(wanted, tuple(together.meters.values()))
        together.meters = {meter.key: meter for meter in meters}
        together.users += 1
        return meters

    def _release(self, tenant: str, gate: Gate) -> None:
        if isinstance(gate, MeterGate) and gate.shared and (together := self._together.get(tenant)) is not None:
            together.users -= 1
            if together.users <= 0:
                del self._together[tenant]
                for meter in together.meters.values():
                    meter.close()

    def _update(self, place: Place, tenant: str, signal: Signal, generation: int) -> None:
        """Brings a place up to date; meters that are still wanted keep what was taken."""
        terms = self._terms(tenant, signal, place.terms)
        old = place.gate
        if terms == place.terms:
            place.generation = generation
            return
        gate = self._gate(tenant, signal, terms, place.meters)
        if gate is not old:
            gate.allowed, gate.over = old.retire()
            self._release(tenant, old)
        place.renew(gate, terms, generation)

    def _shared_place(self, signal: Signal) -> Place:
        if signal not in self._shared:
            terms = self._terms("", signal, None)
            self._shared[signal] = Place(self._gate("", signal, terms, ()), terms, 0)
        return self._shared[signal]

    def _evict(self, signal: Signal) -> bool:
        """Forgets idle gates, the longest known first, an eighth at most; whether there is room now."""
        now = self._monotonic_ns()
        if now < self._next_eviction[signal]:
            return False
        places = self.by_signal[signal]
        wanted = max(1, self._max_tenants // _EVICT_SHARE)
        for tenant, place in list(places.items()):
            if place.close_if_idle(now):
                self.forget(tenant, signal, place)
                wanted -= 1
                if wanted == 0:
                    return True
        # Nearly everyone is busy: looking again for each item of a newcomer would cost more than it finds.
        self._next_eviction[signal] = now + _EVICT_EVERY_NS
        return len(places) < self._max_tenants
