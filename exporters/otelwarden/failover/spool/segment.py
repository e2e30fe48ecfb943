"""One file of a stream: appended to until it is full, settled in place, removed when nothing in it waits."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelwarden.failover.spool.directory import SEGMENT_SUFFIX
from otelwarden.failover.spool.records import (
    HEADER_SIZE,
    SETTLED,
    STATE_OFFSET,
    Found,
    Header,
    read_body,
    read_header,
    scan,
)

if TYPE_CHECKING:
    from otelwarden.failover.spool.stream import Record

_AHEAD: Final = 1024
_PIECE: Final = 1 << 20

_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Segment:
    """A file of records.

    Attributes:
        size: bytes of the file, which are taken from the disk when it is made: a full disk shows then, and not in the
            middle of a record; nor can it keep us from settling, which changes a byte that is there.
        records: those that wait, in order.
        appended: how many were appended.
        removed: whether the file is gone.
    """

    def __init__(self, path: Path, descriptor: int | None, size: int) -> None:
        self.path = path
        self.size = size
        self.records: dict[Record, None] = {}
        self.appended = 0
        self.end = 0
        self.removed = False
        self._descriptor = descriptor
        self._salt = int(path.stem.rpartition("-")[2], 16)

    @classmethod
    def create(cls, stream: Path, number: int, size: int) -> Segment:
        """A new, empty segment, whose bytes are taken from the disk.

        Raises:
            OSError: the disk is full, or fails.
        """
        path = stream / f"{number:010d}-{secrets.token_hex(4)}{SEGMENT_SUFFIX}"
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            path.unlink()
            raise
        return cls(path, descriptor, size)

    @classmethod
    def open(cls, path: Path) -> Segment:
        """A segment that is there, to be read and settled; raises ValueError when the name is none of ours."""
        return cls(path, None, path.stat().st_size)

    def has_room(self, size: int) -> bool:
        """Whether a record of that size fits in."""
        return self._descriptor is not None and self.end + size <= self.size

    def append(self, header: bytes, rest: Sequence[bytes]) -> int:
        """Writes a record, whose first byte comes last: what was not written to its end does not begin as one.

        One byte, because the kernel copies page by page, and a process that is killed may leave half of a header that
        lies across two.

        Returns:
            Where it is.

        Raises:
            OSError: it could not be written; the segment takes no more.
        """
        assert self._descriptor is not None
        offset = self.end
        try:
            place = _write(self._descriptor, (b"\0", header[1:], *rest), offset)
            _write(self._descriptor, (header[:1],), offset)
        except OSError:
            self.close()
            raise
        self.end = place
        self.appended += 1
        return offset

    @property
    def salt(self) -> int:
        """What its checksums begin with."""
        return self._salt

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, _FLAGS)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, offset: int, size: int) -> tuple[Header, bytes, bytes] | None:
        """Header, meta and body of a record; None when they are not what was written.

        Raises:
            OSError: the file cannot be read, or is gone.
        """
        with self._opened() as descriptor:
            data = _OnDisk(descriptor, self.size)
            header = read_header(data, offset, salt=self._salt)
            if header is None or header.size != size:
                return None
            body = read_body(data, offset, header, salt=self._salt)
            meta = data[offset + HEADER_SIZE : offset + HEADER_SIZE + header.meta_size]
        return None if body is None else (header, meta, body)

    def scan(self, *, bodies: bool = True) -> list[Found]:
        """Every record and every damage in the file; without `bodies`, damages inside of these are not looked for."""
        with self._opened() as descriptor:
            return list(scan(_OnDisk(descriptor, self.size), salt=self._salt, bodies=bodies))

    def settle(self, offset: int) -> None:
        """Notes that a record was delivered or dropped.

        Raises:
            OSError: the file cannot be written; it will be delivered again after a restart.
        """
        if self._descriptor is not None:
            os.pwrite(self._descriptor, SETTLED, offset + STATE_OFFSET)
            return
        with self._opened() as descriptor:
            os.pwrite(descriptor, SETTLED, offset + STATE_OFFSET)

    def sync(self) -> None:
        """Forces what was appended onto the disk; raises OSError when it cannot be."""
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    def duplicate(self) -> int | None:
        """Another descriptor of the file that is appended to, to be synchronised without holding a lock."""
        return None if self._descriptor is None else os.dup(self._descriptor)

    def close(self) -> None:
        """Appends nothing more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Gives its bytes back to the disk."""
        self.close()
        self.removed = True
        self.path.unlink(missing_ok=True)


class _OnDisk:
    """A file as if it were bytes: only what is asked for is read, the head of a record with little around it."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._ahead = (0, b"")

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice, /) -> bytes:
        start, stop, _ = key.indices(self._size)
        at, ahead = self._ahead
        if not at <= start or stop > at + len(ahead):
            if stop - start >= _AHEAD:
                return os.pread(self._descriptor, stop - start, start)
            at, ahead = self._ahead = (start, os.pread(self._descriptor, _AHEAD, start))
        return ahead[start - at : max(start, stop) - at]

    def find(self, what: bytes, start: int, /) -> int:
        """See `Data.find`."""
        while start < self._size:
            piece = os.pread(self._descriptor, _PIECE, start)
            if (found := piece.find(what)) >= 0:
                return start + found
            if len(piece) < _PIECE:
                break
            start += _PIECE - len(what) + 1
        return -1


def _write(descriptor: int, parts: Sequence[bytes], offset: int) -> int:
    """Writes all of it, and returns where it ends: a write may be cut short where a disk ends."""
    views = [memoryview(part) for part in parts]
    while views:
        written = os.pwritev(descriptor, views, offset)
        if not written:
            raise OSError("nothing was written")
        offset += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views:
            views[0] = views[0][written:]
    return offset
