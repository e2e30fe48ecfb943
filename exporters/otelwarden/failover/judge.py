"""What the outcomes of requests, probes and checks say about the endpoints of a pool."""

from __future__ import annotations

from typing import Final

from otelwarden.core import Runtime, Signal
from otelwarden.failover.checks import Checker, EndpointCheck
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.health import PooledEndpoint
from otelwarden.failover.pooled import Pooled
from otelwarden.failover.recovery import PROBE_TIMEOUT, Recovery
from otelwarden.failover.routes import News
from otelwarden.failover.status import Status
from otelwarden.otlp import Cancellation, Outcome, Verdict

OVERTAKEN: Final = Outcome(verdict=Verdict.RETRYABLE, code="overtaken", answered=False)
"""What is noted of an endpoint that was slower than the next one too often."""

_BECAME: Final = {
    Status.HEALTHY: "endpoint_recovered",
    Status.DEGRADED: "endpoint_degraded",
    Status.UNHEALTHY: "endpoint_unhealthy",
}


class Judge:
    """Moves the health of endpoints, by named verbs, and tells what that changes.

    Args:
        pooled: the endpoints, under their lock.
        function: asks an endpoint how it is, in place of the check of `config`.
    """

    def __init__(
        self, pooled: Pooled, config: FailoverConfig, function: EndpointCheck | None, runtime: Runtime
    ) -> None:
        self._all = pooled
        self._config = config
        self._now_ns = runtime.clock.monotonic_ns
        self._time_ns = runtime.clock.time_ns
        check = config.health_check
        self._asks_by_export = function is None and (check is None or check.type == "export")
        self._checker = Checker(check, function, PROBE_TIMEOUT)
        self._recovery = Recovery(self)

    def stop(self) -> None:
        """Ends every probe; later failures start new ones."""
        self._recovery.stop()

    def mark_delivered(self, endpoint: PooledEndpoint, outcome: Outcome, items: int) -> None:
        """The endpoint took a batch of `items`, perhaps without some of them."""
        with self._all.lock:
            rejected = min(outcome.rejected, items)
            endpoint.requests += 1
            self._all.counts["requests"] += 1
            endpoint.delivered += items - rejected
            endpoint.rejected += rejected
        self._mark_succeeded(endpoint, outcome.code, live=True)

    def mark_unconfirmed(self, endpoint: PooledEndpoint, items: int) -> None:
        """The endpoint may have taken a batch, but its answer was not heard."""
        with self._all.lock:
            endpoint.unconfirmed += items

    def mark_refused(self, endpoint: PooledEndpoint, outcome: Outcome, items: int) -> None:
        """The endpoint refused a batch for what was in it: it works, the batch does not."""
        with self._all.lock:
            endpoint.refused += items
        self._mark_succeeded(endpoint, outcome.code, live=True)

    def mark_failed(self, endpoint: PooledEndpoint, outcome: Outcome, signal: Signal) -> None:
        """The endpoint did not take a batch, by its own fault or the network's."""
        with self._all.lock:
            endpoint.failed_attempts += 1
            self._all.counts["failed_attempts"] += 1
        self._mark_failed(endpoint, outcome)
        self._recovery.watch(endpoint, signal)

    def mark_overtaken(self, endpoint: PooledEndpoint, signal: Signal) -> None:
        """Another endpoint answered while this one had not; as often in a row as it may fail, that is a failure."""
        with self._all.lock:
            self._all.counts["hedges_won"] += 1
            endpoint.overtaken += 1
            if endpoint.overtaken < self._config.failure_threshold:
                return
            endpoint.overtaken = 0
        self.mark_failed(endpoint, OVERTAKEN, signal)

    def mark_hedged(self) -> None:
        """A batch was sent to a second endpoint, as the first had not answered."""
        with self._all.lock:
            self._all.counts["hedged"] += 1

    # --- what is asked beside it

    def ask(self, endpoint: PooledEndpoint, signal: Signal, cancellation: Cancellation) -> Outcome:
        """Asks the endpoint how it is, by an empty request of that signal or as the health check says."""
        return self._checker.ask(endpoint.endpoint, endpoint.wire, signal, cancellation)

    def to_be_checked(self) -> list[PooledEndpoint]:
        """The endpoints in good health; the others are being probed."""
        with self._all.lock:
            return [each for each in self._all.members.all if each.usable]

    def mark_checked(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        """The endpoint was asked whether it is still well."""
        if outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT, Verdict.CANCELLED):
            self.mark_probed(endpoint, outcome)
            return
        with self._all.lock:
            endpoint.probes += 1
            endpoint.last_code = outcome.code
            failed = endpoint.usable and endpoint.miss_check()
        if failed:
            self._mark_failed(endpoint, outcome)
            self._recovery.watch(endpoint, endpoint.endpoint.capabilities[0])

    def mark_probed(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        """The endpoint was asked whether it is back."""
        with self._all.lock:
            endpoint.probes += 1
        if outcome.verdict in (Verdict.DELIVERED, Verdict.DATA_FAULT):
            self._mark_succeeded(endpoint, outcome.code, live=False)
        elif outcome.verdict is not Verdict.CANCELLED:
            self._mark_failed(endpoint, outcome)

    def seconds_until_probe(self, endpoint: PooledEndpoint) -> float | None:
        """Seconds until the endpoint should be probed; None when it is in good health, or gone."""
        with self._all.lock:
            if endpoint.usable or endpoint.removed:
                return None
            return max(0, endpoint.retry_at_ns - self._now_ns()) / 1e9

    # --- what that means

    def _mark_succeeded(self, endpoint: PooledEndpoint, code: str, *, live: bool) -> None:
        with self._all.lock:
            was, was_usable = endpoint.status, endpoint.usable
            exported = live or self._asks_by_export
            endpoint.succeed(self._now_ns(), code, live=live, exported=exported)
            endpoint.heartbeat_ns = self._time_ns()
            news = self._changes(endpoint, was, code)
            listeners = list(self._all.listeners) if not was_usable else []
        self._all.tell(news)
        self._all.wake(listeners)

    def _mark_failed(self, endpoint: PooledEndpoint, outcome: Outcome) -> None:
        with self._all.lock:
            was = endpoint.status
            endpoint.fail(self._now_ns(), outcome.code, outcome.retry_after)
            news = self._changes(endpoint, was, outcome.code)
        self._all.tell(news)

    def review(self, now_ns: int) -> list[News]:
        """Looks at what the latest requests were like; called under the lock, for the caller to tell."""
        news: list[News] = []
        for endpoint in self._all.members.all:
            was = endpoint.status
            if noted := endpoint.review(now_ns):
                news += self._changes(endpoint, was, noted)
        return news

    def _changes(self, endpoint: PooledEndpoint, was: Status, code: str) -> list[News]:
        now, news = endpoint.status, []
        if now is not was and now in _BECAME and not (was is Status.UNKNOWN and now is Status.HEALTHY):
            news.append(News(_BECAME[now], code, endpoint.endpoint.label))
        return news if endpoint.removed else news + self._all.routes.follow(self._all.members.all, code)
