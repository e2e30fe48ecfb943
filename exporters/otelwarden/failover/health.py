"""What is known of one endpoint, and when it may be tried again."""

from __future__ import annotations

from collections.abc import Callable

from otelwarden.core import Signal
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoint
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.stats import EndpointStats
from otelwarden.failover.status import RANK, Status
from otelwarden.failover.traffic import CountedTransport
from otelwarden.failover.window import Window
from otelwarden.otlp import Transport

JITTER = 0.2
CALM = 0.8
"""The share of a bound on latency or failures below which an endpoint beyond it is in good health again."""


class PooledEndpoint:
    """An endpoint of a pool, and its health. Its pool alone changes it, under its lock.

    The breaker: after the n-th failure since the endpoint last worked, it is left alone for

        min(max_backoff, initial_backoff * 2 ** (n - 1)) * uniform(1 - JITTER, 1 + JITTER)

    seconds, or for as long as it asked for where that is longer. A probe that succeeds does not set n back, only live
    telemetry does: an endpoint that takes empty requests and no others is left alone for longer each time.

    Args:
        random: uniform in [0, 1).

    Attributes:
        wire: the way there, for probes and checks.
        transport: the same way for live telemetry, which is counted.
    """

    transport: CountedTransport

    def __init__(
        self,
        endpoint: Endpoint,
        position: int,
        config: FailoverConfig,
        transport: Transport,
        random: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.wire = transport
        self.priority = position if endpoint.priority is None else endpoint.priority
        self.draining = self.removed = False
        self._config = config
        self._random = random
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as at the start."""
        self.breaker = Status.UNKNOWN
        self.wearing = ""
        self.failures = self.successes = self.failed_checks = 0
        self.retry_at_ns = self.throttled_until_ns = self.succeeded_at_ns = self.heartbeat_ns = 0
        self.delivered = self.rejected = self.refused = 0
        self.unconfirmed = self.requests = self.failed_attempts = self.probes = self.in_flight = self.overtaken = 0
        self.window = Window()
        self.last_code = ""

    @property
    def status(self) -> Status:
        """What the breaker says, or degraded when it is slow or fails now and then."""
        return Status.DEGRADED if self.wearing and self.usable else self.breaker

    @property
    def usable(self) -> bool:
        """Whether the breaker is closed: it is not known to be down."""
        return RANK[self.breaker] == 0

    @property
    def full(self) -> bool:
        """Whether it has as many requests in flight as it may."""
        return self.endpoint.capacity is not None and self.in_flight >= self.endpoint.capacity

    def accepts(self, signal: Signal) -> bool:
        """Whether it may be sent new requests of this signal, for all that health says."""
        return not self.draining and signal in self.endpoint.capabilities

    def takes(self, outbound: Outbound) -> bool:
        """Whether it may be sent a batch, for all that health says: its signal, its terms and its form."""
        if not self.accepts(outbound.signal) or not outbound.terms.allows(self.endpoint):
            return False
        return outbound.as_bytes if self.endpoint.exporter is None else outbound.as_items

    def backoff(self, failures: int) -> float:
        """Seconds to leave it alone after that many failures; the formula is in the class's docstring."""
        longest = min(self._config.max_backoff, self._config.initial_backoff * 2.0 ** min(failures - 1, 60))
        return longest * (1 - JITTER + 2 * JITTER * self._random())

    def fail(self, now_ns: int, code: str, retry_after: float | None) -> None:
        """It did not take a request."""
        self.failures += 1
        self.successes = 0
        self.last_code = code
        self.breaker = Status.UNHEALTHY if self.failures >= self._config.failure_threshold else Status.DEGRADED
        self.retry_at_ns = now_ns + int(self.backoff(self.failures) * 1e9)
        if retry_after:
            # Not longer than a batch lives: a typing error in a header must not take an endpoint out for a week.
            self.throttled_until_ns = now_ns + int(min(retry_after, self._config.max_age) * 1e9)
            self.retry_at_ns = max(self.retry_at_ns, self.throttled_until_ns)

    def succeed(self, now_ns: int, code: str, *, live: bool, exported: bool = True) -> None:
        """It took, or at least judged, a request; or a check that is no export says that it is well."""
        self.successes += 1
        self.failed_checks = 0
        if live:
            self.overtaken = 0
        self.last_code = code
        if exported:
            self.succeeded_at_ns = now_ns
        self.throttled_until_ns = 0
        if self.usable or self.successes >= self._config.successes_to_recover:
            self.breaker = Status.HEALTHY
            self.retry_at_ns = 0
            if live:
                self.failures = 0
        else:
            self.breaker = Status.DEGRADED
            self.retry_at_ns = now_ns + int(self.backoff(1) * 1e9)

    def miss_check(self) -> bool:
        """It failed a check while in good health; whether that was once too often."""
        self.failed_checks += 1
        check = self._config.health_check
        if check is not None and self.failed_checks < check.failure_threshold:
            return False
        self.failed_checks = 0
        return True

    def review(self, now_ns: int) -> str:
        """Notes whether the latest requests were slow, or failed now and then.

        Once beyond its bound it has to fall below `CALM` of that, or get no requests for a while, to count as well.

        Returns:
            What was noted just now: `slow`, `failing`, `calm`; empty when nothing has changed.
        """
        was = self.wearing
        if self._beyond(self.window.recent_mean(now_ns), self._config.degraded_latency, worn=was == "slow"):
            self.wearing = "slow"
        elif self._beyond(
            self.window.recent_failure_rate(now_ns), self._config.degraded_failure_rate, worn=was == "failing"
        ):
            self.wearing = "failing"
        else:
            self.wearing = ""
        return "" if bool(was) == bool(self.wearing) else self.wearing or "calm"

    @staticmethod
    def _beyond(measured: float | None, bound: float | None, *, worn: bool) -> bool:
        return measured is not None and bound is not None and measured > bound * (CALM if worn else 1)

    def stats(self, *, active: bool) -> EndpointStats:
        """What is known of it."""
        return EndpointStats(
            name=self.endpoint.label,
            url=self.endpoint.url,
            priority=self.priority,
            region=self.endpoint.region,
            weight=self.endpoint.weight,
            capacity=self.endpoint.capacity,
            status=self.status,
            active=active,
            draining=self.draining,
            in_flight=self.in_flight,
            delivered=self.delivered,
            rejected=self.rejected,
            refused=self.refused,
            requests=self.requests,
            failed_attempts=self.failed_attempts,
            probes=self.probes,
            unconfirmed=self.unconfirmed,
            failures=self.failures,
            latency_mean=self.window.mean(),
            latency_p99=self.window.p99(),
            last_heartbeat_ns=self.heartbeat_ns,
            last_code=self.last_code,
        )
