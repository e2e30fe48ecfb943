"""The audit trail: hears every decision, and keeps it where nobody can change it unseen."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from otelwarden.audit.config import AuditConfig
from otelwarden.audit.inbox import Inbox, Order, OrderKind
from otelwarden.audit.keeper import Keeper
from otelwarden.audit.keys import SigningKey, publish
from otelwarden.audit.losses import CLOSED, QUEUE_FULL
from otelwarden.audit.records import is_rare
from otelwarden.audit.retention import Keep, Retention
from otelwarden.audit.session import Settings
from otelwarden.audit.witness import FileWitness
from otelwarden.audit.witness_http import HttpWitness
from otelwarden.audit.writer import Writer
from otelwarden.core import (
    ConfigError,
    Deadline,
    Fault,
    GovernanceEvent,
    Runtime,
    default_runtime,
    run_in_child_after_fork,
)

THREAD_NAME: Final = "otelwarden-audit"
_AT_EXIT: Final = 5.0  # seconds
_FOR_WITNESS: Final = 1.0  # seconds that the last checkpoint may take to be witnessed


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailStats:
    """What a trail has done in this process."""

    stream: str
    """Id of the stream; empty before the first record."""
    written: int
    """Records on the disk."""
    checkpoints: int
    waiting: int
    """Frequent decisions that wait to be counted in."""
    lost: Mapping[str, int]
    """Decisions that could not be written, by reason."""
    sync_timeouts: int
    """Rare decisions that were not on the disk within the bound; they are written all the same, later."""
    failing: bool
    """Whether the last attempt to write failed."""


class AuditTrail:
    """An append-only, signed record of decisions; an observer, so `runtime.observe(trail)` makes it hear every one.

    Rare decisions (see `records.RARE_ACTIONS`) are on the disk when the call returns. Frequent ones are counted and
    written once a window. The stream of this process is made with the first record; a forked child makes its own.

    Args:
        path: directory of the trail; made when it is missing. Several processes may share it.
        key: signs the checkpoints; None for the one kept in the directory, made there when there is none.
        witness: told each checkpoint as it is signed (a C2SP note): a function, quick, whose errors are counted; the
            `https://` prefix of a witness (c2sp.org/tlog-witness); or a file outside the trail's directory, appended
            to. None: nothing can prove that the trail was not rolled back.
        checkpoint_interval: seconds from one checkpoint to the next, also when nothing happened.
        coalesce_window: seconds over which frequent decisions are counted; 0 writes each by itself.
        sync_timeout: seconds that a rare decision may hold up whoever made it.
        max_pending: frequent decisions that may wait; more are lost, counted, and declared in the trail.
        segment_bytes: length at which a file of records is followed by the next.
        segment_age: age in seconds at which it is, too.
        retention: how long records stay, by kind; see `Retention`. None: for ever. Files whose time is over are dropped
            at the start and once a day.
        listener: given records, as they are stored, when they are durable: a quick function, whose errors are counted.
            `TrailLogs` makes log records of them.
        runtime: whose accounts are sealed; None for the one shared by all stages that are used by hand.

    Raises:
        ConfigError: a value is out of range, the directory or the witness cannot be written to, the key there is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        key: SigningKey | None = None,
        witness: str | os.PathLike[str] | Callable[[bytes], object] | None = None,
        checkpoint_interval: float = 10.0,
        coalesce_window: float = 1.0,
        sync_timeout: float = 0.25,
        max_pending: int = 65_536,
        segment_bytes: int = 64 << 20,
        segment_age: float = 86_400.0,
        retention: Mapping[str, Keep] | None = None,
        listener: Callable[[bytes], object] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        AuditConfig(
            path=os.fspath(path),
            checkpoint_interval=checkpoint_interval,
            coalesce_window=coalesce_window,
            sync_timeout=sync_timeout,
            max_pending=max_pending,
            segment_bytes=segment_bytes,
            segment_age=segment_age,
        )
        self.path = Path(path)
        self.runtime = runtime or default_runtime()
        self.key = self._prepare(key)
        self._witness = self._prepare_witness(witness)
        self._settings = Settings(
            directory=self.path,
            key=self.key,
            witness=self._witness,
            checkpoint_interval=checkpoint_interval,
            coalesce_window=coalesce_window,
            segment_bytes=segment_bytes,
            segment_age=segment_age,
            runtime=self.runtime,
            listener=listener,
        )
        self._sync_timeout = sync_timeout
        self._retention = Retention(retention or {})
        self._max_pending = max_pending
        self._ring_at = max_pending // 2
        self._writer: Writer | None = None
        self._reset()
        run_in_child_after_fork(self._reset)
        self._at_exit = functools.partial(_close_at_exit, weakref.ref(self))
        atexit.register(self._at_exit)

    @classmethod
    def from_config(
        cls,
        config: AuditConfig,
        *,
        listener: Callable[[bytes], object] | None = None,
        runtime: Runtime | None = None,
    ) -> AuditTrail:
        """The trail that a configuration describes; raises as the constructor and `SigningKey.load` do.

        The exporter that `config.logs` names is no part of it: whoever has that makes a `TrailLogs` the listener.
        """
        return cls(
            config.path,
            key=SigningKey.load(config.key_file) if config.key_file else None,
            witness=config.witness,
            checkpoint_interval=config.checkpoint_interval,
            coalesce_window=config.coalesce_window,
            sync_timeout=config.sync_timeout,
            max_pending=config.max_pending,
            segment_bytes=config.segment_bytes,
            segment_age=config.segment_age,
            retention=config.retention,
            listener=listener,
            runtime=runtime,
        )

    def _prepare(self, key: SigningKey | None) -> SigningKey:
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            if key is None:
                key = SigningKey.beside(self.path)
            publish(self.path, key.verifying_key)
        except OSError as error:
            message = f"the trail's directory cannot be used: {error.strerror}"
            raise ConfigError([Fault(file=os.fspath(self.path), message=message)]) from error
        return key

    def _prepare_witness(
        self, witness: str | os.PathLike[str] | Callable[[bytes], object] | None
    ) -> Callable[[bytes], object] | None:
        if witness is None or callable(witness):
            return witness
        if isinstance(witness, str) and "://" in witness:
            return HttpWitness(witness, trail=self.path, runtime=self.runtime)
        return FileWitness(witness, trail=self.path)

    def _reset(self) -> None:
        """The state of a new trail, and that of a forked child: nothing of it is the parent's."""
        if self._writer is not None:
            self._writer.abandon()
        self._inbox = Inbox()
        self._pending = self._inbox.pending
        self._writer = None
        self._keeper = Keeper(self, self._retention)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stalled_at = -1
        self._lock = threading.RLock()
        self._sync_timeouts = 0

    def __call__(self, event: GovernanceEvent) -> None:
        """Hears a decision. 0.3 us for a frequent one; a rare one returns when it is on the disk, or out of time."""
        if is_rare(event[1], event[2]):
            self.append_sync(event)
            return
        waiting = len(self._pending)
        if waiting >= self._max_pending or self._closed:
            self._inbox.losses.add(CLOSED if self._closed else QUEUE_FULL, event.count)
            return
        self._pending.append(event)
        if self._thread is None or waiting == self._ring_at:
            self._wake()

    def append_sync(self, event: GovernanceEvent, *, actor: str = "", timeout: float | None = None) -> bool:
        """Writes a decision by itself.

        Args:
            actor: who made it, as `user:<id>` or `service:<id>`; `system:<component>` unless given.
            timeout: seconds to wait for the disk; `sync_timeout` unless given.

        Returns:
            Whether it is on the disk. False when that took longer than allowed, or failed: what is lost is
            counted, and declared in the trail. While the disk hangs, only the first call waits for it.
        """
        if self._closed:
            self._inbox.losses.add(CLOSED, event.count)
            return False
        order = Order("append", event=event._replace(actor=actor) if actor else event)
        if not self._inbox.order(order):
            return False
        if not self._wake() or threading.current_thread() is self._thread:
            return False
        writer = self._writer
        if writer is None or writer.rounds == self._stalled_at:
            return False
        if order.wait(self._sync_timeout if timeout is None else timeout):
            return True
        if not order.finished:
            self._stalled_at = writer.rounds
            with self._lock:
                self._sync_timeouts += 1
        return False

    def checkpoint(self, timeout: float = 5.0) -> bytes:
        """Seals everything heard so far; the signed note, or nothing when that failed or took longer than `timeout`."""
        order = self._do("checkpoint", timeout)
        return order.note if order is not None else b""

    def rotate_key(self, key: SigningKey, *, actor: str = "", timeout: float = 5.0) -> bool:
        """Lets another key sign from now on, in this process and in those that start later with it.

        The decision is a record that both keys seal, and a statement signed by both stands in `keys/rotations`, so that
        whoever trusts the old key can trust the new one. Other processes go on with the old one until they end.

        Args:
            actor: who decided it, as `user:<id>` or `service:<id>`.

        Returns:
            Whether that was done within `timeout` seconds.
        """
        now = self.runtime.clock.time_ns()
        event = GovernanceEvent(now, "audit", "rotate", "key", target=key.key_id, actor=actor)
        self.append_sync(event._replace(config_digest=self.runtime.config_digest))
        done = self._do("rotate", timeout, key=key) is not None
        if done:
            self.key = key
            self._settings = replace(self._settings, key=key)
        return done

    def flush(self, deadline: Deadline | float = 5.0) -> bool:
        """Writes everything heard so far, open windows too; whether it is on the disk in time (a float: seconds)."""
        remaining = deadline.remaining if isinstance(deadline, Deadline) else deadline
        if self._thread is None and not self._pending:
            return True
        return self._do("flush", remaining) is not None

    def close(self, timeout: float = 5.0) -> bool:
        """Writes everything, ends the stream and seals it; whether that was done within `timeout` seconds.

        What is decided later is counted as lost. Closing twice does nothing.
        """
        if self._closed:
            return True
        atexit.unregister(self._at_exit)
        self._keeper.stop()
        thread = self._thread
        order = Order("close")
        self._closed = True
        if thread is None:
            return True
        self._inbox.order(order)
        deadline = Deadline(timeout)
        done = order.wait(timeout)
        if done:
            thread.join(deadline.remaining)
        if isinstance(self._witness, HttpWitness):
            self._witness.flush(min(_FOR_WITNESS, deadline.remaining))
        return done

    def _do(self, kind: OrderKind, timeout: float, *, key: SigningKey | None = None) -> Order | None:
        if self._closed or not self._wake():
            return None
        order = Order(kind, key=key)
        self._inbox.order(order)
        return order if order.wait(timeout) else None

    @property
    def failing(self) -> bool:
        """Whether decisions are being lost at the moment: the last write failed, or the queue is full."""
        writer = self._writer
        return (writer is not None and writer.failing) or len(self._pending) >= self._max_pending

    def stats(self) -> TrailStats:
        """What was done so far in this process."""
        writer = self._writer
        return TrailStats(
            stream=writer.stream_id if writer else "",
            written=writer.written if writer else 0,
            checkpoints=writer.checkpoints if writer else 0,
            waiting=len(self._pending),
            lost=self._inbox.losses.total(),
            sync_timeouts=self._sync_timeouts,
            failing=self.failing,
        )

    def _wake(self) -> bool:
        """Rings the writer, and starts it where it does not run; whether it runs."""
        if self._thread is None and not self._start():
            return False
        self._inbox.ring()
        return True

    def _start(self) -> bool:
        with self._lock:
            if self._thread is not None:
                return True
            writer = Writer(self._settings, self._inbox)
            thread = threading.Thread(target=writer.run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
                self._keeper.start()
            except RuntimeError as error:  # the interpreter is ending, or the process may have no more threads
                self.runtime.errors("audit").record("start", error)
                return False
            self._writer, self._thread = writer, thread
            return True


def _close_at_exit(reference: weakref.ref[AuditTrail]) -> None:
    trail = reference()
    if trail is not None:
        trail.close(_AT_EXIT)
