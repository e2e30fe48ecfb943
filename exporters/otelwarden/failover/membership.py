"""Which endpoints a pool has: they come, are drained and go while telemetry flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from otelwarden.core import ConfigError, Fault
from otelwarden.failover.endpoint import Endpoint, Endpoints, parse_endpoints
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.routes import News, Routes


class Membership:
    """The endpoints of one pool, in the order of the configuration, then of their coming.

    Every method is called under the lock of the pool, which tells the news that they return. Where telemetry goes
    then is what the caller wants: no failover.

    Args:
        made: makes the endpoint of a pool from one, and its position.
        routes: follows where telemetry goes.
    """

    def __init__(self, endpoints: Endpoints, made: Callable[[Endpoint, int], PooledEndpoint], routes: Routes) -> None:
        self._made = made
        self._routes = routes
        self.all = [made(endpoint, position) for position, endpoint in enumerate(parse_endpoints(endpoints))]

    def start_over(self) -> None:
        """Forgets what endpoints were like, as in a forked child; those that were on their way out are gone."""
        self.all = [each for each in self.all if not each.draining]
        for endpoint in self.all:
            endpoint.reset()

    def add(self, given: Endpoint | str | Mapping[str, Any]) -> list[News]:
        """See `EndpointPool.add`."""
        (endpoint,) = parse_endpoints([given])
        own_priority = given.priority if isinstance(given, Endpoint) else None
        if isinstance(given, Mapping):
            own_priority = given.get("priority")
        if any(_is(each, endpoint.label) or _is(each, endpoint.url) for each in self.all):
            raise ConfigError([Fault(pointer="/url", message="listed twice", given=endpoint.label)])
        last = max((each.priority for each in self.all), default=-1) + 1
        pooled = self._made(replace(endpoint, priority=last if own_priority is None else own_priority), last)
        self.all = [*self.all, pooled]
        self._routes.follow(self.all, "added")
        return [News("endpoint_added", "added", endpoint.label)]

    def remove(self, label: str) -> list[News]:
        """See `EndpointPool.remove`."""
        endpoint = self._find(label)
        endpoint.draining = True
        self._take_away(endpoint)
        return [News("endpoint_removed", "removed", endpoint.endpoint.label)]

    def drain(self, label: str) -> list[News]:
        """See `EndpointPool.drain`."""
        endpoint = self._find(label)
        endpoint.draining = True
        self._routes.follow(self.all, "draining")
        return [News("endpoint_draining", "drained", endpoint.endpoint.label), *self.take_away_if_done(endpoint)]

    def take_away_if_done(self, endpoint: PooledEndpoint) -> list[News]:
        """An endpoint that is drained goes with the last of its requests."""
        if not endpoint.draining or endpoint.removed or endpoint.in_flight > 0:
            return []
        self._take_away(endpoint)
        return [News("endpoint_removed", "drained", endpoint.endpoint.label)]

    def _take_away(self, endpoint: PooledEndpoint) -> None:
        endpoint.removed = True
        self.all = [each for each in self.all if each is not endpoint]
        endpoint.wire.close()
        self._routes.follow(self.all, "removed")

    def _find(self, label: str) -> PooledEndpoint:
        found = next((each for each in self.all if _is(each, label)), None)
        if found is None:
            there = ", ".join(each.endpoint.label for each in self.all)
            raise ConfigError([Fault(message="no such endpoint", given=label, allowed=there)])
        if all(each is found or each.draining for each in self.all):
            raise ConfigError([Fault(message="the last endpoint cannot go", given=label, allowed="add another first")])
        return found


def _is(endpoint: PooledEndpoint, label: str) -> bool:
    return bool(label) and label.rstrip("/") in (endpoint.endpoint.label, endpoint.endpoint.url.rstrip("/"))
