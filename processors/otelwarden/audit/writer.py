"""The thread that writes the trail: it alone touches the files, the tree and the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otelwarden.audit.coalesce import Window
from otelwarden.audit.inbox import Inbox, Order
from otelwarden.audit.losses import CLOSED, MALFORMED, reason_of
from otelwarden.audit.session import Session, Settings
from otelwarden.audit.stream import StreamBroken
from otelwarden.core import GovernanceEvent, suppress_instrumentation_in_this_thread

MAX_BATCH: Final = 16_384
"""Frequent events that one round takes."""

POLL: Final = 0.1
"""Seconds after which the writer looks for frequent decisions; rare ones wake it."""


class Writer:
    """Turns what waits in the inbox into records, and seals them.

    Attributes:
        failing: whether the last attempt to write failed.
        rounds: grows while the thread makes progress.
        stream_id: id of the stream being written; empty before the first record.
        written: records written by this process.
        checkpoints: checkpoints written by this process.
    """

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox
        self._errors = settings.runtime.errors("audit")
        self._monotonic_ns = settings.runtime.clock.monotonic_ns
        self._session: Session | None = None
        self._window = Window()
        self._window_ns = int(settings.coalesce_window * 1e9)
        self._window_since = self._monotonic_ns()
        self._closed = False
        self.failing = False
        self.rounds = 0
        self.stream_id = ""
        self.written = 0
        self.checkpoints = 0

    def run(self) -> None:
        """The thread: until the trail is closed."""
        suppress_instrumentation_in_this_thread()
        while not self._closed:
            self._inbox.wait(0.0 if len(self._inbox.pending) >= MAX_BATCH else POLL)
            orders = self._inbox.take_orders()
            events = self._inbox.take_events(MAX_BATCH)
            try:
                self._round(orders, events)
            except Exception as error:  # never the end of the thread: whoever waits for it would wait in vain
                self._failed(error, [])
            self._finish(orders)
            self.rounds += 1
        self._finish_late()

    def _finish_late(self) -> None:
        """What slipped in while the stream was being closed is lost."""
        orders = self._inbox.take_orders()
        late = [*(order.event for order in orders if order.event is not None), *self._inbox.take_events(MAX_BATCH)]
        self._inbox.losses.add(CLOSED, sum(event.count for event in late))
        for order in orders:
            order.finish(done=False)

    def abandon(self) -> None:
        """In a forked child: closes the descriptors that belong to the parent."""
        if self._session is not None:
            self._session.abandon()
            self._session = None

    def _round(self, orders: Sequence[Order], events: list[GovernanceEvent]) -> None:
        if self._session is not None and self._session.due():
            # Before anything new: what a crash may leave unsealed is then never older than the interval.
            self._seal()
        urgent = [order for order in orders if order.event is not None]
        direct = [] if self._window_ns else events
        if self._window_ns:
            self._inbox.losses.add(MALFORMED, self._window.add(events))
        everything = any(order.kind != "append" for order in orders)
        self._commit(urgent, direct, self._drain() if everything else self._window_ends())
        for order in orders:
            if order.kind == "checkpoint":
                order.note = self._seal()
            elif order.kind == "close":
                self._close()

    def _drain(self) -> bool:
        """Takes what came before an order: more than one round's worth may wait. The window ends."""
        while events := self._inbox.take_events(MAX_BATCH):
            if self._window_ns:
                self._inbox.losses.add(MALFORMED, self._window.add(events))
            else:
                self._commit([], events, False)
        return True

    def _finish(self, orders: Sequence[Order]) -> None:
        for order in orders:
            order.finish(done=not self.failing)

    def _window_ends(self) -> bool:
        now = self._monotonic_ns()
        if self._window.full or now - self._window_since >= self._window_ns:
            self._window_since = now
            return True
        return False

    def _commit(self, urgent: Sequence[Order], direct: Sequence[GovernanceEvent], window_ends: bool) -> None:
        """Writes what is due, in one append; what cannot be written is counted."""
        if not urgent and not direct and not (window_ends and (len(self._window) or self._inbox.losses.undeclared)):
            return
        losses = self._inbox.losses.take()
        try:
            session = self._open()
            encoder = session.encoder
            entries = [session.gap(reason, count) for reason, count in losses.items()]
            entries += [encoder.event(order.event, actor=order.actor) for order in urgent if order.event is not None]
            entries += map(encoder.event, direct)
            if window_ends:
                entries += self._window.entries(encoder)
            session.append(entries)
        except Exception as error:
            self._inbox.losses.give_back(losses)
            self._failed(error, [*(order.event for order in urgent if order.event is not None), *direct])
            return
        self.failing = False
        self.written += len(entries)
        if window_ends:
            self._window = Window()

    def _failed(self, error: Exception, lost: Sequence[GovernanceEvent]) -> None:
        """Counts what was lost. The window is kept, as its counts cost nothing, until it is full."""
        self.failing = True
        self._errors.record("write", error)
        reason = reason_of(error)
        self._inbox.losses.add(reason, sum(event.count for event in lost))
        if self._window.full:
            self._inbox.losses.add(reason, self._window.decisions)
            self._window = Window()
        if isinstance(error, StreamBroken):
            self.abandon()

    def _open(self) -> Session:
        if self._session is None:
            self._session = Session(self._settings)
            self.stream_id = self._session.stream_id
            self.written += self._session.size
            self.checkpoints += 1
        return self._session

    def _seal(self) -> bytes:
        self._commit([], [], True)
        try:
            session = self._open()
            before = session.size
            note = session.seal()
        except (OSError, StreamBroken) as error:
            self._failed(error, [])
            return b""
        self.written += session.size - before
        self.checkpoints += 1
        return note

    def _close(self) -> None:
        self._closed = True
        if self._session is None:
            return
        try:
            before = self._session.size
            self._session.close()
            self.written += self._session.size - before
            self.checkpoints += 1
        except (OSError, StreamBroken) as error:
            self._failed(error, [])
            self.abandon()
