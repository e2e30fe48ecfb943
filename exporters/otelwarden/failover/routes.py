"""Where telemetry goes while all is as it is, and what it means when that changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from otelwarden.core import SIGNALS, Signal
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.status import RANK


class News(NamedTuple):
    """What is to be told as a governance event."""

    action: str
    reason: str
    target: str


def best_of(endpoints: Sequence[PooledEndpoint], region: str | None) -> list[PooledEndpoint]:
    """Those in the best health; of these the ones in `region`, if any are."""
    rank = min((RANK[each.status] for each in endpoints), default=0)
    best = [each for each in endpoints if RANK[each.status] == rank]
    return [each for each in best if region is not None and each.endpoint.region == region] or best


class Routes:
    """The endpoints that telemetry goes to now, for each signal.

    With an ordered selection that is one, else all that are fit. A change that several signals see is one change.
    """

    def __init__(self, *, ordered: bool, region: str | None) -> None:
        self._ordered = ordered
        self._region = region
        self._active: dict[Signal, frozenset[PooledEndpoint]] = {}
        self._out: set[Signal] = set()

    def start(self, endpoints: Iterable[PooledEndpoint]) -> None:
        """Begins with these; what they replace is forgotten."""
        endpoints = list(endpoints)
        self._active = {signal: self._fit(endpoints, signal) for signal in SIGNALS}
        self._out = set()

    def is_active(self, endpoint: PooledEndpoint) -> bool:
        """Whether telemetry of any signal goes to it."""
        return any(endpoint in active for active in self._active.values())

    def follow(self, endpoints: Iterable[PooledEndpoint], code: str) -> list[News]:
        """Notes where telemetry goes now; an outage moves it nowhere.

        Args:
            code: what brought it about.
        """
        endpoints = list(endpoints)
        moves: set[tuple[str, str]] = set()
        out: set[Signal] = set()
        for signal in SIGNALS:
            fit = self._fit(endpoints, signal)
            if fit:
                moves |= self._moves(self._active.get(signal, fit) or fit, fit)
                self._active[signal] = fit
            elif any(signal in each.endpoint.capabilities for each in endpoints):
                out.add(signal)
        news = [News("outage", code, "")] if out - self._out else []
        self._out = out
        return news + [News(action, code, target) for action, target in sorted(moves)]

    def _fit(self, endpoints: list[PooledEndpoint], signal: Signal) -> frozenset[PooledEndpoint]:
        fit = best_of([each for each in endpoints if each.usable and each.accepts(signal)], self._region)
        if fit and self._ordered:
            fit = [min(fit, key=lambda each: each.priority)]
        return frozenset(fit)

    def _moves(self, before: frozenset[PooledEndpoint], now: frozenset[PooledEndpoint]) -> set[tuple[str, str]]:
        if before == now:
            return set()
        first = min(now, key=lambda each: each.priority)
        if self._ordered:
            back = first.priority < min(each.priority for each in before)
            return {("failback" if back else "failover", first.endpoint.label)}
        if before - now:
            return {("failover", first.endpoint.label)}
        return {("failback", each.endpoint.label) for each in now - before}
