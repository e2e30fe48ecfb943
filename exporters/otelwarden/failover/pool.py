"""The endpoints of one pipeline and who of them is fit: chooses, learns from outcomes, tells what changed."""

from __future__ import annotations

import random as random_module
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from otelwarden.core import TRACES, Deadline, Runtime, Signal, default_runtime, run_in_child_after_fork
from otelwarden.failover.checks import Checker, EndpointCheck, HealthCheck
from otelwarden.failover.chooser import Chooser, seconds_until_any
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoint, Endpoints
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.membership import Membership
from otelwarden.failover.monitor import HealthMonitor
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.recovery import PROBE_TIMEOUT, Recovery
from otelwarden.failover.routes import News, Routes
from otelwarden.failover.selection import READS_NO_BATCH, PrioritySelection, Selection, selection_named
from otelwarden.failover.stats import EndpointStats, PoolStats
from otelwarden.failover.status import Status
from otelwarden.failover.traffic import CountedTransport
from otelwarden.failover.vendor import ExporterTransport
from otelwarden.failover.window import Window
from otelwarden.otlp import Cancellation, Outcome, Transport, Verdict

DEFAULTS: Final = FailoverConfig()

LAST_WORDS: Final = 0.5
"""Seconds for an exporter among the endpoints to shut down."""

OVERTAKEN: Final = Outcome(verdict=Verdict.RETRYABLE, code="overtaken", answered=False)
"""What is noted of an endpoint that was slower than the next one too often."""

