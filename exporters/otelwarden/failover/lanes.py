"""Batches set aside because nobody who may have them takes them, so that all others go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Final

from otelwarden.core import Clock
from otelwarden.failover.batch import Batch

_FAR: Final = 1 << 62


class _Lane:
    __slots__ = ("batches", "due_ns", "tester")

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.due_ns = 0
        self.tester: Batch | None = None


class Lanes:
    """One lane for each set of terms, in which batches keep their order; called under the lock of a queue.

    The oldest of a lane is tried when its time has come. When it is settled, the others of its lane are free again.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_ns = clock.monotonic_ns
        self._lanes: dict[Hashable, _Lane] = {}

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[Batch]:
        """Those that wait, and not the ones that are being tried."""
        return (batch for lane in self._lanes.values() for batch in lane.batches if batch.parts)

    def park(self, batch: Batch, terms: Hashable, seconds: float) -> None:
        """Sets aside a batch that nobody took; its lane is tried again after so many seconds."""
        self.leave(batch)
        lane = self._lanes.setdefault(terms, _Lane())
        lane.batches.appendleft(batch)
        lane.due_ns = self._now_ns() + int(seconds * 1e9)

    def join(self, batch: Batch, terms: Hashable) -> bool:
        """Sets a batch aside behind others on the same terms; False when there are none, or it is the one to try."""
        lane = self._lanes.get(terms)
        if lane is None or lane.tester is batch:
            return False
        self.leave(batch)
        lane.batches.append(batch)
        return True

    def due(self) -> Batch | None:
        """The next batch to try, which is being tried from then on."""
        now = self._now_ns()
        for terms, lane in list(self._lanes.items()):
            if lane.tester is not None or lane.due_ns > now:
                continue
            while lane.batches:
                batch = lane.batches.popleft()
                if batch.parts:
                    lane.tester = batch
                    return batch
            del self._lanes[terms]
        return None

    def seconds(self) -> float | None:
        """Seconds until `due` has an answer; None when nothing waits for its time."""
        waiting = [lane.due_ns for lane in self._lanes.values() if lane.tester is None]
        return max(0, min(waiting) - self._now_ns()) / 1e9 if waiting else None

    def wake(self) -> None:
        """Something has changed: every lane is worth a try."""
        for lane in self._lanes.values():
            lane.due_ns = 0

    def settled(self, batch: Batch) -> list[Batch]:
        """Ends the lane of a batch that was being tried, which somebody took; those behind it, in order."""
        for terms, lane in list(self._lanes.items()):
            if lane.tester is batch:
                del self._lanes[terms]
                return [each for each in lane.batches if each.parts]
        return []

    def leave(self, batch: Batch) -> None:
        """A batch that was being tried is not any more; the next of its lane may be."""
        for terms, lane in list(self._lanes.items()):
            if lane.tester is batch:
                lane.tester = None
                if not lane.batches:
                    del self._lanes[terms]

    def oldest(self) -> int:
        """The lowest number of those that wait; beyond every number when none does."""
        return min((batch.number for batch in self), default=_FAR)

    def pop_oldest(self) -> Batch | None:
        """Takes the oldest of those that wait away; None when none does."""
        number = self.oldest()
        for lane in self._lanes.values():
            for batch in lane.batches:
                if batch.number == number and batch.parts:
                    lane.batches.remove(batch)
                    return batch
        return None
