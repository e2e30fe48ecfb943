"""What is known of one endpoint, and when it may be tried again."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.endpoint import Endpoint
from otelwarden.otlp import Transport

JITTER = 0.2


class Status(enum.Enum):
    """What an endpoint's recent past says about the next request."""

    UNKNOWN = "unknown"
    """Never tried; taken for healthy."""
    HEALTHY = "healthy"
    """Took the last request."""
    DEGRADED = "degraded"
    """Failed lately, or is on its way back; chosen after every healthy one."""
    UNHEALTHY = "unhealthy"
    """Failed `failure_threshold` times in a row; chosen when there is nothing better."""


RANK = {Status.UNKNOWN: 0, Status.HEALTHY: 0, Status.DEGRADED: 1, Status.UNHEALTHY: 2}
"""The order of choice; equal for those that a selection strategy may choose among."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStats:
    """One endpoint at one moment; counts are since this process started or forked."""

    url: str
    priority: int
    status: Status
    active: bool
    """Whether it is the one that telemetry goes to now."""
    delivered: int
    """Items it took."""
    rejected: int
    """Items it left out of requests that it took."""
    refused: int
    """Items in requests that it refused for what was in them."""
    requests: int
    """Requests of live telemetry that it took."""
    failed_attempts: int
    """Requests of live telemetry that it did not take, by its own fault or the network's."""
    probes: int
    """Empty requests sent to see whether it is back."""
    failures: int
    """Failures since it last took live telemetry in good health."""
    last_code: str
    """What the last attempt or probe saw; empty before the first."""


class PooledEndpoint:
    """An endpoint of a pool, and its health. Its pool alone changes it, under its lock.

    The breaker: after the n-th failure since the endpoint last worked, it is left alone for

        min(max_backoff, initial_backoff * 2 ** (n - 1)) * uniform(1 - JITTER, 1 + JITTER)

    seconds, or for as long as it asked for where that is longer. A probe that succeeds does not set n back, only live
    telemetry does: an endpoint that takes empty requests and no others is left alone for longer each time.

    Args:
        random: uniform in [0, 1).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        position: int,
        config: FailoverConfig,
        transport: Transport,
        random: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.transport = transport
        self.priority = position if endpoint.priority is None else endpoint.priority
        self._config = config
        self._random = random
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as at the start."""
        self.status = Status.UNKNOWN
        self.failures = self.successes = 0
        self.retry_at_ns = self.throttled_until_ns = self.succeeded_at_ns = 0
        self.delivered = self.rejected = self.refused = 0
        self.requests = self.failed_attempts = self.probes = 0
        self.last_code = ""

    @property
    def usable(self) -> bool:
        """Whether it is, as far as known, in good health."""
        return RANK[self.status] == 0

    def backoff(self, failures: int) -> float:
        """Seconds to leave it alone after that many failures; the formula is in the class's docstring."""
        longest = min(self._config.max_backoff, self._config.initial_backoff * 2.0 ** min(failures - 1, 60))
        return longest * (1 - JITTER + 2 * JITTER * self._random())

    def fail(self, now_ns: int, code: str, retry_after: float | None) -> None:
        """It did not take a request."""
        self.failures += 1
        self.successes = 0
        self.last_code = code
        self.status = Status.UNHEALTHY if self.failures >= self._config.failure_threshold else Status.DEGRADED
        self.retry_at_ns = now_ns + int(self.backoff(self.failures) * 1e9)
        if retry_after:
            # Not longer than a batch lives: a typing error in a header must not take an endpoint out for a week.
            self.throttled_until_ns = now_ns + int(min(retry_after, self._config.max_age) * 1e9)
            self.retry_at_ns = max(self.retry_at_ns, self.throttled_until_ns)

    def succeed(self, now_ns: int, code: str, *, live: bool) -> None:
        """It took, or at least judged, a request."""
        self.successes += 1
        self.last_code = code
        self.succeeded_at_ns = now_ns
        self.throttled_until_ns = 0
        if self.usable or self.successes >= self._config.recovery_threshold:
            self.status = Status.HEALTHY
            self.retry_at_ns = 0
            if live:
                self.failures = 0
        else:
            self.status = Status.DEGRADED
            self.retry_at_ns = now_ns + int(self.backoff(1) * 1e9)

    def stats(self, *, active: bool) -> EndpointStats:
        """What is known of it."""
        return EndpointStats(
            url=self.endpoint.url,
            priority=self.priority,
            status=self.status,
            active=active,
            delivered=self.delivered,
            rejected=self.rejected,
            refused=self.refused,
            requests=self.requests,
            failed_attempts=self.failed_attempts,
            probes=self.probes,
            failures=self.failures,
            last_code=self.last_code,
        )
