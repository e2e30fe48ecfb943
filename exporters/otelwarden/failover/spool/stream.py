"""The segments of one process, in order, under its lease."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from otelwarden.core import Signal
from otelwarden.failover.spool.directory import new_stream_name, segments_of
from otelwarden.failover.spool.lease import LEASE, Lease
from otelwarden.failover.spool.segment import Segment

_ATTEMPTS: Final = 5


class Record:
    """A batch on disk that waits, as it is remembered: everything but its body.

    Attributes:
        tenants: items by tenant.
        time_ns: when it was appended, nanoseconds since the epoch.
        readable: False when it is encrypted with a key that we do not have.
        bound: what the terms of its tenants were made of.
    """

    __slots__ = ("bound", "offset", "readable", "segment", "size", "tenants", "time_ns")

    def __init__(
        self,
        segment: Segment,
        offset: int,
        size: int,
        tenants: Mapping[str, int],
        time_ns: int,
        *,
        readable: bool,
        bound: int = 0,
    ) -> None:
        self.segment = segment
        self.offset = offset
        self.size = size
        self.tenants = tenants
        self.time_ns = time_ns
        self.readable = readable
        self.bound = bound


class Stream:
    """A directory of segments, of which nobody else writes or settles anything while we hold its lease."""

    def __init__(self, path: Path, lease: Lease) -> None:
        self.path = path
        self.segments: list[Segment] = []
        self._lease = lease
        self._created = 0

    @classmethod
    def create(cls, directory: Path, signal: Signal) -> Stream:
        """A new stream; raises OSError when it cannot be made."""
        for _ in range(_ATTEMPTS):
            path = directory / new_stream_name(signal)
            path.mkdir(mode=0o700)
            # Another process may take it for one that a dead process left, before we have its lease.
            if (lease := Lease.take(path, create=True)) is not None:
                return cls(path, lease)
        raise OSError("no lease could be taken")

    @classmethod
    def take_over(cls, path: Path) -> Stream | None:
        """A stream that a process left; None while that process lives."""
        if (lease := Lease.take(path)) is None:
            return None
        stream = cls(path, lease)
        for each in segments_of(path):
            with contextlib.suppress(ValueError, FileNotFoundError):
                stream.segments.append(Segment.open(each))
        return stream

    def new_segment(self, size: int) -> Segment:
        """Makes the next segment; raises OSError when it cannot be made."""
        segment = Segment.create(self.path, self._created + 1, size)
        self._created += 1
        self.segments.append(segment)
        return segment

    def remove(self, segment: Segment) -> None:
        """Removes a segment and what is in it."""
        self.segments.remove(segment)
        segment.remove()

    def records(self) -> Iterator[Record]:
        """Those that wait, oldest first."""
        for segment in self.segments:
            yield from list(segment.records)

    def sync_directory(self) -> None:
        """Forces the names of its segments onto the disk."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def let_go(self) -> None:
        """Leaves what waits to whoever takes it over; removes the stream when nothing does."""
        for segment in list(self.segments):
            segment.close()
            if not segment.records:
                self.remove(segment)
        if not self.segments and not segments_of(self.path):
            with contextlib.suppress(OSError):
                (self.path / LEASE).unlink()
                self.path.rmdir()
        self._lease.let_go()

    def forget(self) -> None:
        """Closes what a forked child has of its parent's."""
        for segment in self.segments:
            segment.close()
        self._lease.let_go()
