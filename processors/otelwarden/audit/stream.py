"""The files of one stream: segments of records and, beside them, the checkpoints.

    <path>/<stream id>/records-<sequence of the first record>.jsonl
    <path>/<stream id>/checkpoints

One process has one stream, and one thread writes it. A failed append leaves the stream as it was.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from otelwarden.audit.merkle import Frontier
from otelwarden.audit.records import Batch, Entry
from otelwarden.core import OtelwardenError

CHECKPOINTS: Final = "checkpoints"
SEGMENT_PREFIX: Final = "records-"
SEGMENT_SUFFIX: Final = ".jsonl"
NO_PREVIOUS: Final = "0" * 64
"""What the first record of a stream names as its predecessor."""

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
    """A file that is appended to, durably and whole or not at all."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o640)
        self.length = 0
        """Bytes that are durable."""

    def append(self, data: bytes) -> None:
        """Returns when the data is on the disk.

        Raises:
            OSError: it is not; the file is as it was.
            StreamBroken: it is not, and the file could not be put back.
        """
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            _sync(self._descriptor)
        except OSError:
            try:
                os.ftruncate(self._descriptor, self.length)
            except OSError as error:
                raise StreamBroken(f"a failed append could not be undone: {error.strerror}") from error
            raise
        self.length += len(data)

    def close(self) -> None:
        """Closes this process's descriptor."""
        # First forget it, then close it: a child forked in between must not close a number that is another's by now.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Stream:
    """A stream that is being written.

    Args:
        directory: the trail's directory, which must exist.
        time_ns: nanoseconds since the Unix epoch, a part of the id.
        segment_bytes: a segment that has grown this long is followed by a new one.

    Raises:
        OSError: its files cannot be made.
    """

    def __init__(self, directory: Path, *, time_ns: int, segment_bytes: int) -> None:
        self.id = new_stream_id(time_ns)
        self.path = directory / self.id
        self._segment_bytes = segment_bytes
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
        sync_directory(self.path)

    @property
    def size(self) -> int:
        """Records that are durable."""
        return self._tree.size

    def root(self) -> bytes:
        """RFC 6962 Merkle tree hash over them."""
        return self._tree.root()

    def append(self, entries: Iterable[Entry]) -> Batch:
        """Appends records in one write and returns when they are on the disk.

        Raises:
            OSError: they are not; the stream is as it was.
            StreamBroken: they are not, and the stream must be abandoned.
        """
        batch = Batch(self.size, self._previous)
        batch.extend(entries)
        if not batch.lines:
            return batch
        if self._segment.length >= self._segment_bytes:
            self._next_segment()
        self._segment.append(b"\n".join(batch.lines) + b"\n")
        self._tree.extend(batch.leaves)
        self._previous = batch.previous
        return batch

    def append_note(self, note: bytes) -> None:
        """Appends a signed checkpoint; raises as `append` does."""
        self._notes.append(note)

    def _next_segment(self) -> None:
        following = AppendFile(self.path / segment_name(self.size))
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


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
