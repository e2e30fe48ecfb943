"""One batch on disk: how it is framed, and how the next one is found when a frame is damaged.

    magic 4 | state 1 | signal 1 | flags 2 | key id 4 | meta length 4 | body length 4 | items 4 | time 8 | body CRC 4 |
    header CRC 4 | meta | body

Big-endian. `meta` is JSON, items by tenant. The header's CRC is over the header and the meta, without the state, which
changes in place when the batch is settled; the body has one of its own, so that a damaged body is skipped by its length
and counted in items.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from otelwarden.core import SIGNALS, Signal

MAGIC: Final = b"\xf5OW1"
"""The format's version is its last byte."""

WAITING: Final = b"\x00"
SETTLED: Final = b"\xff"
STATE_OFFSET: Final = 4

_HEADER: Final = struct.Struct(">4sBBHIIIIQII")
HEADER_SIZE: Final = _HEADER.size
_CHECKED: Final = HEADER_SIZE - 4  # all but the CRC itself
_ENCRYPTED: Final = 1
_BOUND_SHIFT: Final = 1
_MAX_BOUND: Final = 3
_MAX_META: Final = 1 << 24
_PIECE: Final = 4096


class Header(NamedTuple):
    """What is known of a batch without its body."""

    signal: Signal
    time_ns: int
    """When it was appended, nanoseconds since the epoch."""
    tenants: Mapping[str, int]
    """Items by tenant."""
    key_id: int | None
    """Of the key that its body is encrypted with; None when it is not."""
    settled: bool
    """Whether it was delivered or dropped."""
    bound: int
    """What the terms of its tenants were made of, 0 to 3; see `otelwarden.failover.terms.Bound`."""
    meta_size: int
    body_size: int
    body_crc: int

    @property
    def items(self) -> int:
        """Spans, log records or data points."""
        return sum(self.tenants.values())

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return HEADER_SIZE + self.meta_size + self.body_size


class Found(NamedTuple):
    """A place in a segment where a record is, or was."""

    offset: int
    header: Header | None
    """None when it is damaged, and with it all that would tell what was lost."""
    intact: bool
    """Whether the body is what was written."""


def meta_of(tenants: Mapping[str, int]) -> bytes:
    """The meta part of a record."""
    return json.dumps(tenants, separators=(",", ":")).encode()


def header_of(
    signal: Signal, time_ns: int, items: int, key_id: int | None, meta: bytes, body: bytes, *, salt: int, bound: int = 0
) -> bytes:
    """The header of a record that waits.

    Args:
        salt: of the segment; a record of another segment, or one that was put into the body of a batch to be taken for
            a record, does not match it.
    """
    head = _HEADER.pack(
        MAGIC,
        WAITING[0],
        SIGNALS.index(signal),
        (0 if key_id is None else _ENCRYPTED) | bound << _BOUND_SHIFT,
        key_id or 0,
        len(meta),
        len(body),
        items,
        time_ns,
        checksum(body, salt),
        0,
    )[:_CHECKED]
    return head + struct.pack(">I", _header_crc(head, meta, salt))


def checksum(data: bytes, start: int) -> int:
    """The CRC-32 of `data`, begun with `start`.

    By pieces small enough for zlib to keep the interpreter's lock: giving it up for 0.1 ms of work means to wait for it
    for up to 5 ms, in the thread that exports.
    """
    if len(data) <= _PIECE:
        return zlib.crc32(data, start)
    view = memoryview(data)
    for offset in range(0, len(data), _PIECE):
        start = zlib.crc32(view[offset : offset + _PIECE], start)
    return start


def _header_crc(head: bytes, meta: bytes, salt: int) -> int:
    return zlib.crc32(meta, zlib.crc32(head[STATE_OFFSET + 1 :], salt))


class Data(Protocol):
    """Bytes of a segment, in memory or on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> bytes: ...
    def find(self, what: bytes, start: int, /) -> int:
        """As that of `bytes`."""
        ...


def read_header(data: Data, offset: int, *, salt: int) -> Header | None:
    """The header at `offset`; None when there is none that is intact."""
    head = data[offset : offset + HEADER_SIZE]
    if len(head) < HEADER_SIZE or not head.startswith(MAGIC):
        return None
    _, state, signal, flags, key_id, meta_size, body_size, _, time_ns, body_crc, crc = _HEADER.unpack(head)
    if meta_size > _MAX_META or signal >= len(SIGNALS):
        return None
    meta = data[offset + HEADER_SIZE : offset + HEADER_SIZE + meta_size]
    if len(meta) < meta_size or _header_crc(head[:_CHECKED], meta, salt) != crc:
        return None
    return Header(
        signal=SIGNALS[signal],
        time_ns=time_ns,
        tenants=json.loads(meta),
        key_id=key_id if flags & _ENCRYPTED else None,
        # By the majority of its bits, so that none that flips brings back a batch or loses one.
        settled=state.bit_count() >= 4,
        bound=flags >> _BOUND_SHIFT & _MAX_BOUND,
        meta_size=meta_size,
        body_size=body_size,
        body_crc=body_crc,
    )


def read_body(data: Data, offset: int, header: Header, *, salt: int) -> bytes | None:
    """The body of the record at `offset`; None when it is not what was written."""
    start = offset + HEADER_SIZE + header.meta_size
    body = data[start : start + header.body_size]
    return body if len(body) == header.body_size and zlib.crc32(body, salt) == header.body_crc else None


def scan(data: Data, *, salt: int, bodies: bool = True) -> Iterator[Found]:
    """Every record of a segment, in order, and every place where one is damaged.

    Adjacent records whose headers are all damaged are one place: nothing tells how many there were.

    Args:
        bodies: whether to look at bodies; else one counts as intact that is all there.
    """
    offset = 0
    while offset < len(data):
        header = read_header(data, offset, salt=salt)
        if header is not None:
            intact = offset + header.size <= len(data)
            if intact and bodies:
                intact = read_body(data, offset, header, salt=salt) is not None
            yield Found(offset, header, intact)
            offset += header.size
            continue
        following = _find_next(data, offset + 1, salt)
        # A header's first byte is written after all else: where it is zero, at the end, is where writing stopped.
        if following is not None or any(data[offset : offset + 1]):
            yield Found(offset, None, False)
        if following is None:
            return
        offset = following


def _find_next(data: Data, offset: int, salt: int) -> int | None:
    """Where the next intact header is."""
    while (offset := data.find(MAGIC, offset)) >= 0:
        if read_header(data, offset, salt=salt) is not None:
            return offset
        offset += 1
    return None
