"""Batches on disk: what was appended survives the process, and is delivered by it or by the next one."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from otelwarden.core import Runtime, Signal, run_in_child_after_fork
from otelwarden.failover.spool.cipher import load_cipher
from otelwarden.failover.spool.config import SpoolConfig
from otelwarden.failover.spool.directory import bytes_used, prepare_directory, streams_of
from otelwarden.failover.spool.records import HEADER_SIZE, header_of, meta_of
from otelwarden.failover.spool.segment import Segment
from otelwarden.failover.spool.stream import Record, Stream

SEGMENT_SIZE: Final = 8 << 20
"""Bytes of a segment; a sixteenth of `max_bytes` where that is less, and more for a batch that is larger."""

MAX_RECORDS: Final = 1 << 17
"""Batches at most; each takes about 400 bytes of memory."""

TAKEOVER_INTERVAL: Final = 2.0
"""Seconds between two looks for what dead processes left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStats:
    """The spool of one signal and process at one moment."""

    path: str
    signal: Signal
    records: int
    """Batches that wait."""
    bytes: int
    """Bytes of them."""
    oldest_age: float
    """Seconds since the oldest of them was appended; 0 when there is none."""
    capacity: int
    """Bytes that all segments in the directory may take, those of other signals and processes included."""
    unreadable: int
    """Batches that are kept though their key is not known."""

    @property
    def seconds_until_full(self) -> float | None:
        """A forecast: when the oldest will be dropped, if what waits goes on growing as it has since the oldest of it.

        As if the other signals and processes of the directory had nothing there; None while nothing waits.
        """
        if not self.bytes or not self.oldest_age:
            return None
        return max(0, self.capacity - self.bytes) / (self.bytes / self.oldest_age)


class Appended(NamedTuple):
    """What became of an append."""

    record: Record | None
    """None when it could not be written."""
    evicted: list[Record]
    """Those that had to go to make room."""


@dataclass(slots=True)
class TakenOver:
    """What a dead process left."""

    records: list[Record] = field(default_factory=list)
    """Batches, oldest first."""
    corrupt: list[Mapping[str, int]] = field(default_factory=list)
    """The items by tenant of each batch whose end is not there; other damages show when it is read."""
    damaged: int = 0
    """Batches so damaged that nobody knows what was in them."""


