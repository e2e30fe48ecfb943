"""The endpoints of one pipeline and who of them is fit: chooses, learns from outcomes, tells what changed."""

from __future__ import annotations

import random as random_module
import threading
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from otelwarden.core import Runtime, Signal, default_runtime, run_in_child_after_fork
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoint, Endpoints, parse_endpoints
from otelwarden.failover.health import RANK, EndpointStats, PooledEndpoint, Status
from otelwarden.failover.recovery import Recovery
from otelwarden.failover.selection import PrioritySelection, Selection
from otelwarden.otlp import Outcome, Transport, Verdict

DEFAULTS: Final = FailoverConfig()


class _News(NamedTuple):
    action: str
    reason: str
    target: str


class EndpointPool:
    """The endpoints of one pipeline. Its three exporters may share one, so that one outage is one failover.

    What happens is told as governance events of the component `failover`, with the endpoint as target:

        endpoint_unhealthy   it failed `failure_threshold` times in a row
        endpoint_recovered   it took `recovery_threshold` requests in a row after it had failed
        failover             telemetry goes to an endpoint of lower priority from now on
        failback             telemetry goes to an endpoint of higher priority again
        outage               no endpoint is fit any more; the least bad is tried

    Args:
        endpoints: URLs (of gRPC), mappings or `Endpoint`s, in the order of preference; None for those of `config`.
        selection: None for `PrioritySelection`.
        random: uniform in [0, 1), for jitter.
        open_transport: makes the way to an endpoint.

    Raises ConfigError for endpoints that are none, listed twice, or not there at all.
    """

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        *,
        config: FailoverConfig = DEFAULTS,
        selection: Selection | None = None,
        runtime: Runtime | None = None,
        random: Callable[[], float] = random_module.random,
        open_transport: Callable[[Endpoint], Transport] = Endpoint.open,
    ) -> None:
        self._runtime = runtime or default_runtime()
        self._now_ns = self._runtime.clock.monotonic_ns
        self._selection = selection or PrioritySelection()
        self._endpoints = [
            PooledEndpoint(endpoint, position, config, open_transport(endpoint), random)
            for position, endpoint in enumerate(parse_endpoints(config.endpoints if endpoints is None else endpoints))
        ]
        self._listeners: list[Callable[[], None]] = []
        self._start_over()
        self._recovery = Recovery(self)
        run_in_child_after_fork(self._start_over_in_child)

    def _start_over(self) -> None:
        self._lock = threading.RLock()
        self._active = min(self._endpoints, key=lambda endpoint: endpoint.priority)
        self._outage = False

    def _start_over_in_child(self) -> None:
        for endpoint in self._endpoints:
            endpoint.reset()
        self._start_over()

    def attach(self, listener: Callable[[], None]) -> None:
        """Counts one more user, whose `listener` is called whenever an endpoint has recovered."""
        with self._lock:
            self._listeners.append(listener)

    def detach(self, listener: Callable[[], None]) -> None:
        """Counts one user less; the last one closes the connections."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
            if self._listeners:
                return
        self._recovery.stop()
        for endpoint in self._endpoints:
            endpoint.transport.close()

    def select(self, tried: Collection[PooledEndpoint] = ()) -> PooledEndpoint | None:
        """The endpoint for the next attempt.

        Healthy and unknown ones come first, then degraded, then the least bad of the unhealthy: the one with the
        fewest failures. An endpoint that asked to be left alone is, until its time has passed.

        Args:
            tried: those that failed this batch in this round.

        Returns:
            None when there is nobody left to ask.
        """
        with self._lock:
            now = self._now_ns()
            open_ones = [each for each in self._endpoints if each not in tried and each.throttled_until_ns <= now]
            if not open_ones:
                return None
            best = min(RANK[each.status] for each in open_ones)
            candidates = [each for each in open_ones if RANK[each.status] == best]
            if best == RANK[Status.UNHEALTHY]:
                return min(candidates, key=lambda each: (each.failures, each.priority))
            return self._selection.select(candidates)

    def pause(self) -> float:
        """Seconds until the first endpoint may be asked again after all have failed."""
        with self._lock:
            return max(0, min(each.retry_at_ns for each in self._endpoints) - self._now_ns()) / 1e9

    def mark_delivered(self, endpoint: PooledEndpoint, outcome: Outcome, items: int) -> None:
        """The endpoint took a batch of `items`, perhaps without some of them."""
        with self._lock:
            rejected = min(outcome.rejected, items)
            endpoint.requests += 1
            endpoint.delivered += items - rejected
            endpoint.rejected += rejected
        self._mark_succeeded(endpoint, outcome.code, live=True)

    def mark_refused(self, endpoint: PooledEndpoint, outcome: Outcome, items: int) -> None:
        """The endpoint refused a batch for what was in it: it works, the batch does not."""
        with self._lock:
            endpoint.refused += items
        self._mark_succeeded(endpoint, outcome.code, live=True)

    def mark_failed(self, endpoint: PooledEndpoint, outcome: Outcome, signal: Signal) -> None:
        """The endpoint did not take a batch, by its own fault or the network's."""
        with self._lock:
            endpoint.failed_attempts += 1
        self._mark_failed(endpoint, outcome)
        self._recovery.watch(endpoint, signal)

    def mark_probed(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        """The endpoint was sent an empty request to see whether it is back."""
        with self._lock:
            endpoint.probes += 1
        if outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT):
            self._mark_succeeded(endpoint, outcome.code, live=False)
        elif outcome.verdict is not Verdict.CANCELLED:
            self._mark_failed(endpoint, outcome)

    def seconds_until_probe(self, endpoint: PooledEndpoint) -> float | None:
        """Seconds until the endpoint should be probed; None when it is in good health."""
        with self._lock:
            return None if endpoint.usable else max(0, endpoint.retry_at_ns - self._now_ns()) / 1e9

    def _mark_succeeded(self, endpoint: PooledEndpoint, code: str, *, live: bool) -> None:
        news: list[_News] = []
        with self._lock:
            was_usable = endpoint.usable
            endpoint.succeed(self._now_ns(), code, live=live)
            if endpoint.usable and not was_usable:
                news.append(_News("endpoint_recovered", code, endpoint.endpoint.url))
            self._follow(news, code)
            listeners = list(self._listeners) if not was_usable else []
        self._tell(news)
        for listener in listeners:
            listener()

    def _mark_failed(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        news: list[_News] = []
        with self._lock:
            was = endpoint.status
            endpoint.fail(self._now_ns(), outcome.code, outcome.retry_after)
            if endpoint.status is Status.UNHEALTHY and was is not Status.UNHEALTHY:
                news.append(_News("endpoint_unhealthy", outcome.code, endpoint.endpoint.url))
            self._follow(news, outcome.code)
        self._tell(news)

    def _follow(self, news: list[_News], code: str) -> None:
        """Notes which endpoint telemetry goes to now; an outage moves it nowhere."""
        usable = [each for each in self._endpoints if each.usable]
        if not usable:
            if not self._outage:
                news.append(_News("outage", code, ""))
            self._outage = True
            return
        self._outage = False
        preferred = min(usable, key=lambda each: each.priority)
        if preferred is not self._active:
            back = preferred.priority < self._active.priority
            news.append(_News("failback" if back else "failover", code, preferred.endpoint.url))
            self._active = preferred

    def _tell(self, news: list[_News]) -> None:
        # Outside the lock: an observer may write to a disk.
        for action, reason, target in news:
            self._runtime.emit("failover", action, reason, target=target)

    def stats(self) -> list[EndpointStats]:
        """Every endpoint, in the order of the configuration."""
        with self._lock:
            return [each.stats(active=each is self._active) for each in self._endpoints]
