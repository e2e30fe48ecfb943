"""The limit on metrics: how many active series a tenant has. No SDK in here.

No measurement is lost: one that would begin a series beyond the limit is measured in the tenant's overflow series.
Series that exist go on, so a flood of new ones touches nobody else's, nor the tenant's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias

from otelwarden.core import OTHER_TENANTS, run_in_child_after_fork

Instrument: TypeAlias = tuple[str, str]
"""Name of the scope and of the instrument."""

SERIES_PER_INSTRUMENT: Final = 2000
"""Series of one tenant in one instrument where it has no limit: as many as the SDK allows all tenants together."""

MAX_TENANTS: Final = 16_384
"""Tenants whose series are counted apart; those beyond share one count."""


class SeriesUsage(NamedTuple):
    """The series of one tenant, in this process."""

    tenant: str
    active: int
    """Series that have a place now."""
    limit: int | None
    """None: no limit in all, `SERIES_PER_INSTRUMENT` in each instrument."""
    folded: int
    """Measurements that went into an overflow series so far."""


class _Series:
    """The series of one tenant: instrument -> series -> number of the collection before which it was last measured."""

    __slots__ = ("closed", "folded", "limit", "lock", "places", "read_at")

    def __init__(self) -> None:
        self.places: dict[Instrument, dict[Hashable, int]] = {}
        self.closed: set[Instrument] = set()
        self.folded = 0
        self.limit: int | None = None
        self.read_at = -1
        self.lock = threading.RLock()

    def full(self, places: Mapping[Hashable, int]) -> bool:
        if self.limit is None:
            return len(places) >= SERIES_PER_INSTRUMENT
        return sum(map(len, self.places.values())) >= self.limit


class SeriesLimiter:
    """Says whether a measurement may have a series of its own; exact under threads, 0.6 us.

    What is counted is attributes as they are measured, before views leave some out. A place is held for as long as the
    SDK keeps the series: for ever under cumulative temporality, until it is collected under delta. In an observable
    instrument it is held for ever either way, since its values are totals: one that moved from the overflow series to
    one of its own would make the overflow series fall.

    A limit that is lowered ends no series, one that is raised lets new ones in; but not into an observable instrument
    that has an overflow series, for the same reason.

    Args:
        limit_of: active series that a tenant may have in all instruments together, overflow series not counted; None
            for no limit.
        generation: grows whenever an answer of `limit_of` may have changed.
    """

    def __init__(self, limit_of: Callable[[str], int | None], generation: Callable[[], int] = lambda: 0) -> None:
        self._limit_of = limit_of
        self._generation = generation
        self._tenants: dict[str, _Series] = {}
        self._collection = 0
        self._cumulative: set[Instrument] = set()
        self._renew_locks()
        run_in_child_after_fork(self._renew_locks)

    def _renew_locks(self) -> None:
        self._lock = threading.RLock()
        for series in self._tenants.values():
            series.lock = threading.RLock()

    def admits(
        self, tenant: str, instrument: Instrument, attributes: Mapping[str, Any], observed: bool = False
    ) -> bool:
        """Whether the measurement belongs to a series that has a place, or is given one now.

        Args:
            observed: whether a callback of an observable instrument says so, whose values are totals.
        """
        series = self._tenants.get(tenant) or self._first(tenant)
        places = series.places.get(instrument)
        if places is None:
            places = series.places.setdefault(instrument, {})
        key = _key(attributes)
        if key in places:
            places[key] = self._collection
            return True
        with series.lock:
            generation = self._generation()
            if series.read_at != generation:
                series.limit, series.read_at = self._limit_of(tenant), generation
            if instrument in series.closed or series.full(places):
                series.folded += 1
                if observed:
                    series.closed.add(instrument)
                return False
            places[key] = self._collection
        return True

    def _first(self, tenant: str) -> _Series:
        with self._lock:
            if len(self._tenants) >= MAX_TENANTS:
                tenant = OTHER_TENANTS
            return self._tenants.setdefault(tenant, _Series())

    def collecting(self) -> None:
        """Told before a collection: what is measured from now on may be left to the next one."""
        with self._lock:
            self._collection += 1

    def collected(self, delta: Iterable[Instrument], cumulative: Iterable[Instrument]) -> None:
        """Frees the places of what was collected.

        Args:
            delta: synchronous instruments whose series the SDK has begun anew.
            cumulative: instruments whose series it keeps; they are never freed again, whoever else collects them.
        """
        with self._lock:
            self._cumulative.update(cumulative)
            now = self._collection
            freed = [instrument for instrument in delta if instrument not in self._cumulative]
            tenants = list(self._tenants.values())
        for series in tenants:
            with series.lock:
                for instrument in freed:
                    places = series.places.get(instrument, {})
                    for key in [key for key, measured in places.copy().items() if measured < now]:
                        del places[key]

    def usage(self) -> list[SeriesUsage]:
        """The series of every tenant that has any."""
        return [
            SeriesUsage(tenant, sum(map(len, series.places.copy().values())), series.limit, series.folded)
            for tenant, series in self._tenants.copy().items()
        ]


def _key(attributes: Mapping[str, Any]) -> Hashable:
    """What tells a series apart: 1, 1.0 and True are three values, as they are to the SDK."""
    values = attributes.values()
    try:
        return frozenset(zip(attributes, values, map(type, values), strict=True))
    except TypeError:
        return _hashable(attributes)


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return "mapping", frozenset((key, _hashable(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "sequence", tuple(map(_hashable, value))
    # The SDK makes text of anything else, or nothing.
    return type(value), value if isinstance(value, (str, int, float, bytes, NoneType)) else None
