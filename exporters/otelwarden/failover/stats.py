"""What is known of the endpoints at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from otelwarden.failover.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStats:
    """One endpoint at one moment; counts are since this process started or forked."""

    name: str
    """Its name, or else its URL, or the class of its exporter."""
    url: str
    """Empty for an exporter."""
    priority: int
    region: str | None
    weight: float
    capacity: int | None
    """Requests in flight at most; None for no bound."""
    status: Status
    active: bool
    """Whether telemetry goes to it now."""
    draining: bool
    """Whether it gets no new requests and is removed after the last."""
    in_flight: int
    """Requests of live telemetry under way."""
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
    """Requests and checks beside the live telemetry, to see whether it is well or back."""
    unconfirmed: int
    """Items it was sent without its answer being heard: it may have taken them, and they went elsewhere too."""
    failures: int
    """Failures since it last took live telemetry in good health."""
    latency_mean: float | None
    """Seconds that the last requests it took, at most 512, took on average; None before the first."""
    latency_p99: float | None
    """Seconds within which 99 % of them were taken; None before the first."""
    last_heartbeat_ns: int
    """When it was last heard to be well, nanoseconds since the Unix epoch; 0 for never."""
    last_code: str
    """What the last attempt or probe saw; empty before the first."""

    @property
    def headroom(self) -> int | None:
        """Requests that it may be sent beside those in flight; None for no bound."""
        return None if self.capacity is None else max(0, self.capacity - self.in_flight)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """A pool at one moment; counts are since this process started or forked, of endpoints removed meanwhile too."""

    endpoints: tuple[EndpointStats, ...]
    """In the order of the configuration, then of their coming."""
    failovers: int
    """Times that telemetry left an endpoint that was not fit."""
    failbacks: int
    """Times that it returned."""
    outages: int
    """Times that no endpoint was fit."""
    in_flight: int
    """Requests of live telemetry under way."""
    requests: int
    """Requests of live telemetry that were taken."""
    failed_attempts: int
    """Requests of live telemetry that were not."""
    hedged: int
    """Requests that were sent to a second endpoint too, as the first had not answered."""
    hedges_won: int
    """Of these, the ones that the second endpoint answered first."""
    latency_mean: float | None
    """Seconds that the last requests, at most 512, took on average; None before the first."""
    latency_p99: float | None
    """Seconds within which 99 % of them were taken; None before the first."""
    last_heartbeat_ns: int
    """When any endpoint was last heard to be well, nanoseconds since the Unix epoch; 0 for never."""
