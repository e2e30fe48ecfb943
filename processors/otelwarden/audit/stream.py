"""The files of one stream: segments of records and, beside them, the checkpoints.

    <path>/<stream id>/records-<sequence of the first record>.jsonl
    <path>/<stream id>/checkpoints

One process has one stream, and one thread writes it. A failed append leaves the stream as it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from otelwarden.audit.batch import NO_PREVIOUS, Batch
from otelwarden.audit.merkle import Frontier
from otelwarden.audit.records import Entry
from otelwarden.core import Clock, OtelwardenError

CHECKPOINTS: Final = "checkpoints"
SEGMENT_PREFIX: Final = "records-"
SEGMENT_SUFFIX: Final = ".jsonl"
_LARGE: Final = 1 << 20  # bytes; smaller writes are not worth a call of their own
_sync = getattr(os, "fdatasync", os.fsync)


class StreamBroken(OtelwardenError):
    """Raised when a failed append could not be undone; the stream can only be abandoned."""


def new_stream_id(time_ns: int) -> str:
    """An id that sorts by time and is used once: UTC time, process id, 32 random bits."""
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(time_ns // 1_000_000_000))
    return f"{moment}.{time_ns // 1_000_000 % 1000:03d}Z-{os.getpid()}-{secrets.token_hex(4)}"


def segment_name(sequence: int) -> str:
    """The file name of the segment that starts with the record of that sequence."""
    return f"{SEGMENT_PREFIX}{sequence:020d}{SEGMENT_SUFFIX}"


class AppendFile:
    """A file that is appended to, durably and whole or not at all.

    Attributes:
        length: bytes that are durable.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o640)
        self._written = self.length = 0

    def write(self, data: bytes) -> None:
        """Appends data that becomes durable with the next `sync`; raises as that."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            if len(data) >= _LARGE:
                _start_writing(self._descriptor, self._written, len(data))
        except OSError:
            self.undo()
            raise
        self._written += len(data)

    def lock(self) -> None:
        """Shows other processes that this one still writes; without a word where the file system has no locks."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def sync(self) -> None:
        """Returns when everything written is on the disk.

        Raises:
            OSError: it is not; the file is as it was at the last sync.
            StreamBroken: it is not, and the file could not be put back.
        """
        try:
            _sync(self._descriptor)
        except OSError:
            self.undo()
            raise
        self.length = self._written

    def undo(self) -> None:
        """Takes back what was written since the last sync; raises StreamBroken when that cannot be done."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, self.length)
        except OSError as error:
            raise StreamBroken(f"a failed append could not be undone: {error.strerror}") from error
        self._written = self.length

    def close(self) -> None:
        """Closes this process's descriptor."""
        # First forget it, then close it: a child forked in between must not close a number that is another's by now.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _start_writing(descriptor: int, offset: int, length: int) -> None:
    """Lets the disk begin while the next records are made: on Linux this advice starts the writing of dirty pages."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


class Stream:
    """A stream that is being written.

    Args:
        directory: the trail's directory, which must exist.
        clock: its time is a part of the id.
        segment_bytes: a segment that has grown this long is followed by a new one.
        segment_age: so is one that is this old, in seconds.

    Raises:
        OSError: its files cannot be made.
    """

    def __init__(self, directory: Path, *, clock: Clock, segment_bytes: int, segment_age: float) -> None:
        self.id = new_stream_id(clock.time_ns())
        self.path = directory / self.id
        self._segment_bytes = segment_bytes
        self._segment_age_ns = int(segment_age * 1e9)
        self._monotonic_ns = clock.monotonic_ns
        self._segment_since_ns = clock.monotonic_ns()
        self._tree = Frontier()
        self._previous = NO_PREVIOUS
        self.path.mkdir(mode=0o750)
        sync_directory(directory)
        self._segment = AppendFile(self.path / segment_name(0))
        try:
            self._notes = AppendFile(self.path / CHECKPOINTS)
        except OSError:
            self._segment.close()
            raise
        self._notes.lock()
        sync_directory(self.path)

    @property
    def size(self) -> int:
        """Records that are durable."""
        return self._tree.size

    def root(self) -> bytes:
        """RFC 6962 Merkle tree hash over them."""
        return self._tree.root()

    def begin(self) -> Batch:
        """A batch that follows what is durable; several may be begun, but only one can be committed."""
        if self._segment.length >= self._segment_bytes or (self._segment.length and self._segment_is_old):
            self._next_segment()
        return Batch(self._tree.copy(), self._previous)

    def write(self, batch: Batch) -> bytes:
        """Writes what is in the batch, which is answered, and keeps the batch open; raises as `commit`."""
        records = batch.take()
        self._segment.write(records)
        return records

    def commit(self, batch: Batch) -> bytes:
        """Writes the batch and returns what was left in it when all of it is on the disk.

        Raises:
            OSError: it is not; the stream is as it was when the batch was begun.
            StreamBroken: it is not, and the stream must be abandoned.
        """
        records = self.write(batch)
        self._segment.sync()
        self._tree = batch.tree
        self._previous = batch.previous
        return records

    def undo(self) -> None:
        """Takes back what was written and not committed.

        Raises:
            StreamBroken: that cannot be done.
        """
        self._segment.undo()
        self._notes.undo()

    def append(self, entries: Iterable[Entry]) -> list[bytes]:
        """Appends a few records and answers them as they are stored; raises as `commit`."""
        batch = self.begin()
        batch.extend(entries)
        lines = batch.lines()
        if lines:
            self.commit(batch)
        return lines

    def append_note(self, note: bytes) -> None:
        """Appends a signed checkpoint; raises as `commit`."""
        self._notes.write(note)
        self._notes.sync()

    @property
    def _segment_is_old(self) -> bool:
        return self._monotonic_ns() - self._segment_since_ns >= self._segment_age_ns

    def _next_segment(self) -> None:
        following = AppendFile(self.path / segment_name(self.size))
        self._segment_since_ns = self._monotonic_ns()
        self._segment.close()
        self._segment = following
        sync_directory(self.path)

    def close(self) -> None:
        """Closes this process's descriptors; writes nothing."""
        self._segment.close()
        self._notes.close()

    def discard(self) -> None:
        """Removes a stream of which nothing was sealed, as far as that can be done."""
        self.close()
        with contextlib.suppress(OSError):
            for file in self.path.iterdir():
                file.unlink()
            self.path.rmdir()


def is_written(stream: Path) -> bool:
    """Whether a process may still write a stream: it holds a lock until it ends, however it does. Raises OSError."""
    with (stream / CHECKPOINTS).open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # taken; or there are no locks here, and nobody can tell
            return True
        fcntl.flock(file, fcntl.LOCK_UN)  # a child that is forked meanwhile has the descriptor too
    return False


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
