"""What the three exporters have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from otelwarden.core import ConfigError, Deadline, Item, Runtime, Signal, default_runtime, state_of
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.delivery import Delivery
from otelwarden.failover.endpoint import Endpoints
from otelwarden.failover.environment import endpoints_of_environment
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.spool import Spool
from otelwarden.otlp import Encoded


class Exporting:
    """The failover of one signal, without the SDK's names."""

    def __init__(
        self,
        signal: Signal,
        endpoints: Endpoints | None,
        config: FailoverConfig,
        runtime: Runtime | None,
        pool: EndpointPool | None,
    ) -> None:
        self.runtime = runtime or default_runtime()
        self._signal: Signal = signal
        if pool is None:
            if endpoints is None:
                endpoints = config.endpoints or endpoints_of_environment(signal)
            pool = EndpointPool(endpoints, config=config, runtime=self.runtime)
        elif endpoints is not None:
            raise ConfigError("endpoints and a pool were given: the pool has its own")
        if not pool.accepts(signal):
            raise ConfigError(f"no endpoint accepts {signal}: capabilities")
        self.pool = pool
        self._errors = self.runtime.errors("failover")
        self._delivery = Delivery(signal, pool, config, self.runtime)

    def export(
        self, encode: Callable[[], Encoded], tenants: Mapping[str, int], tenant_of: Callable[[Any], str]
    ) -> bool:
        """Encodes a batch and takes charge of it.

        Args:
            tenants: how many items each tenant has in the batch.
            tenant_of: the tenant of an item that could not be encoded.

        Returns:
            Whether it was taken; what cannot be encoded is lost and counted, and no failure.
        """
        accounts = self._delivery.accounts
        accounts.received(tenants)
        try:
            encoded = encode()
        except Exception as error:
            self._errors.record("encode", error)
            accounts.dropped(tenants, "error")
            return False
        if encoded.repaired:
            self.runtime.emit("failover", "repair", "encoding", signal=self._signal, count=encoded.repaired)
        if encoded.dropped:
            lost = count_by(tenant_of, encoded.dropped)
            accounts.dropped(lost, "encoding")
            tenants = {tenant: left for tenant, count in tenants.items() if (left := count - lost.get(tenant, 0))}
        return not encoded.body or self._delivery.accept(encoded.body, tenants)

    @property
    def spool(self) -> Spool | None:
        """Where batches wait on disk; None when they wait in memory."""
        return self._delivery.spool

    def force_flush(self, timeout_millis: float) -> bool:
        """Waits until everything exported so far is delivered or dropped; whether it was in time."""
        return self._delivery.flush(Deadline.after_millis(timeout_millis))

    def shutdown(self, timeout_millis: float) -> None:
        """Delivers what is left for as long as it moves, then drops the rest, or leaves it in the spool, counted."""
        self._delivery.shutdown(Deadline.after_millis(timeout_millis))


def count_by(tenant_of: Callable[[Any], str], items: Sequence[Any]) -> dict[str, int]:
    """How many of `items` each tenant has."""
    tenants: dict[str, int] = {}
    for item in items:
        tenant = tenant_of(item)
        tenants[tenant] = tenants.get(tenant, 0) + 1
    return tenants


def tenant_of_item(item: Item) -> str:
    """The tenant of a span or log record."""
    return state_of(item).tenant
