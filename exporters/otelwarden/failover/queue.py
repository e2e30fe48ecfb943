"""Encoded batches that wait for an endpoint: in memory, bounded by bytes, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from typing import Protocol

from otelwarden.core import Clock, Deadline
from otelwarden.failover.batch import Batch, Lost, Part
from otelwarden.failover.lanes import Lanes


class BatchQueue(Protocol):
    """Where the batches of one signal are until each is settled. One worker takes what is new, others replay."""

    def start_over(self) -> None:
        """Forgets everything, as in a forked child."""
        ...

    def put(self, batch: Batch) -> list[Lost] | None:
        """Appends a batch; the batches that had to go, perhaps this one itself, or None when the queue is closed."""
        ...

    def take(self, *, replay: bool) -> Batch | None:
        """Waits for the next batch, which is under way from then on; None when there will be no more."""
        ...

    def load(self, batch: Batch) -> str:
        """Brings the body of a batch that is under way into memory; why that cannot be, empty when it can."""
        ...

    def split(self, batch: Batch, parts: list[Part]) -> None:
        """Puts several parts in the place of the first part of a batch that is under way."""
        ...

    def replace(self, batch: Batch, part: Part) -> bool:
        """Puts what was encoded in the place of the items of a batch under way; False when it is not any more."""
        ...

    def settle(self, batch: Batch) -> bool:
        """Lets go of the first part of a batch under way, which an endpoint has judged; False when that is done."""
        ...

    def drop(self, batch: Batch) -> bool:
        """Lets go of a batch under way; False when somebody else has done so before."""
        ...

    def give_back(self, batch: Batch) -> list[Lost] | None:
        """Says that no endpoint takes a batch; None when the worker is to wait with it, or else it may go on."""
        ...

    def park(self, batch: Batch, terms: Hashable, seconds: float) -> list[Lost]:
        """Sets aside a batch that nobody takes who may have it, for so many seconds; those that had to go."""
        ...

    def join(self, batch: Batch, terms: Hashable) -> bool:
        """Sets a batch aside behind those on the same terms that were parked; False when there are none before it."""
        ...

    def wake(self) -> None:
        """Says that what was parked is worth another try."""
        ...

    def wants_back(self, batch: Batch) -> bool:
        """Whether a batch under way has to be put down, as another one is to be sent before it."""
        ...

    def put_down(self, batch: Batch) -> None:
        """Returns a batch that was called off."""
        ...

    @property
    def must_replay(self) -> bool:
        """Whether there is anything for those who replay."""
        ...

    def close(self) -> None:
        """Accepts nothing from now on."""
        ...

    def halt(self) -> None:
        """Hands out nothing from now on."""
        ...

    def drain(self) -> list[Lost]:
        """Takes away every batch, those under way included."""
        ...

    def held(self) -> dict[str, int]:
        """Items in the queue or under way, by tenant."""
        ...

    def wait_for_all(self, deadline: Deadline) -> bool:
        """Waits until every batch accepted so far is settled; whether they were in time."""
        ...

    def wait_while_it_moves(self, deadline: Deadline, patience: float) -> bool:
        """Waits until every batch is settled, but no longer than `patience` seconds for the next one to be."""
        ...

    def wait_until_nothing_is_under_way(self, deadline: Deadline) -> None:
        """Waits for the workers to come back."""
        ...


class DeliveryQueue:
    """Batches in the order of their acceptance, the one under way included, until each is settled."""

    def __init__(self, max_bytes: int, *, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self.start_over()

    def start_over(self) -> None:
        """See `BatchQueue.start_over`."""
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Batch] = deque()
        self._parked = Lanes(self._clock)
        self._under_way: Batch | None = None
        self._bytes = 0
        self._accepted = 0
        self._open = True
        self._halted = False

    def put(self, batch: Batch) -> list[Lost] | None:
        """See `BatchQueue.put`; at the expense of the oldest that wait."""
        with self._changed:
            if not self._open:
                return None
            evicted = []
            while self._bytes + batch.size > self._max_bytes and (oldest := self._pop_oldest()) is not None:
                self._bytes -= oldest.size
                evicted.append(Lost(oldest, "queue_full"))
            if self._bytes + batch.size > self._max_bytes:
                evicted.append(Lost(batch, "queue_full"))
            else:
                self._accepted += 1
                batch.number = self._accepted
                self._waiting.append(batch)
                self._bytes += batch.size
            self._changed.notify_all()
            return evicted

    def take(self, *, replay: bool) -> Batch | None:
        """See `BatchQueue.take`."""
        with self._changed:
            while not self._halted:
                batch = self._parked.due() or (self._waiting.popleft() if self._waiting else None)
                if batch is not None:
                    self._under_way = batch
                    return batch
                if not self._open and not self._parked:
                    return None
                self._changed.wait(self._parked.seconds())
            return None

    def load(self, batch: Batch) -> str:
        """See `BatchQueue.load`; it is there already."""
        return ""

    def split(self, batch: Batch, parts: list[Part]) -> None:
        """See `BatchQueue.split`."""
        with self._changed:
            if self._under_way is batch:
                batch.parts[:1] = parts
                batch.divided = True

    def replace(self, batch: Batch, part: Part) -> bool:
        """See `BatchQueue.replace`."""
        with self._changed:
            if self._under_way is not batch:
                return False
            batch.parts = [part]
            batch.size += len(part.body)
            self._bytes += len(part.body)
            return True

    def settle(self, batch: Batch) -> bool:
        """See `BatchQueue.settle`."""
        with self._changed:
            if self._under_way is not batch:
                return False
            if len(batch.parts) == 1:
                self._waiting.extendleft(reversed(self._parked.settled(batch)))
                return self.drop(batch)
            del batch.parts[0]
            return True

    def drop(self, batch: Batch) -> bool:
        """See `BatchQueue.drop`."""
        with self._changed:
            if self._under_way is not batch:
                return False
            self._under_way = None
            self._parked.leave(batch)
            self._bytes -= batch.size
            batch.parts = []
            self._changed.notify_all()
            return True

    def give_back(self, batch: Batch) -> list[Lost] | None:
        """See `BatchQueue.give_back`; what comes later waits behind it."""
        return None

    def park(self, batch: Batch, terms: Hashable, seconds: float) -> list[Lost]:
        """See `BatchQueue.park`; it goes on counting as one of those in the queue."""
        with self._changed:
            if self._under_way is batch:
                self._under_way = None
                self._parked.park(batch, terms, seconds)
            return []

    def join(self, batch: Batch, terms: Hashable) -> bool:
        """See `BatchQueue.join`."""
        with self._changed:
            if self._under_way is not batch or not self._parked.join(batch, terms):
                return False
            self._under_way = None
            return True

    def wake(self) -> None:
        """See `BatchQueue.wake`."""
        with self._changed:
            self._parked.wake()
            self._changed.notify_all()

    def wants_back(self, batch: Batch) -> bool:
        """See `BatchQueue.wants_back`; nothing comes before what came first."""
        return False

    def put_down(self, batch: Batch) -> None:
        """See `BatchQueue.put_down`."""
        with self._changed:
            if self._under_way is batch:
                self._under_way = None
                self._parked.leave(batch)
                self._waiting.appendleft(batch)
                self._changed.notify_all()

    @property
    def must_replay(self) -> bool:
        """See `BatchQueue.must_replay`; there is one order, and one worker."""
        return False

    def close(self) -> None:
        """See `BatchQueue.close`."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def halt(self) -> None:
        """See `BatchQueue.halt`."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def drain(self) -> list[Lost]:
        """See `BatchQueue.drain`."""
        with self._changed:
            left = self._all()
            self._waiting.clear()
            self._parked = Lanes(self._clock)
            self._under_way = None
            self._bytes = 0
            self._changed.notify_all()
            return [Lost(batch, "shutdown") for batch in left]

    def held(self) -> dict[str, int]:
        """See `BatchQueue.held`."""
        with self._changed:
            batches = self._all()
        tenants: dict[str, int] = {}
        for batch in batches:
            for tenant, count in batch.tenants.items():
                tenants[tenant] = tenants.get(tenant, 0) + count
        return tenants

    def wait_for_all(self, deadline: Deadline) -> bool:
        """See `BatchQueue.wait_for_all`."""
        with self._changed:
            last = self._accepted
            return self._changed.wait_for(lambda: self._oldest() > last, deadline.remaining)

    def wait_while_it_moves(self, deadline: Deadline, patience: float) -> bool:
        """See `BatchQueue.wait_while_it_moves`."""
        with self._changed:
            while (oldest := self._oldest()) <= self._accepted:
                settled = self._changed.wait_for(
                    lambda oldest=oldest: self._oldest() > oldest,  # type: ignore[misc]
                    min(deadline.remaining, patience),
                )
                if not settled:
                    return False
            return True

    def wait_until_nothing_is_under_way(self, deadline: Deadline) -> None:
        """See `BatchQueue.wait_until_nothing_is_under_way`."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way is None, deadline.remaining)

    def _all(self) -> list[Batch]:
        under_way = [] if self._under_way is None else [self._under_way]
        return [*under_way, *self._parked, *self._waiting]

    def _oldest(self) -> int:
        """The number of the oldest batch held; beyond every number when none is."""
        return min((batch.number for batch in self._heads()), default=self._accepted + 1)

    def _heads(self) -> Iterator[Batch]:
        if self._under_way is not None:
            yield self._under_way
        if self._waiting:
            yield self._waiting[0]
        yield from self._parked

    def _pop_oldest(self) -> Batch | None:
        if self._waiting and self._waiting[0].number < self._parked.oldest():
            return self._waiting.popleft()
        return self._parked.pop_oldest()