class Spool:
    """The batches of one signal, in a stream of this process and in those it took over from dead ones.

    A batch is appended, read, and settled; one that is not settled is there again after a restart. Settling never needs
    space. A disk that is full, or fails, costs what could not be written and nothing else.

    Args:
        on_takeover: told, in a thread of the spool, of what was taken over.

    Raises ConfigError for a directory that cannot be used, and for a key that cannot be read.
    """

    def __init__(
        self, config: SpoolConfig, signal: Signal, *, runtime: Runtime, on_takeover: Callable[[TakenOver], None]
    ) -> None:
        self.config = config
        self._signal = signal
        self._runtime = runtime
        self._errors = runtime.errors("failover")
        self._time_ns = runtime.clock.time_ns
        self._on_takeover = on_takeover
        self._cipher = load_cipher(config.key_file)
        self._path = Path(config.path).absolute()
        self._segment_size = min(SEGMENT_SIZE, config.max_bytes // 16)
        prepare_directory(self._path)
        self._start_over()
        run_in_child_after_fork(self._start_over_in_child)

    def _start_over(self) -> None:
        self._lock = threading.RLock()
        self._taking = threading.Lock()
        self._own: Stream | None = None
        self._active: Segment | None = None
        self._adopted: list[Stream] = []
        self._loading: Stream | None = None
        self._dirty = self._new_names = False
        self._sealed: list[int] = []  # descriptors of full segments that are to be synchronised
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._closed = False

    def _start_over_in_child(self) -> None:
        for stream in [*self._streams(), *([self._loading] if self._loading is not None else [])]:
            stream.forget()
        for descriptor in self._sealed:
            os.close(descriptor)
        self._start_over()

    def _streams(self) -> list[Stream]:
        return [*self._adopted, *([self._own] if self._own is not None else [])]

    # --- appending

    def append(self, body: bytes, tenants: Mapping[str, int], bound: int = 0) -> Appended:
        """Writes a batch; raises nothing, so that a full disk is no failure of the exporter.

        Args:
            bound: what the terms of its tenants were made of; kept with it.
        """
        evicted: list[Record] = []
        try:
            with self._lock:
                record = self._append(body, tenants, bound, evicted)
        except OSError as error:
            self._errors.record("append", error)
            self._runtime.emit(
                "failover", "spool_failed", type(error).__name__, signal=self._signal, count=sum(tenants.values())
            )
            return Appended(None, evicted)
        if self._thread is None:
            self.start()
        return Appended(record, evicted)

    def _append(self, body: bytes, tenants: Mapping[str, int], bound: int, evicted: list[Record]) -> Record:
        if self._closed:
            raise OSError("the spool is closed")
        time_ns, meta = self._time_ns(), meta_of(tenants)
        body = self._cipher.encrypt(body, meta)
        size = HEADER_SIZE + len(meta) + len(body)
        segment = self._segment_for(size, evicted)
        items, key_id = sum(tenants.values()), self._cipher.key_id
        header = header_of(self._signal, time_ns, items, key_id, meta, body, salt=segment.salt, bound=bound)
        offset = segment.append(header, (meta, body))
        record = Record(segment, offset, size, tenants, time_ns, readable=True, bound=bound)
        segment.records[record] = None
        if self.config.fsync == "each":
            segment.sync()
        self._dirty = True
        return record

    def _segment_for(self, size: int, evicted: list[Record]) -> Segment:
        active = self._active
        if active is not None and active.has_room(size) and active.appended < MAX_RECORDS // 8:
            return active
        self._seal()
        if self._own is None:
            self._own = Stream.create(self._path, self._signal)
        whole = max(size, self._segment_size)
        if whole > self.config.max_bytes:
            raise OSError("a batch is larger than the spool")
        self._make_room(whole, evicted)
        try:
            segment = self._active = self._own.new_segment(whole)
        except OSError as error:
            if error.errno != errno.ENOSPC or size == whole:
                raise
            segment = self._active = self._own.new_segment(size)  # what is left of the disk may do for this batch
        if self.config.fsync == "each":
            self._own.sync_directory()
        self._new_names = True
        return segment

    def _seal(self) -> None:
        """Ends the segment that was appended to."""
        segment, self._active = self._active, None
        if segment is None or segment.removed:
            return
        if self.config.fsync == "interval" and (descriptor := segment.duplicate()) is not None:
            self._sealed.append(descriptor)
        segment.close()
        if not segment.records and self._own is not None:
            self._own.remove(segment)

    def _make_room(self, size: int, evicted: list[Record]) -> None:
        """Removes the oldest of our segments until another one of `size` bytes is within bounds.

        What other processes wrote is theirs; so a stream may have one segment though the others have taken all.
        """
        excess = bytes_used(self._path) + size - self.config.max_bytes
        count = sum(len(segment.records) for stream in self._streams() for segment in stream.segments)
        for stream in self._streams():
            for segment in list(stream.segments):
                if excess <= 0 and count < MAX_RECORDS:
                    return
                excess -= segment.size
                count -= len(segment.records)
                evicted += segment.records
                stream.remove(segment)
            self._release_if_empty(stream)

    # --- reading and settling

    def read(self, record: Record) -> bytes | None:
        """The body of a batch; None when it is not what was written, or is gone."""
        try:
            found = record.segment.read(record.offset, record.size)
        except OSError as error:
            if not record.segment.removed:
                self._errors.record("read", error)
            return None
        if found is None:
            return None
        _, meta, body = found
        return self._cipher.decrypt(body, meta)

    def settle(self, record: Record) -> None:
        """Notes that a batch was delivered or dropped, so that nobody delivers it again."""
        with self._lock:
            segment = record.segment
            if segment.removed or segment.records.pop(record, self) is self:
                return
            try:
                segment.settle(record.offset)
            except OSError as error:
                self._errors.record("settle", error)
            if segment.records or segment is self._active:
                return
            for stream in self._streams():
                if segment in stream.segments:
                    stream.remove(segment)
                    self._release_if_empty(stream)

    def _release_if_empty(self, stream: Stream) -> None:
        if stream is not self._own and not stream.segments:
            self._adopted.remove(stream)
            stream.let_go()

    # --- what others left

    def start(self, *, only_if_left: bool = False) -> None:
        """Starts the thread that synchronises, and takes over what dead processes left.

        Args:
            only_if_left: only if there is anything to take over, so that an idle process has no thread.
        """
        with self._lock:
            if self._thread is not None or self._closed:
                return
            if only_if_left and not streams_of(self._path, self._signal):
                return
            thread = threading.Thread(target=self._run, name=f"otelwarden-spool-{self._signal}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._errors.record("start_thread", error)
                return
            self._thread = thread

    def _run(self) -> None:
        stopped = self._stopped
        pause = min(TAKEOVER_INTERVAL, self.config.fsync_interval)
        looks, each = 0, max(1, round(TAKEOVER_INTERVAL / pause))
        while True:
            try:
                if looks % each == 0:
                    self.take_over()
                if self.config.fsync == "interval":
                    self.sync()
            except Exception as error:
                self._errors.record("spool", error)
            looks += 1
            if stopped.wait(pause):
                return

    def take_over(self) -> None:
        """Takes over the streams that dead processes left, and tells of what is in them.

        When it returns, what another thread was taking over has been told of too.
        """
        with self._taking:
            self._take_over()

    def _take_over(self) -> None:
        for path in streams_of(self._path, self._signal):
            with self._lock:
                if self._closed or any(stream.path == path for stream in self._streams()):
                    continue
                stream = self._loading = Stream.take_over(path)
            if stream is None:
                continue
            taken = TakenOver()
            for segment in list(stream.segments):
                try:
                    self._load(segment, taken)
                except OSError as error:  # it cannot be read now: it stays for another time
                    self._errors.record("takeover", error)
                    stream.segments.remove(segment)
            self._on_takeover(taken)
            with self._lock:
                # Only now: what was not told of cannot be said to be evicted.
                self._loading = None
                if self._closed:
                    stream.let_go()
                    return
                self._adopted.append(stream)
                for segment in list(stream.segments):
                    if not segment.records:
                        stream.remove(segment)
                self._release_if_empty(stream)

    def _load(self, segment: Segment, taken: TakenOver) -> None:
        for found in segment.scan(bodies=False):
            header = found.header
            if header is None:
                taken.damaged += 1
            elif not header.settled and not found.intact:
                taken.corrupt.append(header.tenants)
            elif not header.settled:
                readable = header.key_id is None or header.key_id == self._cipher.key_id
                record = Record(
                    segment,
                    found.offset,
                    header.size,
                    header.tenants,
                    header.time_ns,
                    readable=readable,
                    bound=header.bound,
                )
                segment.records[record] = None
                taken.records.append(record)

    # --- the rest

    def sync(self) -> None:
        """Forces everything appended so far onto the disk."""
        with self._lock:
            descriptors, self._sealed = self._sealed, []
            if self._dirty and self._active is not None and (descriptor := self._active.duplicate()) is not None:
                descriptors.append(descriptor)
            stream = self._own if self._new_names else None
            self._dirty = self._new_names = False
        if stream is not None:
            try:
                stream.sync_directory()
            except OSError as error:
                self._errors.record("sync", error)
        for descriptor in descriptors:
            try:
                os.fdatasync(descriptor)
            except OSError as error:
                self._errors.record("sync", error)
            finally:
                os.close(descriptor)

    def stats(self) -> SpoolStats:
        """How much waits."""
        with self._lock:
            records = [record for stream in self._streams() for record in stream.records()]
        oldest = min((record.time_ns for record in records), default=None)
        return SpoolStats(
            path=str(self._path),
            signal=self._signal,
            records=len(records),
            bytes=sum(record.size for record in records),
            oldest_age=0.0 if oldest is None else max(0, self._time_ns() - oldest) / 1e9,
            capacity=self.config.max_bytes,
            unreadable=sum(not record.readable for record in records),
        )

    def close(self) -> None:
        """Leaves what waits to the next process."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._stopped.set()
        if self.config.fsync != "none":
            self.sync()
        with self._lock:
            for stream in self._streams():
                stream.let_go()
            self._own = self._active = None
            self._adopted = []
