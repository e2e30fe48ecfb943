"""The thread that writes the trail: it alone touches the files, the tree and the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from otelwarden.audit.batch import Batch
from otelwarden.audit.coalesce import Window
from otelwarden.audit.inbox import Inbox, Order
from otelwarden.audit.keys import SigningKey
from otelwarden.audit.losses import CLOSED, MALFORMED, reason_of
from otelwarden.audit.rotation import rotate
from otelwarden.audit.session import Session, Settings
from otelwarden.audit.stream import StreamBroken
from otelwarden.core import ConfigError, GovernanceEvent, suppress_instrumentation_in_this_thread

MAX_BATCH: Final = 2048
"""Frequent events that are taken at a time: what is made of them fits a processor's cache, at less than half the cost
of eight times as many."""

MAX_COMMIT: Final = 65_536
"""Records in one commit when nothing is coalesced: some 0.2 s, which a rare decision may have to wait."""

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
        self._at_stake = 0  # decisions that are lost if the commit at hand fails
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
                self._failed(error)
            for order in orders:
                order.finish()
            self.rounds += 1
        self._finish_late()

    def _finish_late(self) -> None:
        """What slipped in while the stream was being closed is lost."""
        orders = self._inbox.take_orders()
        late = [
            *(order.event for order in orders if order.event is not None),
            *self._inbox.take_events(len(self._inbox.pending)),
        ]
        self._inbox.losses.add(CLOSED, _decisions(late))
        for order in orders:
            order.finish()

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
        done = self._take_in(urgent, events, self._window_ends())
        for order in urgent:
            order.done = done
        for order in orders:
            if order.event is None:
                self._obey(order)

    def _take_in(self, urgent: Sequence[Order], events: list[GovernanceEvent], window_ends: bool) -> bool:
        if self._window_ns:
            self._inbox.losses.add(MALFORMED, self._window.add(events))
            events = []
        waits = window_ends and (len(self._window) or self._inbox.losses.undeclared)
        return self._commit(urgent, events, window_ends) if urgent or events or waits else True

    def _obey(self, order: Order) -> None:
        """Does what an order asks for, once everything that came before it is written."""
        done = True
        while done and (events := self._inbox.take_events(MAX_BATCH)):
            done = self._take_in([], events, False)
        done = self._take_in([], [], True) and done
        if order.key is not None:
            done = bool(self._seal()) and self._rotate(order.key) and bool(self._seal()) and done
        elif order.kind == "checkpoint":
            order.note = self._seal()
            done = bool(order.note)
        elif order.kind == "close":
            done = self._close() and done
        order.done = done

    def _rotate(self, key: SigningKey) -> bool:
        """From now on another key signs; False, and nothing changed, when that could not be stated."""
        settings = self._settings
        try:
            rotate(settings.directory, old=settings.key, new=key, time_ns=settings.runtime.clock.time_ns())
        except (OSError, ConfigError) as error:
            self._errors.record("rotate", error)
            return False
        self._settings = replace(settings, key=key)
        if self._session is not None:
            self._session.use(self._settings)
        return True

    def _window_ends(self) -> bool:
        now = self._monotonic_ns()
        if self._window.full or now - self._window_since >= self._window_ns:
            self._window_since = now
            return True
        return False

    def _commit(self, urgent: Sequence[Order], events: list[GovernanceEvent], window_ends: bool) -> bool:
        """Writes what is due and returns when it is on the disk; what cannot be written is counted."""
        losses = self._inbox.losses.take()
        self._at_stake = sum(order.event.count for order in urgent if order.event is not None)
        try:
            session = self._open()
            encoder = session.encoder
            batch = session.begin()
            before = batch.sequence
            batch.extend(session.gap(reason, count) for reason, count in losses.items())
            batch.extend(encoder.event(order.event) for order in urgent if order.event is not None)
            if window_ends:
                batch.extend(self._window.entries(encoder))
            self._pour(session, batch, events)
            session.commit(batch)
        except Exception as error:
            self._inbox.losses.give_back(losses)
            self._failed(error)
            return False
        self.failing = False
        self.written += batch.sequence - before
        if window_ends:
            self._window = Window()
        return True

    def _pour(self, session: Session, batch: Batch, events: list[GovernanceEvent]) -> None:
        """Writes events one by one, and those that arrive meanwhile, so that a flood shares few syncs."""
        limit = batch.sequence + MAX_COMMIT
        while events:
            self._at_stake += _decisions(events)
            batch.extend_events(events, session.encoder)
            session.write(batch)
            if batch.sequence >= limit or self._inbox.has_orders:
                return
            events = self._inbox.take_events(MAX_BATCH)

    def _failed(self, error: Exception) -> None:
        """Counts what was lost. The window is kept, as its counts cost nothing, until it is full."""
        self.failing = True
        self._errors.record("write", error)
        reason = reason_of(error)
        lost, self._at_stake = self._at_stake, 0
        if self._window.full:
            lost += self._window.decisions
            self._window = Window()
        self._inbox.losses.add(reason, lost)
        try:
            if self._session is not None and not isinstance(error, StreamBroken):
                self._session.undo()
                return
        except StreamBroken as worse:
            self._errors.record("undo", worse)
        self.abandon()

    def _open(self) -> Session:
        if self._session is None:
            self._session = Session(self._settings)
            self.stream_id = self._session.stream_id
            self.written += self._session.size
            self.checkpoints += 1
        return self._session

    def _seal(self) -> bytes:
        """The signed note; empty when it could not be written."""
        self._commit([], [], True)
        try:
            session = self._open()
            before = session.size
            note = session.seal()
        except Exception as error:
            self._failed(error)
            return b""
        self.written += session.size - before
        self.checkpoints += 1
        return note

    def _close(self) -> bool:
        self._closed = True
        if self._session is None:
            return not self._inbox.losses.undeclared
        try:
            before = self._session.size
            self._session.close()
        except Exception as error:
            self._failed(error)
            self.abandon()
            return False
        self.written += self._session.size - before
        self.checkpoints += 1
        return True


def _decisions(events: Sequence[GovernanceEvent]) -> int:
    try:
        return sum(event[6] for event in events)
    except (TypeError, IndexError):
        return sum(event[6] for event in events if isinstance(event, GovernanceEvent) and isinstance(event[6], int))
