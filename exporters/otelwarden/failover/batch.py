"""What is under way: an encoded batch and how it has fared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otelwarden.failover.terms import Bound

if TYPE_CHECKING:
    from otelwarden.failover.spool import Record

OVERHEAD: Final = 512
"""Bytes of memory that a batch takes beside its body."""


class Part(NamedTuple):
    """A request, and how many of its items each tenant has."""

    body: bytes
    """Empty while it is on disk alone."""
    tenants: Mapping[str, int]

    @property
    def items(self) -> int:
        """Spans, log records or data points."""
        return sum(self.tenants.values())


class Serialized(NamedTuple):
    """What became of items when they were encoded."""

    part: Part
    """The request; no tenant has anything in it when nothing could be encoded."""
    lost: Mapping[str, int]
    """How many items of each tenant could not be."""


class Batch:
    """An encoded batch, whose items it holds, and how it has fared.

    Attributes:
        bound: what its terms were made of when it was accepted.
        items: the spans, log records or metrics themselves, for endpoints that are exporters; None when they are gone.
        encode: makes the request of them; None when that is done.
        parts: the requests that are to be sent for it: one, unless it was too large; none when it is settled.
        born_ns: when it was accepted, monotonic nanoseconds.
        size: bytes of memory it takes, about.
        number: its place in the order of acceptance; 0 for one that another process accepted.
        record: where it is on disk; None when it is in memory alone.
        evicted: whether it was on disk and had to make room there.
        divided: whether it was too large and is sent in parts, of which some may have been delivered.
        refused_rounds: rounds in a row in which every endpoint answered that the fault is its own.
        first_refused_ns: when the first of them began.
    """

    __slots__ = (
        "born_ns",
        "bound",
        "divided",
        "encode",
        "evicted",
        "first_refused_ns",
        "items",
        "number",
        "parts",
        "record",
        "refused_rounds",
        "size",
    )

    def __init__(
        self,
        body: bytes,
        tenants: Mapping[str, int],
        born_ns: int,
        record: Record | None = None,
        bound: Bound = Bound.NOTHING,
    ) -> None:
        self.parts = [Part(body, tenants)]
        self.born_ns = born_ns
        self.bound = bound
        self.items: Any = None
        self.encode: Callable[[], Serialized] | None = None
        self.size = len(body) + OVERHEAD
        self.number = 0
        self.record = record
        self.evicted = False
        self.divided = False
        self.refused_rounds = 0
        self.first_refused_ns = 0

    def hold(self, items: Any, size: int, encode: Callable[[], Serialized] | None) -> None:
        """Keeps the items themselves too, which take `size` bytes of memory."""
        self.items = items
        self.encode = encode
        self.size += size

    @property
    def tenants(self) -> Mapping[str, int]:
        """Items that are not settled yet, by tenant."""
        if len(self.parts) == 1:
            return self.parts[0].tenants
        tenants: dict[str, int] = {}
        for part in self.parts:
            for tenant, count in part.tenants.items():
                tenants[tenant] = tenants.get(tenant, 0) + count
        return tenants


class Lost(NamedTuple):
    """A batch that had to go, and why."""

    batch: Batch
    reason: str
