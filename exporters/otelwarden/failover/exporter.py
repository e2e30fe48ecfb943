"""What the three exporters have in common."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.core import (
    ConfigError,
    Deadline,
    Item,
    Runtime,
    Signal,
    TenantRouting,
    default_runtime,
    size_of,
    state_of,
)
from otelwarden.failover.batch import Batch, Part, Serialized
from otelwarden.failover.config import FailoverConfig
from otelwarden.failover.delivery import Delivery
from otelwarden.failover.endpoint import Endpoints
from otelwarden.failover.environment import endpoints_of_environment
from otelwarden.failover.outbound import Outbound
from otelwarden.failover.pool import EndpointPool
from otelwarden.failover.spool import Spool
from otelwarden.failover.terms import TenantTerms, Terms
from otelwarden.otlp import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """What there is to know of one signal's batches, so that the rest need not."""

    encode: Callable[[Any], Encoded]
    """Serializes a batch."""
    count: Callable[[Any], Mapping[str, int]]
    """How many items each tenant has in it."""
    tenant_of: Callable[[Any], str]
    """The tenant of one item."""
    only: Callable[[Any, Container[str]], Any]
    """The batch without the items of other tenants."""
    size: Callable[[Any], int]
    """About how many bytes of memory it takes as it is."""


class Exporting:
    """The failover of one signal, without the SDK's names.

    Args:
        directory: what is recorded about tenants; None where nobody knows them.
    """

    def __init__(
        self,
        signal: Signal,
        handling: Callable[[Runtime], Handling],
        endpoints: Endpoints | None,
        config: FailoverConfig,
        runtime: Runtime | None,
        pool: EndpointPool | None,
        directory: TenantRouting | None,
    ) -> None:
        self.runtime = runtime or default_runtime()
        self._signal: Signal = signal
        self._handling = handling(self.runtime)
        if pool is None:
            if endpoints is None:
                endpoints = config.endpoints or endpoints_of_environment(signal)
            pool = EndpointPool(endpoints, config=config, runtime=self.runtime)
        elif endpoints is not None:
            raise ConfigError("endpoints and a pool were given: the pool has its own")
        if not pool.accepts(signal):
            raise ConfigError(f"no endpoint accepts {signal}: capabilities")
        if config.spool is not None and not pool.permits(Outbound(signal)):
            raise ConfigError(f"a spool holds bytes, and every endpoint for {signal} is an exporter, which takes none")
        self.pool = pool
        self._now_ns = self.runtime.clock.monotonic_ns
        self._errors = self.runtime.errors("failover")
        self._terms = TenantTerms(config.headers, config.residency, directory)
        self._delivery = Delivery(signal, pool, config, self.runtime, self._terms)

    def export(self, items: Any) -> bool:
        """Takes charge of a batch, in as many parts as the terms of its tenants differ.

        Returns:
            Whether it was taken; what cannot be encoded is lost and counted, and no failure.
        """
        accounts, tenants = self._delivery.accounts, self._handling.count(items)
        accounts.received(tenants)
        groups = self._terms.groups(tenants)
        taken = True
        for terms, share in groups:
            if terms.fault:
                accounts.dropped(share, terms.fault)
                continue
            try:
                part = items if len(groups) == 1 else self._handling.only(items, share)
                batch = self._batch(part, share, terms)
            except Exception as error:
                self._errors.record("encode", error)
                accounts.dropped(share, "error")
                taken = False
                continue
            if batch is not None:
                taken = self._delivery.accept(batch) and taken
        return taken

    def _batch(self, items: Any, tenants: Mapping[str, int], terms: Terms) -> Batch | None:
        """Encodes a batch, unless perhaps nobody needs that; None when nothing of it could be encoded."""
        keep = self.pool.wants_items(self._signal)
        if keep and isinstance(items, Sequence):
            items = tuple(items)  # the list is the caller's
        if keep and self._delivery.spool is None and not self.pool.reads_batches:
            batch = Batch(b"", tenants, self._now_ns(), bound=terms.bound)
            batch.hold(items, self._handling.size(items), lambda: self._serialized(items, tenants))
            return batch
        part, lost = self._serialized(items, tenants)
        self._delivery.accounts.dropped(lost, "encoding")
        if not part.tenants:
            return None
        batch = Batch(part.body, part.tenants, self._now_ns(), bound=terms.bound)
        if keep and not lost:
            batch.hold(items, self._handling.size(items), None)
        return batch

    def _serialized(self, items: Any, tenants: Mapping[str, int]) -> Serialized:
        encoded = self._handling.encode(items)
        if encoded.repaired:
            self.runtime.emit("failover", "repair", "encoding", signal=self._signal, count=encoded.repaired)
        if not encoded.dropped:
            return Serialized(Part(encoded.body, tenants if encoded.body else {}), {})
        lost = count_by(self._handling.tenant_of, encoded.dropped)
        left = {tenant: rest for tenant, count in tenants.items() if (rest := count - lost.get(tenant, 0))}
        return Serialized(Part(encoded.body, left if encoded.body else {}), lost)

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


_HEAP: Final = 3
"""Bytes of memory that a span or log record takes for each byte of its size, about; measured at 2.9."""


def handling_of_items(encode: Callable[[Any], Encoded]) -> Handling:
    """That of spans and of log records, which carry their tenants."""
    return Handling(
        encode=encode,
        count=lambda items: count_by(tenant_of_item, items),
        tenant_of=tenant_of_item,
        only=lambda items, tenants: [item for item in items if tenant_of_item(item) in tenants],
        size=lambda items: _HEAP * sum(map(size_of, items)),
    )