_ANY: Final = Outbound(TRACES)
_BECAME: Final = {
    Status.HEALTHY: "endpoint_recovered",
    Status.DEGRADED: "endpoint_degraded",
    Status.UNHEALTHY: "endpoint_unhealthy",
}


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
        self._time_ns = self._runtime.clock.time_ns
        self._errors = self._runtime.errors("failover")
        selection = selection or selection_named(config.selection)
        self.reads_batches = not isinstance(selection, READS_NO_BATCH)
        if health_check is not None and config.health_check is None:
            config = replace(config, health_check=HealthCheck())
        self._config = config
        self._random = random
        self._open_transport = open_transport
        self._chooser = Chooser(selection, config.region, self._errors)
        self._routes = Routes(ordered=isinstance(selection, PrioritySelection), region=config.region)
        self._listeners: list[Callable[[], None]] = []
        self._members = Membership(config.endpoints if endpoints is None else endpoints, self._made, self._routes)
        self._start_over()
        check = config.health_check
        self._asks_by_export = health_check is None and (check is None or check.type == "export")
        self._checker = Checker(check, health_check, PROBE_TIMEOUT)
        self._recovery = Recovery(self)
        self._monitor = HealthMonitor(self, check.interval if check is not None else None, self._errors)
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

    def _start_over(self) -> None:
        self._lock = threading.RLock()
        self._reserved: dict[int, PooledEndpoint] = {}
        self._window = Window()
        self._counts: Counter[str] = Counter()
        self._routes.start(self._members.all)

    def _start_over_in_child(self) -> None:
        self._members.start_over()
        self._start_over()

    # --- who uses it

    def attach(self, listener: Callable[[], None]) -> None:
        """Counts one more user, whose `listener` is called whenever an endpoint may be asked that could not before."""
        with self._lock:
            self._listeners.append(listener)
        self._monitor.start()

    def detach(self, listener: Callable[[], None]) -> None:
        """Counts one user less; the last one closes the connections."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
            if self._listeners:
                return
        self._monitor.stop()
        self._recovery.stop()
        for endpoint in self._members.all:
            endpoint.wire.close()
        for endpoint in self._members.all:
            if isinstance(endpoint.wire, ExporterTransport):
                endpoint.wire.wait(LAST_WORDS)

    def flush(self, signal: Signal, deadline: Deadline) -> bool:
        """Flushes the exporters among the endpoints, which may hold what they took; whether that was done in time."""
        done = True
        for endpoint in self._members.all:
            if endpoint.accepts(signal) and isinstance(endpoint.wire, ExporterTransport):
                done = endpoint.wire.flush(deadline) and done
        return done

    # --- who belongs to it

    def add(self, endpoint: Endpoint | str | Mapping[str, Any]) -> None:
        """One endpoint more, from now on; its priority is the last unless it has one.

        Raises:
            ConfigError: it is none, or there already, perhaps still draining.
        """
        with self._lock:
            news = self._members.add(endpoint)
            listeners = list(self._listeners)
        self._tell(news)
        _wake(listeners)

    def remove(self, label: str) -> None:
        """Takes an endpoint away at once; requests on their way there end as they end.

        Args:
            label: its name, or its URL.

        Raises:
            ConfigError: there is none of this name, or no other.
        """
        with self._lock:
            news = self._members.remove(label)
        self._tell(news)

    def drain(self, label: str) -> None:
        """Sends an endpoint no new requests, and takes it away after the last that is on its way.

        Args:
            label: its name, or its URL.

        Raises:
            ConfigError: there is none of this name, or no other.
        """
        with self._lock:
            news = self._members.drain(label)
        self._tell(news)

    # --- who gets a batch

    def select(self, tried: Collection[PooledEndpoint] = (), outbound: Outbound = _ANY) -> PooledEndpoint | None:
        """The endpoint for the next attempt, which the calling thread is expected to make; see `Chooser.choose`.

        Args:
            tried: those that failed this batch in this round.
            outbound: the batch.

        Returns:
            None when there is nobody left to ask.
        """
        with self._lock:
            now = self._now_ns()
            self._give_up_place()
            news = self._review(now)
            chosen = self._chooser.choose(self._members.all, outbound, tried, now)
            if chosen is not None:
                chosen.in_flight += 1
                self._reserved[threading.get_ident()] = chosen
            in_use = bool(self._listeners)
        if in_use:
            self._monitor.start()  # again, after a fork
        self._tell(news)
        return chosen

    def is_busy(self, outbound: Outbound = _ANY, tried: Collection[PooledEndpoint] = ()) -> bool:
        """Whether an endpoint is left that was not asked only because it has all the requests it may have."""
        with self._lock:
            return any(each.takes(outbound) and each.full and each not in tried for each in self._members.all)

    def pause(self, outbound: Outbound = _ANY) -> float:
        """Seconds until the first endpoint may be asked again after all have failed, or have full hands."""
        with self._lock:
            return seconds_until_any(self._members.all, outbound, self._now_ns(), self._config.max_backoff)

    def permits(self, outbound: Outbound) -> bool:
        """Whether there is any endpoint, in whatever health, that a batch may go to."""
        with self._lock:
            return any(each.takes(outbound) for each in self._members.all)

    def wants_items(self, signal: Signal) -> bool:
        """Whether any endpoint for this signal is an exporter, which takes items and not bytes."""
        with self._lock:
            return any(each.endpoint.exporter is not None and each.accepts(signal) for each in self._members.all)

    def latency_quantile(self, quantile: float) -> float | None:
        """Seconds within which that share of the latest requests was taken; None while they are too few to say."""
        with self._lock:
            return self._window.quantile(quantile)

    def accepts(self, signal: Signal) -> bool:
        """Whether any endpoint takes this signal."""
        with self._lock:
            return any(signal in each.endpoint.capabilities for each in self._members.all)

    # --- what becomes of it

    def begin(self, endpoint: PooledEndpoint) -> int:
        """A request of live telemetry starts; when, in monotonic nanoseconds."""
        with self._lock:
            if self._reserved.get(threading.get_ident()) is endpoint:
                del self._reserved[threading.get_ident()]
            else:
                self._give_up_place()
                endpoint.in_flight += 1
        return self._now_ns()

    def end(self, endpoint: PooledEndpoint, started_ns: int, outcome: Outcome | None) -> None:
        """A request that `begin` was called for has ended."""
        now = self._now_ns()
        with self._lock:
            was_full = endpoint.full
            endpoint.in_flight = max(0, endpoint.in_flight - 1)  # a fork may have come in between
            if outcome is not None and outcome.verdict is not Verdict.CANCELLED:
                taken = outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT)
                for window in (endpoint.window, self._window):
                    window.add(now, (now - started_ns) / 1e9, taken=taken)
            news = self._members.take_away_if_done(endpoint)
            listeners = list(self._listeners) if was_full else []
        if endpoint.removed:
            endpoint.wire.close()  # what the request had opened
        self._tell(news)
        _wake(listeners)

    def give_up(self) -> None:
        """The calling thread does not use what it was given by `select`."""
        with self._lock:
            self._give_up_place()

    def _give_up_place(self) -> None:
        """What this thread was given by an earlier `select` and never used is free again."""
        unused = self._reserved.pop(threading.get_ident(), None)
        if unused is not None:
            unused.in_flight -= 1

    def mark_delivered(self, endpoint: PooledEndpoint, outcome: Outcome, items: int) -> None:
        """The endpoint took a batch of `items`, perhaps without some of them."""
        with self._lock:
            rejected = min(outcome.rejected, items)
            endpoint.requests += 1
            self._counts["requests"] += 1
            endpoint.delivered += items - rejected
            endpoint.rejected += rejected
        self._mark_succeeded(endpoint, outcome.code, live=True)

    def mark_unconfirmed(self, endpoint: PooledEndpoint, items: int) -> None:
        """The endpoint may have taken a batch, but its answer was not heard."""
        with self._lock:
            endpoint.unconfirmed += items

    def mark_refused(self, endpoint: PooledEndpoint, outcome: Outcome, items: int) -> None:
        """The endpoint refused a batch for what was in it: it works, the batch does not."""
        with self._lock:
            endpoint.refused += items
        self._mark_succeeded(endpoint, outcome.code, live=True)

    def mark_failed(self, endpoint: PooledEndpoint, outcome: Outcome, signal: Signal) -> None:
        """The endpoint did not take a batch, by its own fault or the network's."""
        with self._lock:
            endpoint.failed_attempts += 1
            self._counts["failed_attempts"] += 1
        self._mark_failed(endpoint, outcome)
        self._recovery.watch(endpoint, signal)

    def mark_overtaken(self, endpoint: PooledEndpoint, signal: Signal) -> None:
        """Another endpoint answered while this one had not; as often in a row as it may fail, that is a failure."""
        with self._lock:
            self._counts["hedges_won"] += 1
            endpoint.overtaken += 1
            if endpoint.overtaken < self._config.failure_threshold:
                return
            endpoint.overtaken = 0
        self.mark_failed(endpoint, OVERTAKEN, signal)

    def mark_hedged(self) -> None:
        """A batch was sent to a second endpoint, as the first had not answered."""
        with self._lock:
            self._counts["hedged"] += 1

    # --- what is asked beside it

    def ask(self, endpoint: PooledEndpoint, signal: Signal, cancellation: Cancellation) -> Outcome:
        """Asks the endpoint how it is, by an empty request of that signal or as the health check says."""
        return self._checker.ask(endpoint.endpoint, endpoint.wire, signal, cancellation)

    def to_be_checked(self) -> list[PooledEndpoint]:
        """The endpoints in good health; the others are being probed."""
        with self._lock:
            return [each for each in self._members.all if each.usable]

    def mark_checked(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        """The endpoint was asked whether it is still well."""
        if outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT, Verdict.CANCELLED):
            self.mark_probed(endpoint, outcome)
            return
        with self._lock:
            endpoint.probes += 1
            endpoint.last_code = outcome.code
            failed = endpoint.usable and endpoint.miss_check()
        if failed:
            self._mark_failed(endpoint, outcome)
            self._recovery.watch(endpoint, endpoint.endpoint.capabilities[0])

    def mark_probed(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        """The endpoint was asked whether it is back."""
        with self._lock:
            endpoint.probes += 1
        if outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT):
            self._mark_succeeded(endpoint, outcome.code, live=False)
        elif outcome.verdict is not Verdict.CANCELLED:
            self._mark_failed(endpoint, outcome)

    def seconds_until_probe(self, endpoint: PooledEndpoint) -> float | None:
        """Seconds until the endpoint should be probed; None when it is in good health, or gone."""
        with self._lock:
            if endpoint.usable or endpoint.removed:
                return None
            return max(0, endpoint.retry_at_ns - self._now_ns()) / 1e9

    # --- what that means

    def _mark_succeeded(self, endpoint: PooledEndpoint, code: str, *, live: bool) -> None:
        with self._lock:
            was, was_usable = endpoint.status, endpoint.usable
            exported = live or self._asks_by_export
            endpoint.succeed(self._now_ns(), code, live=live, exported=exported)
            endpoint.heartbeat_ns = self._time_ns()
            news = self._changes(endpoint, was, code)
            listeners = list(self._listeners) if not was_usable else []
        self._tell(news)
        _wake(listeners)

    def _mark_failed(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        with self._lock:
            was = endpoint.status
            endpoint.fail(self._now_ns(), outcome.code, outcome.retry_after)
            news = self._changes(endpoint, was, outcome.code)
        self._tell(news)

    def _review(self, now_ns: int) -> list[News]:
        news: list[News] = []
        for endpoint in self._members.all:
            was = endpoint.status
            if noted := endpoint.review(now_ns):
                news += self._changes(endpoint, was, noted)
        return news

    def _changes(self, endpoint: PooledEndpoint, was: Status, code: str) -> list[News]:
        now, news = endpoint.status, []
        if now is not was and now in _BECAME and not (was is Status.UNKNOWN and now is Status.HEALTHY):
            news.append(News(_BECAME[now], code, endpoint.endpoint.label))
        return news if endpoint.removed else news + self._routes.follow(self._members.all, code)

    def _tell(self, news: list[News]) -> None:
        # Outside the lock: an observer may write to a disk.
        for action, reason, target in news:
            with self._lock:
                self._counts[action] += 1
            self._runtime.emit("failover", action, reason, target=target)

    # --- what is known

    def stats(self) -> list[EndpointStats]:
        """Every endpoint, in the order of the configuration, then of their coming."""
        with self._lock:
            return [each.stats(active=self._routes.is_active(each)) for each in self._members.all]

    def summary(self) -> PoolStats:
        """All of them together."""
        with self._lock:
            return PoolStats(
                endpoints=tuple(self.stats()),
                failovers=self._counts["failover"],
                failbacks=self._counts["failback"],
                outages=self._counts["outage"],
                in_flight=sum(each.in_flight for each in self._members.all),
                requests=self._counts["requests"],
                failed_attempts=self._counts["failed_attempts"],
                hedged=self._counts["hedged"],
                hedges_won=self._counts["hedges_won"],
                latency_mean=self._window.mean(),
                latency_p99=self._window.p99(),
                last_heartbeat_ns=max((each.heartbeat_ns for each in self._members.all), default=0),
            )


def _wake(listeners: list[Callable[[], None]]) -> None:
    for listener in listeners:
        listener()
