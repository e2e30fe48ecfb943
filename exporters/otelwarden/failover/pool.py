"""The endpoints of one pipeline and who of them is fit: chooses, learns from outcomes, tells what changed."""

from __future__ import annotations

import random as random_module
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from otelwarden.core import TRACES, Deadline, Runtime, Signal, default_runtime, run_in_child_after_fork
from otelwarden.failover.checks import EndpointCheck, HealthCheck
from otelwarden.failover.chooser import Chooser, seconds_until_any
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoint, Endpoints
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.judge import Judge
from otelwarden.failover.membership import Membership
from otelwarden.failover.monitor import HealthMonitor
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pooled import Pooled
from otelwarden.failover.routes import Routes
from otelwarden.failover.selection import READS_NO_BATCH, PrioritySelection, Selection, selection_named
from otelwarden.failover.stats import EndpointStats, PoolStats
from otelwarden.failover.traffic import CountedTransport
from otelwarden.failover.vendor import ExporterTransport
from otelwarden.otlp import Outcome, Transport, Verdict

DEFAULTS: Final = FailoverConfig()

LAST_WORDS: Final = 0.5
"""Seconds for an exporter among the endpoints to shut down."""

_ANY: Final = Outbound(TRACES)


class EndpointPool:
    """The endpoints of one pipeline. Its three exporters may share one, so that one outage is one failover.

    What happens is told as governance events of the component `failover`, with the endpoint as target:

        endpoint_degraded    it failed, is on its way back, slow, or fails now and then
        endpoint_unhealthy   it failed `failure_threshold` times in a row
        endpoint_recovered   it is in good health again
        endpoint_added, endpoint_draining, endpoint_removed
        failover             telemetry goes to an endpoint of lower priority from now on, or to one less
        failback             telemetry goes to an endpoint of higher priority again, or to one more
        outage               no endpoint is fit any more; the least bad is tried

    Args:
        endpoints: URLs (of gRPC), mappings or `Endpoint`s, in the order of preference; None for those of `config`.
        selection: None for the one that `config` names.
        health_check: asks an endpoint how it is, instead of the check of `config`, which still says when.
        random: uniform in [0, 1), for jitter.
        open_transport: makes the way to an endpoint.

    Attributes:
        judge: what the outcomes of requests say about the endpoints.
        reads_batches: whether the selection looks at what is in a batch.

    Raises ConfigError for endpoints that are none, listed twice, or not there at all, and for unknown selections.
    """

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        *,
        config: FailoverConfig = DEFAULTS,
        selection: Selection | None = None,
        health_check: EndpointCheck | None = None,
        runtime: Runtime | None = None,
        random: Callable[[], float] = random_module.random,
        open_transport: Callable[[Endpoint], Transport] = Endpoint.open,
    ) -> None:
        self._runtime = runtime or default_runtime()
        self._now_ns = self._runtime.clock.monotonic_ns
        self._errors = self._runtime.errors("failover")
        selection = selection or selection_named(config.selection)
        self.reads_batches = not isinstance(selection, READS_NO_BATCH)
        if health_check is not None and config.health_check is None:
            config = replace(config, health_check=HealthCheck())
        self._config = config
        self._random = random
        self._open_transport = open_transport
        self._chooser = Chooser(selection, config.region, self._errors)
        routes = Routes(ordered=isinstance(selection, PrioritySelection), region=config.region)
        members = Membership(config.endpoints if endpoints is None else endpoints, self._made, routes)
        self._all = Pooled(members, routes, self._runtime)
        self._reserved: dict[int, PooledEndpoint] = {}
        self.judge = Judge(self._all, config, health_check, self._runtime)
        interval = config.health_check.interval if config.health_check is not None else None
        self._monitor = HealthMonitor(self.judge, interval, self._errors)
        run_in_child_after_fork(self._start_over_in_child)

    def _made(self, endpoint: Endpoint, position: int) -> PooledEndpoint:
        wire: Transport = (
            self._open_transport(endpoint)
            if endpoint.exporter is None
            else ExporterTransport(endpoint.exporter, self._errors)
        )
        pooled = PooledEndpoint(endpoint, position, self._config, wire, self._random)
        pooled.transport = CountedTransport(wire, pooled, self)
        return pooled

    def _start_over_in_child(self) -> None:
        self._all.start_over()
        self._reserved = {}

    # --- who uses it

    def attach(self, listener: Callable[[], None]) -> None:
        """Counts one more user, whose `listener` is called whenever an endpoint may be asked that could not before."""
        with self._all.lock:
            self._all.listeners.append(listener)
        self._monitor.start()

    def detach(self, listener: Callable[[], None]) -> None:
        """Counts one user less; the last one closes the connections."""
        with self._all.lock:
            if listener in self._all.listeners:
                self._all.listeners.remove(listener)
            if self._all.listeners:
                return
        self._monitor.stop()
        self.judge.stop()
        for endpoint in self._all.members.all:
            endpoint.wire.close()
        for endpoint in self._all.members.all:
            if isinstance(endpoint.wire, ExporterTransport):
                endpoint.wire.wait(LAST_WORDS)

    def flush(self, signal: Signal, deadline: Deadline) -> bool:
        """Flushes the exporters among the endpoints, which may hold what they took; whether that was done in time."""
        done = True
        for endpoint in self._all.members.all:
            if endpoint.accepts(signal) and isinstance(endpoint.wire, ExporterTransport):
                done = endpoint.wire.flush(deadline) and done
        return done

    # --- who belongs to it

    def add(self, endpoint: Endpoint | str | Mapping[str, Any]) -> None:
        """One endpoint more, from now on; its priority is the last unless it has one.

        Raises:
            ConfigError: it is none, or there already, perhaps still draining.
        """
        with self._all.lock:
            news = self._all.members.add(endpoint)
            listeners = list(self._all.listeners)
        self._all.tell(news)
        self._all.wake(listeners)

    def remove(self, label: str) -> None:
        """Takes an endpoint away at once; requests on their way there end as they end.

        Args:
            label: its name, or its URL.

        Raises:
            ConfigError: there is none of this name, or no other.
        """
        with self._all.lock:
            news = self._all.members.remove(label)
        self._all.tell(news)

    def drain(self, label: str) -> None:
        """Sends an endpoint no new requests, and takes it away after the last that is on its way.

        Args:
            label: its name, or its URL.

        Raises:
            ConfigError: there is none of this name, or no other.
        """
        with self._all.lock:
            news = self._all.members.drain(label)
        self._all.tell(news)

    # --- who gets a batch

    def select(self, tried: Collection[PooledEndpoint] = (), outbound: Outbound = _ANY) -> PooledEndpoint | None:
        """The endpoint for the next attempt, which the calling thread is expected to make; see `Chooser.choose`.

        Args:
            tried: those that failed this batch in this round.
            outbound: the batch.

        Returns:
            None when there is nobody left to ask.
        """
        with self._all.lock:
            now = self._now_ns()
            self._give_up_place()
            news = self.judge.review(now)
            chosen = self._chooser.choose(self._all.members.all, outbound, tried, now)
            if chosen is not None:
                chosen.in_flight += 1
                self._reserved[threading.get_ident()] = chosen
            in_use = bool(self._all.listeners)
        if in_use:
            self._monitor.start()  # again, after a fork
        self._all.tell(news)
        return chosen

    def is_busy(self, outbound: Outbound = _ANY, tried: Collection[PooledEndpoint] = ()) -> bool:
        """Whether an endpoint is left that was not asked only because it has all the requests it may have."""
        with self._all.lock:
            return any(each.takes(outbound) and each.full and each not in tried for each in self._all.members.all)

    def pause(self, outbound: Outbound = _ANY) -> float:
        """Seconds until the first endpoint may be asked again after all have failed, or have full hands."""
        with self._all.lock:
            return seconds_until_any(self._all.members.all, outbound, self._now_ns(), self._config.max_backoff)

    def permits(self, outbound: Outbound) -> bool:
        """Whether there is any endpoint, in whatever health, that a batch may go to."""
        with self._all.lock:
            return any(each.takes(outbound) for each in self._all.members.all)

    def wants_items(self, signal: Signal) -> bool:
        """Whether any endpoint for this signal is an exporter, which takes items and not bytes."""
        with self._all.lock:
            return any(each.endpoint.exporter is not None and each.accepts(signal) for each in self._all.members.all)

    def latency_quantile(self, quantile: float) -> float | None:
        """Seconds within which that share of the latest requests was taken; None while they are too few to say."""
        with self._all.lock:
            return self._all.window.quantile(quantile)

    def accepts(self, signal: Signal) -> bool:
        """Whether any endpoint takes this signal."""
        with self._all.lock:
            return any(signal in each.endpoint.capabilities for each in self._all.members.all)

    # --- what becomes of it

    def begin(self, endpoint: PooledEndpoint) -> int:
        """A request of live telemetry starts; when, in monotonic nanoseconds."""
        with self._all.lock:
            if self._reserved.get(threading.get_ident()) is endpoint:
                del self._reserved[threading.get_ident()]
            else:
                self._give_up_place()
                endpoint.in_flight += 1
        return self._now_ns()

    def end(self, endpoint: PooledEndpoint, started_ns: int, outcome: Outcome | None) -> None:
        """A request that `begin` was called for has ended."""
        now = self._now_ns()
        with self._all.lock:
            was_full = endpoint.full
            endpoint.in_flight = max(0, endpoint.in_flight - 1)  # a fork may have come in between
            if outcome is not None and outcome.verdict is not Verdict.CANCELLED:
                taken = outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT)
                for window in (endpoint.window, self._all.window):
                    window.add(now, (now - started_ns) / 1e9, taken=taken)
            news = self._all.members.take_away_if_done(endpoint)
            listeners = list(self._all.listeners) if was_full else []
        if endpoint.removed:
            endpoint.wire.close()  # what the request had opened
        self._all.tell(news)
        self._all.wake(listeners)

    def give_up(self) -> None:
        """The calling thread does not use what it was given by `select`."""
        with self._all.lock:
            self._give_up_place()

    def _give_up_place(self) -> None:
        """What this thread was given by an earlier `select` and never used is free again."""
        unused = self._reserved.pop(threading.get_ident(), None)
        if unused is not None:
            unused.in_flight -= 1

    # --- what is known

    def stats(self) -> list[EndpointStats]:
        """Every endpoint, in the order of the configuration, then of their coming."""
        with self._all.lock:
            return [each.stats(active=self._all.routes.is_active(each)) for each in self._all.members.all]

    def summary(self) -> PoolStats:
        """All of them together."""
        with self._all.lock:
            return PoolStats(
                endpoints=tuple(self.stats()),
                failovers=self._all.counts["failover"],
                failbacks=self._all.counts["failback"],
                outages=self._all.counts["outage"],
                in_flight=sum(each.in_flight for each in self._all.members.all),
                requests=self._all.counts["requests"],
                failed_attempts=self._all.counts["failed_attempts"],
                hedged=self._all.counts["hedged"],
                hedges_won=self._all.counts["hedges_won"],
                latency_mean=self._all.window.mean(),
                latency_p99=self._all.window.p99(),
                last_heartbeat_ns=max((each.heartbeat_ns for each in self._all.members.all), default=0),
            )
