"""Decides whether an item is within its tenant's limit. Knows tenants, limits and buckets, nothing of OpenTelemetry."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from otelwarden.core import (
    OTHER_TENANTS,
    SIGNALS,
    SYSTEM_CLOCK,
    TRACES,
    Clock,
    ConfigError,
    Count,
    Fault,
    Runtime,
    Signal,
    TenantDirectory,
    default_runtime,
    run_in_child_after_fork,
    threshold_of,
)
from otelwarden.quota.admission import Admission
from otelwarden.quota.config import QuotaConfig, SignalLimits, signal_limits
from otelwarden.quota.store import Bucket, MemoryStore, Store

MAX_TENANTS: Final = 16_384
"""Tenants with a bucket of their own, for each signal."""

_EVICT_SHARE: Final = 8
_EVICT_EVERY_NS: Final = 1_000_000_000


class Usage(NamedTuple):
    """What one tenant used of one signal, in this process."""

    tenant: str
    signal: Signal
    allowed: int
    """Items that were within the limit."""
    over: int
    """Items that were over the limit, dropped or not."""


class _NoDirectory:
    """The directory of a pipeline without tenancy: nobody has limits of their own."""

    generation = 0

    def limits(self, tenant: str) -> Mapping[str, Any] | None:
        return None

    def plan(self, tenant: str) -> str | None:
        return None

    def time_zone(self, tenant: str) -> str | None:
        return None


class _Place:
    """A bucket, the generation of the directory that its limit was read from, and what the sampler knows."""

    __slots__ = ("admission", "bucket", "generation", "take")

    def __init__(self, bucket: Bucket, generation: int) -> None:
        self.bucket = bucket
        self.take = bucket.take
        self.generation = generation
        self.admission: Admission | None = None

    def close_if_full(self, now_ns: int) -> bool:
        known = self.admission
        return (known is None or known.is_full(now_ns, self.bucket.limit)) and self.bucket.close_if_full()

    def restart_after_fork(self) -> None:
        self.bucket.restart_after_fork()
        if self.admission is not None:
            self.admission.restart_after_fork()


class QuotaLimiter:
    """Decides, for each tenant and signal, whether items are within the limit; exact under threads, 0.5 us.

    A tenant's own limits come from `directory`, field by field over the defaults, and are in force as soon as its
    generation changes. Limits there that make no sense are counted as an error, and the last good ones stay.

    State is bounded: when `max_tenants` have a bucket, full ones make room, since a full bucket is the same as none.
    When none is full, the tenants beyond share one bucket under the default limit, so nobody's limit is ever reset.

    Args:
        directory: None if no tenant has limits of its own.
        store: None for the memory of this process.
        clock: only its monotonic time counts.
        max_tenants: buckets for each signal.
        runtime: counts refused limits; None for the one shared by all stages that are used by hand.
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
        self._monotonic_ns = clock.monotonic_ns
        self._max_tenants = max_tenants
        self._errors = (runtime or default_runtime()).errors("quota")
        self._places: dict[Signal, dict[str, _Place]] = {signal: {} for signal in SIGNALS}
        self._shared: dict[Signal, _Place] = {signal: self._new_place("", signal, None) for signal in SIGNALS}
        self._next_eviction: dict[Signal, int] = dict.fromkeys(SIGNALS, 0)
        self._gone: dict[Signal, tuple[int, int]] = dict.fromkeys(SIGNALS, (0, 0))
        self._lock = threading.RLock()
        run_in_child_after_fork(self._restart_after_fork)

    def allow(self, tenant: str, signal: Signal, items: int = 1) -> bool:
        """Takes `items` of the tenant's limit if they are within it. All or none are taken."""
        try:
            place = self._places[signal][tenant]
        except KeyError:
            return self._ask(tenant, signal, items, False)
        if place.generation == self._directory.generation:
            taken = place.take(items, False)
            if taken is not None:
                return taken
        return self._ask(tenant, signal, items, False)

    def overdraw(self, tenant: str, signal: Signal, items: int = 1) -> bool:
        """Takes `items` as `allow` does, but may go beyond the limit by up to `max_debt` items."""
        # The same lines again: an argument that must be named would cost a sixth of the call.
        try:
            place = self._places[signal][tenant]
        except KeyError:
            return self._ask(tenant, signal, items, True)
        if place.generation == self._directory.generation:
            taken = place.take(items, True)
            if taken is not None:
                return taken
        return self._ask(tenant, signal, items, True)

    def _ask(self, tenant: str, signal: Signal, items: int, debt: bool) -> bool:
        while True:
            place = self._place(tenant, signal)
            taken = place.take(items, debt)
            if taken is not None:
                return taken
            # Closed by an eviction that has not forgotten it yet; perhaps of this very thread, below a finalizer.
            self._forget(tenant, signal, place)

    def admission_of(self, tenant: str) -> Admission:
        """What decides which of the tenant's traces are kept; do not keep it: after an eviction it is another one."""
        place = self._place(tenant, TRACES)
        if place.admission is None:
            with self._lock:
                place.admission = place.admission or Admission(self._monotonic_ns())
        return place.admission

    def keep_trace(self, tenant: str, randomness: int, share: float = 1.0) -> tuple[bool, int, Count]:
        """Decides about a new trace of the tenant; see `Admission.decide`.

        Returns:
            Whether it is kept, its sampling threshold, and the counter that each of its spans ticks.
        """
        admission = self.admission_of(tenant)
        limit = self.limit_of(tenant, TRACES)
        if limit is None:
            return True, threshold_of(share), admission.kept
        keep, threshold = admission.decide(self._monotonic_ns(), limit, randomness, share)
        return keep, threshold, admission.kept if keep else admission.lost

    def limit_of(self, tenant: str, signal: Signal) -> SignalLimits | None:
        """The limit in force; None for none."""
        return self._place(tenant, signal).bucket.limit

    def level(self, tenant: str, signal: Signal) -> float | None:
        """Items that may pass now, negative when overdrawn; None without a limit."""
        return self._place(tenant, signal).bucket.level()

    def usage(self) -> list[Usage]:
        """What each tenant used so far; tenants that are not kept apart are summed up as `other`."""
        with self._lock:
            found = []
            for signal, places in self._places.items():
                found += [Usage(tenant, signal, p.bucket.allowed, p.bucket.over) for tenant, p in places.items()]
                allowed, over = self._gone[signal]
                shared = self._shared[signal].bucket
                found.append(Usage(OTHER_TENANTS, signal, allowed + shared.allowed, over + shared.over))
            return [usage for usage in found if usage.allowed or usage.over]

    def _place(self, tenant: str, signal: Signal) -> _Place:
        """The tenant's place with the limit now in force, made if there is room, else the shared one."""
        generation = self._directory.generation
        place = self._places[signal].get(tenant)
        if place is not None and place.generation == generation:
            return place
        with self._lock:
            places = self._places[signal]
            place = places.get(tenant)
            if place is None:
                if len(places) >= self._max_tenants and not self._evict(signal):
                    return self._shared[signal]
                place = places[tenant] = self._new_place(tenant, signal, generation)
            elif place.generation != generation:
                limit = self._read_limit(tenant, signal, place.bucket.limit)
                if limit != place.bucket.limit:
                    place.bucket.change(limit, self._max_debt(limit))
                place.generation = generation
            return place

    def _new_place(self, tenant: str, signal: Signal, generation: int | None) -> _Place:
        default = self.config.default.of(signal)
        limit = default if generation is None else self._read_limit(tenant, signal, default)
        bucket = self._store.bucket(tenant, signal, limit, max_debt=self._max_debt(limit))
        return _Place(bucket, generation or 0)

    def _read_limit(self, tenant: str, signal: Signal, last_good: SignalLimits | None) -> SignalLimits | None:
        try:
            own = self._directory.limits(tenant)
            return signal_limits(own or {}, signal, self.config.default)
        except Exception as error:
            self._errors.record("limits", error)
            return last_good

    def _max_debt(self, limit: SignalLimits | None) -> int:
        return 0 if limit is None else self.config.debt_items(limit)

    def _evict(self, signal: Signal) -> bool:
        """Forgets full buckets, the longest known first, an eighth at most; whether there is room now."""
        now = self._monotonic_ns()
        if now < self._next_eviction[signal]:
            return False
        places = self._places[signal]
        wanted = max(1, self._max_tenants // _EVICT_SHARE)
        for tenant, place in list(places.items()):
            if place.close_if_full(now):
                self._forget(tenant, signal, place)
                wanted -= 1
                if wanted == 0:
                    return True
        # Nearly everyone is busy: looking again for each item of a newcomer would cost more than it finds.
        self._next_eviction[signal] = now + _EVICT_EVERY_NS
        return len(places) < self._max_tenants

    def _forget(self, tenant: str, signal: Signal, closed: _Place) -> None:
        with self._lock:
            if self._places[signal].get(tenant) is closed:
                del self._places[signal][tenant]
                allowed, over = self._gone[signal]
                self._gone[signal] = (allowed + closed.bucket.allowed, over + closed.bucket.over)

    def _restart_after_fork(self) -> None:
        self._lock = threading.RLock()
        self._gone = dict.fromkeys(SIGNALS, (0, 0))
        for signal, places in self._places.items():
            for place in [*places.values(), self._shared[signal]]:
                place.restart_after_fork()
