"""Encoded batches that wait for an endpoint: in memory, bounded by bytes, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

from otelwarden.core import Deadline

OVERHEAD: Final = 512
"""Bytes of memory that a batch takes beside its body."""


class Batch:
    """An encoded batch, whose items it holds, and how it has fared.

    Attributes:
        body: the request, ready to be sent.
        tenants: how many of its items each tenant has.
        items: the sum of them.
        born_ns: when it was accepted, monotonic nanoseconds.
        number: its place in the order of acceptance.
        refused_rounds: rounds in a row in which every endpoint answered that the fault is its own.
        first_refused_ns: when the first of them began.
    """

    __slots__ = ("body", "born_ns", "first_refused_ns", "items", "number", "refused_rounds", "tenants")

    def __init__(self, body: bytes, tenants: Mapping[str, int], born_ns: int) -> None:
        self.body = body
        self.tenants = tenants
        self.items = sum(tenants.values())
        self.born_ns = born_ns
        self.number = 0
        self.refused_rounds = 0
        self.first_refused_ns = 0

    @property
    def size(self) -> int:
        """Bytes of memory it takes, about."""
        return len(self.body) + OVERHEAD


class DeliveryQueue:
    """Batches in the order of their acceptance, the one under way included, until each is settled."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.start_over()

    def start_over(self) -> None:
        """Forgets everything, as in a forked child."""
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Batch] = deque()
        self._under_way: Batch | None = None
        self._bytes = 0
        self._accepted = 0
        self._open = True

    def put(self, batch: Batch) -> list[Batch] | None:
        """Appends a batch, at the expense of the oldest that wait.

        Returns:
            Those that had to go, perhaps the batch itself; None when the queue is closed.
        """
        with self._changed:
            if not self._open:
                return None
            evicted = []
            while self._waiting and self._bytes + batch.size > self._max_bytes:
                oldest = self._waiting.popleft()
                self._bytes -= oldest.size
                evicted.append(oldest)
            if self._bytes + batch.size > self._max_bytes:
                evicted.append(batch)
            else:
                self._accepted += 1
                batch.number = self._accepted
                self._waiting.append(batch)
                self._bytes += batch.size
            self._changed.notify_all()
            return evicted

    def take(self) -> Batch | None:
        """Waits for the next batch, which is under way from then on; None when the queue is closed and empty."""
        with self._changed:
            while not self._waiting:
                if not self._open:
                    return None
                self._changed.wait()
            self._under_way = self._waiting.popleft()
            return self._under_way

    def settle(self, batch: Batch) -> bool:
        """Lets go of the batch under way; False when somebody else has done so before."""
        with self._changed:
            if self._under_way is not batch:
                return False
            self._under_way = None
            self._bytes -= batch.size
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Accepts nothing from now on."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def drain(self) -> list[Batch]:
        """Takes away every batch, the one under way included."""
        with self._changed:
            left = list(self._waiting) if self._under_way is None else [self._under_way, *self._waiting]
            self._waiting.clear()
            self._under_way = None
            self._bytes = 0
            self._changed.notify_all()
            return left

    def held(self) -> dict[str, int]:
        """Items in the queue or under way, by tenant."""
        with self._changed:
            batches = list(self._waiting) if self._under_way is None else [self._under_way, *self._waiting]
        tenants: dict[str, int] = {}
        for batch in batches:
            for tenant, count in batch.tenants.items():
                tenants[tenant] = tenants.get(tenant, 0) + count
        return tenants

    def wait_for_all(self, deadline: Deadline) -> bool:
        """Waits until every batch accepted so far is settled; whether they were in time."""
        with self._changed:
            last = self._accepted
            return self._changed.wait_for(lambda: self._oldest() > last, deadline.remaining)

    def wait_while_it_moves(self, deadline: Deadline, patience: float) -> bool:
        """Waits until the queue is empty, but no longer than `patience` seconds for any one batch to be settled."""
        with self._changed:
            while (oldest := self._oldest()) <= self._accepted:
                settled = self._changed.wait_for(
                    lambda oldest=oldest: self._oldest() > oldest,  # type: ignore[misc]
                    min(deadline.remaining, patience),
                )
                if not settled:
                    return False
            return True

    def _oldest(self) -> int:
        """The number of the oldest batch held; beyond every number when none is."""
        if self._under_way is not None:
            return self._under_way.number
        return self._waiting[0].number if self._waiting else self._accepted + 1
