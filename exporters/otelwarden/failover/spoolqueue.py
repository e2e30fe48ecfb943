"""Encoded batches on disk that wait for an endpoint; what is new goes first, and from memory."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping

from otelwarden.core import Clock, Deadline
from otelwarden.failover.batch import Batch, Lost, Part
from otelwarden.failover.lanes import Lanes
from otelwarden.failover.spool import Record, Spool
from otelwarden.failover.terms import Bound


class SpoolQueue:
    """Two lanes over one spool.

    Every batch is appended to the spool first. While endpoints take batches, it is then sent from memory: the *live*
    lane. When no endpoint takes a live batch the queue *stalls*: that batch and all that come after it wait on disk, in
    the *backlog*, the oldest of which is tried again and again. Once an endpoint takes it, the backlog is replayed with
    several requests at a time, and new batches go by the live lane, beside it.

    Args:
        max_bytes: of the bodies in memory; what is beyond goes to the backlog.
        in_order: a new batch goes behind the backlog, so that nothing overtakes.
    """

    def __init__(self, spool: Spool, max_bytes: int, *, in_order: bool, clock: Clock) -> None:
        self._clock = clock
        self._spool = spool
        self._max_bytes = max_bytes
        self._in_order = in_order
        self.start_over()

    def start_over(self) -> None:
        """See `BatchQueue.start_over`; what the parent has on disk is the parent's."""
        self._appending = threading.RLock()
        self._changed = threading.Condition(threading.RLock())
        self._live: deque[Batch] = deque()
        self._live_bytes = 0
        self._backlog: deque[Batch] = deque()
        self._under_way: dict[Batch, bool] = {}  # whether it is replayed
        self._own: OrderedDict[int, Batch] = OrderedDict()
        self._by_record: dict[Record, Batch] = {}
        self._held: dict[str, int] = {}
        self._accepted = 0
        self._open = True
        self._halted = False
        self._stalled = False
        self._tester: Batch | None = None
        self._parked = Lanes(self._clock)

    # --- coming in

    def put(self, batch: Batch) -> list[Lost] | None:
        """See `BatchQueue.put`."""
        with self._appending:  # so that batches are in one order on disk and here
            if not self._open:
                return None
            part = batch.parts[0]
            batch.record, evicted = self._spool.append(part.body, part.tenants, batch.bound)
            with self._changed:
                lost = self._evict(evicted)
                self._accepted += 1
                batch.number = self._accepted
                self._own[batch.number] = batch
                self._hold(batch, part.tenants)
                if self._goes_live(batch):
                    self._live.append(batch)
                    self._live_bytes += batch.size
                elif batch.record is None:
                    lost += self._lose(batch, "spool_failed")
                else:
                    self._to_backlog(batch)
                self._changed.notify_all()
                return lost

    def adopt(self, records: list[Record]) -> list[Lost]:
        """Adds what a dead process left to the backlog; what is encrypted with a key we do not have is only kept."""
        with self._changed:
            if self._halted:
                return [Lost(Batch(b"", record.tenants, 0), "left_in_spool") for record in records]
            now, wall = self._clock.monotonic_ns(), self._clock.time_ns()
            for record in records:
                born_ns = now - max(0, wall - record.time_ns)
                batch = Batch(b"", record.tenants, born_ns, record, Bound(record.bound))
                self._hold(batch, record.tenants)
                if record.readable:
                    self._backlog.append(batch)
            self._put_in_order()
            self._changed.notify_all()
            return []

    def _hold(self, batch: Batch, tenants: Mapping[str, int]) -> None:
        if batch.record is not None:
            self._by_record[batch.record] = batch
        for tenant, count in tenants.items():
            self._held[tenant] = self._held.get(tenant, 0) + count

    def _goes_live(self, batch: Batch) -> bool:
        if self._stalled or self._live_bytes + batch.size > self._max_bytes:
            return False
        return not self._in_order or not (self._backlog or any(self._under_way.values()))

    def _to_backlog(self, batch: Batch, *, first: bool = False) -> None:
        if not batch.divided:
            batch.parts = [Part(b"", batch.parts[0].tenants)]  # its body is on disk
            batch.items = None
        (self._backlog.appendleft if first else self._backlog.append)(batch)

    def _evict(self, records: list[Record]) -> list[Lost]:
        lost: list[Lost] = []
        for record in records:
            batch = self._by_record.pop(record, None)
            if batch is None:
                continue
            batch.record = None
            batch.evicted = True
            if batch not in self._under_way and not batch.parts[0].body:
                lost += self._lose(batch, "spool_full")
        return lost

    def _lose(self, batch: Batch, reason: str) -> list[Lost]:
        """Lets go of a batch that nobody has; the lanes skip it."""
        gone = Batch(b"", batch.tenants, batch.born_ns)
        self._remove(batch)
        return [Lost(gone, reason)]

    # --- going out

    def take(self, *, replay: bool) -> Batch | None:
        """See `BatchQueue.take`."""
        with self._changed:
            while True:
                if self._halted:
                    return None
                batch = (self._parked.due() or self._next_of_backlog()) if replay else self._next_of_live()
                if batch is not None:
                    self._under_way[batch] = replay
                    return batch
                self._changed.wait(self._parked.seconds() if replay else None)

    def _next_of_live(self) -> Batch | None:
        while self._live:
            batch = self._live.popleft()
            self._live_bytes -= batch.size
            if batch.parts:
                return batch
        return None

    def _next_of_backlog(self) -> Batch | None:
        if self._stalled and self._tester is not None:
            return None
        while self._backlog:
            batch = self._backlog.popleft()
            if batch.parts:
                self._tester = batch if self._stalled else None
                return batch
        return None

    def load(self, batch: Batch) -> str:
        """See `BatchQueue.load`."""
        part, record = batch.parts[0], batch.record
        if part.body:
            return ""
        body = self._spool.read(record) if record is not None else None
        if body is None:
            return "spool_full" if record is None or record.segment.removed else "spool_corrupt"
        batch.parts = [Part(body, part.tenants)]
        return ""

    def split(self, batch: Batch, parts: list[Part]) -> None:
        """See `BatchQueue.split`."""
        with self._changed:
            if batch in self._under_way:
                batch.parts[:1] = parts
                batch.divided = True

    def replace(self, batch: Batch, part: Part) -> bool:
        """See `BatchQueue.replace`; what is appended to a spool is encoded before."""
        return batch in self._under_way

    def settle(self, batch: Batch) -> bool:
        """See `BatchQueue.settle`."""
        with self._changed:
            if batch not in self._under_way:
                return False
            self._stalled = False
            self._tester = None
            if len(batch.parts) == 1:
                self._backlog.extendleft(reversed(self._parked.settled(batch)))
                self._remove(batch)
            else:
                self._release(batch.parts.pop(0).tenants)
            self._changed.notify_all()
            return True

    def drop(self, batch: Batch) -> bool:
        """See `BatchQueue.drop`."""
        with self._changed:
            if batch not in self._under_way:
                return False
            self._remove(batch)
            self._changed.notify_all()
            return True

    def _remove(self, batch: Batch) -> None:
        self._release(batch.tenants)
        self._under_way.pop(batch, None)
        self._parked.leave(batch)
        self._own.pop(batch.number, None)
        if self._tester is batch:
            self._tester = None
        if batch.record is not None:
            self._by_record.pop(batch.record, None)
            self._spool.settle(batch.record)
        batch.parts = []

    def _release(self, tenants: Mapping[str, int]) -> None:
        for tenant, count in tenants.items():
            self._held[tenant] -= count

    def give_back(self, batch: Batch) -> list[Lost] | None:
        """See `BatchQueue.give_back`; one batch of the backlog is waited with, the rest waits on disk."""
        with self._changed:
            if batch not in self._under_way:
                return []
            self._stalled = True
            replayed = self._under_way[batch]
            if replayed and self._tester in (None, batch):
                self._tester = batch
                return None
            del self._under_way[batch]
            lost: list[Lost] = []
            waiting = [batch] if replayed else [batch, *(each for each in self._live if each.parts)]
            if not replayed:
                self._live.clear()
                self._live_bytes = 0
            for each in waiting:
                if each.record is None:
                    lost += self._lose(each, "spool_full" if replayed or each.evicted else "spool_failed")
                else:
                    self._to_backlog(each, first=replayed)
            self._changed.notify_all()
            return lost

    def park(self, batch: Batch, terms: Hashable, seconds: float) -> list[Lost]:
        """See `BatchQueue.park`; it waits on disk, and one that is not there is lost."""
        with self._changed:
            if not self._set_aside(batch):
                return []
            if batch.record is None:
                return self._lose(batch, "spool_full" if batch.evicted else "spool_failed")
            self._parked.park(batch, terms, seconds)
            self._changed.notify_all()
            return []

    def join(self, batch: Batch, terms: Hashable) -> bool:
        """See `BatchQueue.join`; one that is not on disk is tried at once."""
        with self._changed:
            if batch.record is None or not self._parked.join(batch, terms):
                return False
            self._set_aside(batch)
            self._changed.notify_all()
            return True

    def _set_aside(self, batch: Batch) -> bool:
        if self._under_way.pop(batch, None) is None:
            return False
        if self._tester is batch:
            self._tester = None
        if not batch.divided and batch.record is not None:
            batch.parts = [Part(b"", batch.parts[0].tenants)]  # its body is on disk
            batch.items = None
        return True

    def wake(self) -> None:
        """See `BatchQueue.wake`."""
        with self._changed:
            self._parked.wake()
            self._changed.notify_all()

    def wants_back(self, batch: Batch) -> bool:
        """See `BatchQueue.wants_back`; what a dead process left may be older than what is being tried."""
        if not self._in_order:
            return False
        with self._changed:
            return bool(self._backlog) and self._backlog[0].born_ns < batch.born_ns and batch.record is not None

    def _put_in_order(self) -> None:
        if self._in_order:
            self._backlog = deque(sorted(self._backlog, key=lambda batch: batch.born_ns))

    def put_down(self, batch: Batch) -> None:
        """See `BatchQueue.put_down`."""
        with self._changed:
            self._parked.leave(batch)
            if self._under_way.pop(batch, None) is not None:
                if self._tester is batch:
                    self._tester = None
                self._to_backlog(batch, first=True)
                self._put_in_order()
                self._changed.notify_all()

    @property
    def must_replay(self) -> bool:
        """See `BatchQueue.must_replay`."""
        return bool(self._backlog or self._parked)

    # --- the end

    def close(self) -> None:
        """See `BatchQueue.close`."""
        with self._appending, self._changed:
            self._open = False
            self._changed.notify_all()

    def halt(self) -> None:
        """See `BatchQueue.halt`."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()

    def drain(self) -> list[Lost]:
        """See `BatchQueue.drain`; what is on disk is left there, and is another process's from then on."""
        with self._changed:
            batches = {id(each): each for each in (*self._own.values(), *self._by_record.values())}
            self._under_way.clear()
            self._own.clear()
            self._by_record.clear()
            self._held.clear()
            self._parked = Lanes(self._clock)
            self._changed.notify_all()
            return [Lost(batch, "shutdown" if batch.record is None else "left_in_spool") for batch in batches.values()]

    def held(self) -> dict[str, int]:
        """See `BatchQueue.held`."""
        with self._changed:
            return {tenant: count for tenant, count in self._held.items() if count}

    def wait_for_all(self, deadline: Deadline) -> bool:
        """See `BatchQueue.wait_for_all`; what other processes left is not waited for."""
        with self._changed:
            last = self._accepted
            return self._changed.wait_for(lambda: next(iter(self._own), last + 1) > last, deadline.remaining)

    def wait_while_it_moves(self, deadline: Deadline, patience: float) -> bool:
        """See `BatchQueue.wait_while_it_moves`; not at all while no endpoint takes anything."""
        with self._changed:
            while count := len(self._own):
                if self._stalled:
                    return False
                moved = self._changed.wait_for(
                    lambda count=count: len(self._own) < count or self._stalled,  # type: ignore[misc]
                    min(deadline.remaining, patience),
                )
                if not moved:
                    return False
            return True

    def wait_until_nothing_is_under_way(self, deadline: Deadline) -> None:
        """See `BatchQueue.wait_until_nothing_is_under_way`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, deadline.remaining)

    def wait_until_empty(self, deadline: Deadline) -> bool:
        """Waits until all that can be read and sent, whoever left it, is settled; whether it was in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._live or self._backlog or self._under_way), deadline.remaining
            )
