"""Between the application's threads and the writer: what waits to be written."""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import Final, Literal, TypeAlias

from otelwarden.audit.keys import SigningKey
from otelwarden.audit.losses import QUEUE_FULL, Losses
from otelwarden.core import GovernanceEvent

MAX_URGENT: Final = 4096
"""Rare decisions that may wait; they have a queue of their own, so that a flood cannot crowd them out."""

OrderKind: TypeAlias = Literal["append", "flush", "checkpoint", "rotate", "close"]


class Order:
    """Something that the writer does at once, and that somebody may wait for.

    Attributes:
        key: the new one, of a `rotate`.
        finished: whether the writer is through with it.
        done: whether it was done, once it is finished.
        note: the signed note, of a `checkpoint`.
    """

    __slots__ = ("_gate", "done", "event", "finished", "key", "kind", "note")

    def __init__(self, kind: OrderKind, *, event: GovernanceEvent | None = None, key: SigningKey | None = None) -> None:
        self.kind = kind
        self.event = event
        self.key = key
        self.done = False
        self.finished = False
        self.note = b""
        # A bare lock: unlike an event or a condition it has no lock inside that a finalizer could find taken.
        self._gate = threading.Lock()
        self._gate.acquire()

    def finish(self) -> None:
        """Tells whoever waits."""
        self.finished = True
        self._gate.release()

    def wait(self, timeout: float) -> bool:
        """Whether it was finished within `timeout` seconds, and done."""
        return self._gate.acquire(timeout=max(0.0, timeout)) and self.done


class Inbox:
    """Two bounded queues and a bell. No locks: a finalizer may end a span, and so decide, in the middle of anything.

    Attributes:
        pending: frequent decisions; whoever appends looks at the bound first.
        losses: what found no place.
    """

    def __init__(self) -> None:
        self.pending: deque[GovernanceEvent] = deque()
        self.losses = Losses()
        self._urgent: deque[Order] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()  # its put() is reentrant by contract

    def order(self, order: Order) -> bool:
        """Hands an order to the writer; False, and counted, when too many wait."""
        if len(self._urgent) >= MAX_URGENT and order.kind == "append":
            self.losses.add(QUEUE_FULL, order.event.count if order.event is not None else 0)
            return False
        self._urgent.append(order)
        self.ring()
        return True

    def ring(self) -> None:
        """Wakes the writer."""
        self._bell.put(None)

    def wait(self, timeout: float) -> None:
        """Returns when the bell was rung, or after `timeout` seconds."""
        try:
            self._bell.get(timeout=max(0.0, timeout))
            while True:
                self._bell.get_nowait()
        except Empty:
            pass

    @property
    def has_orders(self) -> bool:
        """Whether an order waits."""
        return bool(self._urgent)

    def take_orders(self) -> list[Order]:
        """The orders that wait."""
        return [self._urgent.popleft() for _ in range(len(self._urgent))]

    def take_events(self, at_most: int) -> list[GovernanceEvent]:
        """The frequent decisions that wait, oldest first."""
        take = self.pending.popleft
        return [take() for _ in range(min(len(self.pending), at_most))]
