"""Counts the requests of live telemetry on their way to one endpoint, and times them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from otelwarden.core import Signal
from otelwarden.failover.vendor import ExporterTransport
from otelwarden.otlp import Cancellation, Outcome, Transport

if TYPE_CHECKING:
    from otelwarden.failover.health import PooledEndpoint
    from otelwarden.failover.pool import EndpointPool


class CountedTransport:
    """The way to an endpoint of a pool that live telemetry takes; probes and checks take `PooledEndpoint.wire`."""

    def __init__(self, wire: Transport, endpoint: PooledEndpoint, pool: EndpointPool) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._pool = pool

    def send(
        self,
        signal: Signal,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float,
        cancellation: Cancellation,
    ) -> Outcome:
        """See `Transport.send`."""
        return self._counted(
            lambda: self._wire.send(signal, body, headers=headers or {}, timeout=timeout, cancellation=cancellation)
        )

    def send_items(self, items: Any, *, timeout: float, cancellation: Cancellation) -> Outcome:
        """See `ExporterTransport.send_items`."""
        wire = self._wire
        assert isinstance(wire, ExporterTransport)  # the pool chooses no other endpoint for items
        return self._counted(lambda: wire.send_items(items, timeout=timeout, cancellation=cancellation))

    def _counted(self, send: Callable[[], Outcome]) -> Outcome:
        started_ns = self._pool.begin(self._endpoint)
        outcome: Outcome | None = None
        try:
            outcome = send()
        finally:
            self._pool.end(self._endpoint, started_ns, outcome)
        return outcome

    def close(self) -> None:
        """See `Transport.close`."""
        self._wire.close()
