"""Which endpoint gets the next batch: one method over live candidates."""

from __future__ import annotations

import hashlib
import math
import random as random_module
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from otelwarden.core import ConfigError, Fault
from otelwarden.failover.outbound import Outbound

if TYPE_CHECKING:
    from otelwarden.failover.health import PooledEndpoint

ENTRY_POINTS: Final = "otelwarden.failover.selection"
"""The group in which other distributions offer strategies: callables without arguments that make one."""


class Selection(Protocol):
    """Chooses among endpoints of which health, capacity and capabilities do not forbid any.

    Called under the lock of its pool, by one thread at a time: it must be quick, and not ask the pool for anything.
    """

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """One of `candidates`, which are never empty and in the order of their configuration."""
        ...


class PrioritySelection:
    """The endpoint of the lowest priority number; among equals the first."""

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """See `Selection.select`."""
        return min(candidates, key=lambda candidate: candidate.priority)


class RoundRobinSelection:
    """The endpoint that was chosen longest ago: each in turn, whoever comes or goes."""

    def __init__(self) -> None:
        self._turn = 0
        self._chosen: WeakKeyDictionary[PooledEndpoint, int] = WeakKeyDictionary()

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """See `Selection.select`."""
        chosen = min(candidates, key=lambda candidate: self._chosen.get(candidate, 0))
        self._turn += 1
        self._chosen[chosen] = self._turn
        return chosen


class WeightedSelection:
    """Smooth weighted round robin: weights 5, 1 and 1 give a a b a c a a, and not a a a a a b c.

    Each choice adds its weight to every candidate's credit, takes the one with the most, and charges it the sum of the
    weights. Source: nginx, commit 52327e0627f4 ("Upstream: smooth weighted round-robin balancing").
    """

    def __init__(self) -> None:
        self._credit: WeakKeyDictionary[PooledEndpoint, float] = WeakKeyDictionary()

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """See `Selection.select`."""
        for candidate in candidates:
            self._credit[candidate] = self._credit.get(candidate, 0.0) + candidate.endpoint.weight
        chosen = max(candidates, key=lambda candidate: self._credit[candidate])
        self._credit[chosen] -= sum(candidate.endpoint.weight for candidate in candidates)
        return chosen


class LeastInFlightSelection:
    """The endpoint with the fewest requests in flight; among equals each in turn."""

    def __init__(self) -> None:
        self._turns = RoundRobinSelection()

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """See `Selection.select`."""
        fewest = min(candidate.in_flight for candidate in candidates)
        return self._turns.select([each for each in candidates if each.in_flight == fewest], outbound)


class RandomSelection:
    """Any endpoint, each as likely as the other.

    Args:
        random: uniform in [0, 1).
    """

    def __init__(self, random: Callable[[], float] = random_module.random) -> None:
        self._random = random

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """See `Selection.select`."""
        return candidates[int(self._random() * len(candidates))]


class ConsistentSelection:
    """The same endpoint for the same trace: weighted rendezvous hashing of the batch's key (see `Outbound.key`).

    The endpoint with the highest `weight / -ln(h)` is chosen, where h in (0, 1) is a hash of key and URL. When an
    endpoint goes, only what it had moves; when it is back, only that returns. Sources: Thaler and Ravishankar, "A
    Name-Based Mapping Scheme for Rendezvous" (1996); for weights Schindelhauer and Schomaker (2005).
    """

    def select(self, candidates: Sequence[PooledEndpoint], outbound: Outbound) -> PooledEndpoint:
        """See `Selection.select`."""
        key = outbound.key
        return max(candidates, key=lambda candidate: _score(key, candidate.endpoint.label, candidate.endpoint.weight))


def _score(key: bytes, url: str, weight: float) -> float:
    digest = hashlib.blake2b(key + url.encode(), digest_size=8).digest()
    return weight / -math.log((int.from_bytes(digest, "big") + 0.5) / 2.0**64)


SELECTIONS: Final[Mapping[str, Callable[[], Selection]]] = {
    "priority": PrioritySelection,
    "round_robin": RoundRobinSelection,
    "weighted": WeightedSelection,
    "least_in_flight": LeastInFlightSelection,
    "random": RandomSelection,
    "consistent": ConsistentSelection,
}
"""The strategies that come with failover; their names cannot be taken by others."""


READS_NO_BATCH: Final = (
    PrioritySelection,
    RoundRobinSelection,
    WeightedSelection,
    LeastInFlightSelection,
    RandomSelection,
)
"""Those that do not look at what is in a batch, so that it need not be there as bytes."""


def check_selection(name: object) -> None:
    """Raises ConfigError, which lists what there is, when no strategy has this name."""
    if isinstance(name, str) and name in SELECTIONS:
        return
    others = sorted({each.name for each in entry_points(group=ENTRY_POINTS)} - set(SELECTIONS))
    if name not in others:
        allowed = ", ".join((*SELECTIONS, *others))
        raise ConfigError([Fault(pointer="/selection", message="unknown selection", given=name, allowed=allowed)])


def selection_named(name: str) -> Selection:
    """A new strategy of this name.

    Raises:
        ConfigError: there is none, or it cannot be loaded.
    """
    check_selection(name)
    if name in SELECTIONS:
        return SELECTIONS[name]()
    (entry_point, *_) = entry_points(group=ENTRY_POINTS, name=name)
    try:
        made: Selection = entry_point.load()()
    except Exception as error:
        fault = Fault(pointer="/selection", message=f"cannot be loaded: {type(error).__name__}: {error}", given=name)
        raise ConfigError([fault]) from error
    return made
