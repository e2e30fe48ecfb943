"""Reading a trail: its streams, the lines of their segments, the events in them."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from otelwarden.audit.stream import CHECKPOINTS, SEGMENT_PREFIX, SEGMENT_SUFFIX
from otelwarden.audit.tombstone import TOMBSTONE_PREFIX, Kept, Tombstone, tombstone_name

_STREAM_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9]+-[0-9a-f]{8}")
_SEGMENT: Final = re.compile(rf"({SEGMENT_PREFIX}|{TOMBSTONE_PREFIX})([0-9]{{20}}){re.escape(SEGMENT_SUFFIX)}")
_BLOCK: Final = 1 << 20


def stream_directories(path: Path) -> list[Path]:
    """The streams under a trail's directory, oldest first; `path` itself when it is one."""
    if (path / CHECKPOINTS).exists() or any(path.glob(f"{SEGMENT_PREFIX}*")):
        return [path]
    return sorted(
        each
        for each in path.iterdir()
        if each.is_dir() and (_STREAM_ID.fullmatch(each.name) or (each / CHECKPOINTS).exists())
    )


class Segment(NamedTuple):
    """A file of records, as long as it was when the reader began: a writer may be at work."""

    path: Path
    first: int
    """Sequence of its first record, by its name."""
    length: int
    """Bytes."""
    retired: bool = False
    """Whether it is what stays of records that were dropped."""


def segments(stream: Path) -> list[Segment]:
    """The segments of a stream, in order, and in the place of one that was dropped what stays of it."""
    found: dict[int, Segment] = {}
    for file in sorted(stream.iterdir()):  # a segment before what stays of it: while both are there, it counts
        match = _SEGMENT.fullmatch(file.name)
        if match is None or (first := int(match[2])) in found:
            continue
        with contextlib.suppress(FileNotFoundError):  # dropped this moment
            found[first] = Segment(file, first, file.stat().st_size, match[1] == TOMBSTONE_PREFIX)
            continue
        file = stream / tombstone_name(first)
        found[first] = Segment(file, first, file.stat().st_size, True)
    return sorted(found.values(), key=lambda each: each.first)


def tombstones(stream: Path) -> dict[int, str]:
    """What stays of dropped segments of a stream: sequence of the first record -> SHA-256 of the file, hexadecimal."""
    return {
        int(file.name[len(TOMBSTONE_PREFIX) : -len(SEGMENT_SUFFIX)]): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in stream.glob(f"{TOMBSTONE_PREFIX}*")
        if _SEGMENT.fullmatch(file.name)
    }


class Block(NamedTuple):
    """Some lines in a row."""

    first: int
    """Index of the first line in the stream."""
    data: bytes
    """The lines with their line feeds."""
    lines: list[bytes]
    """The lines without."""


class Pruned(NamedTuple):
    """Lines that were dropped: a complete subtree of the tree."""

    first: int
    """Index of the first line in the stream."""
    leaves: int
    """Lines, a power of two."""
    root: bytes
    name: bytes
    """What the line after them names as its predecessor; empty where that is not known."""

    @property
    def end(self) -> int:
        """Index of the line after the last."""
        return self.first + self.leaves


class Reader:
    """Reads the lines of segments, a block at a time.

    Args:
        parts: the segments.
        first: index of the first line.

    Attributes:
        count: index of the line after those read so far.
        torn: what follows the last line feed of the last segment: the start of a record whose writing was cut short.
        misnamed: the count at which a segment began that is named otherwise; None when none did.
        damaged: the count at which something stands in place of a segment that says nothing; None when none does.
    """

    def __init__(self, parts: list[Segment], first: int = 0) -> None:
        self._parts = parts
        self.count = first
        self.torn = b""
        self.misnamed: int | None = None
        self.damaged: int | None = None

    def pieces(self) -> Iterator[Block | Pruned]:
        """All lines, once."""
        for part in self._parts:
            if part.first != self.count and self.misnamed is None:
                self.misnamed = self.count
            yield from self._retired(part) if part.retired else self._records(part)
            if self.torn and part is not self._parts[-1]:
                yield self._block(self.torn + b"\n")
                self.torn = b""

    def blocks(self) -> Iterator[Block]:
        """All lines that are left, once."""
        return (piece for piece in self.pieces() if isinstance(piece, Block))

    def _records(self, part: Segment) -> Iterator[Block | Pruned]:
        try:
            file = part.path.open("rb")
        except FileNotFoundError:
            stone = part.path.with_name(tombstone_name(part.first))
            if not stone.exists():
                raise
            yield from self._retired(part._replace(path=stone))  # dropped since the reader began
            return
        with file:
            yield from self._blocks(file, part.length)

    def _retired(self, part: Segment) -> Iterator[Block | Pruned]:
        try:
            stone = Tombstone.parse(part.path.read_bytes())
            if stone.stream != part.path.parent.name or stone.first != part.first:
                raise ValueError("another segment's")
        except ValueError:
            self.damaged = self.count if self.damaged is None else self.damaged
            return
        for each in stone.parts:
            if isinstance(each, Kept):
                yield self._block(each.line + b"\n")
            else:
                name = stone.last.encode() if each is stone.parts[-1] else b""
                pruned = Pruned(self.count, each.leaves, each.root, name)
                self.count = pruned.end
                yield pruned

    def _blocks(self, file: BinaryIO, length: int) -> Iterator[Block]:
        rest = b""
        while length > 0 and (data := file.read(min(_BLOCK, length))):
            length -= len(data)
            end = data.rfind(b"\n") + 1
            if end:
                yield self._block(rest + data[:end])
                rest = data[end:]
            else:
                rest += data
        self.torn = rest

    def _block(self, data: bytes) -> Block:
        lines = data.split(b"\n")
        lines.pop()
        block = Block(self.count, data, lines)
        self.count += len(lines)
        return block


def pieces_between(stream: Path, first: int, end: int) -> Iterator[list[bytes] | Pruned]:
    """The records of a stream from number `first` up to `end`, not included, some at a time.

    It reads no segment before the one that `first` is in; when records are missing it ends early, and so it does where
    `first` or `end` lies within what was dropped.

    Raises:
        OSError: a file cannot be read.
    """
    parts = segments(stream)
    begin = max((i for i, part in enumerate(parts) if part.first <= first), default=0)
    for piece in Reader(parts[begin:], parts[begin].first if parts else 0).pieces():
        if piece.first >= end:
            return
        if isinstance(piece, Block):
            if lines := piece.lines[max(0, first - piece.first) : end - piece.first]:
                yield lines
        elif piece.first >= first and piece.end <= end:
            yield piece
        elif piece.end > first:
            return


def read_records(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of a trail in the order of their times, or those of one stream; nothing is verified.

    What is no JSON, as the end of a stream may be whose process was killed, is left out.

    Raises:
        OSError: a file cannot be read.
    """
    return heapq.merge(*map(_records, stream_directories(Path(path))), key=_time)


def last_records(path: str | os.PathLike[str], count: int) -> list[dict[str, Any]]:
    """The last `count` records of a trail by their times; reads no more of each stream than that takes.

    Raises:
        OSError: a file cannot be read.
    """
    found = [event for stream in stream_directories(Path(path)) for event in _last_of(stream, count)]
    found.sort(key=_time)
    return found[-count:] if count else []


def _records(stream: Path) -> Iterator[dict[str, Any]]:
    for block in Reader(segments(stream)).blocks():
        yield from _parsed(block.lines)


def _last_of(stream: Path, count: int) -> list[dict[str, Any]]:
    lines: list[bytes] = []
    for part in reversed(segments(stream)):
        lines = [line for block in Reader([part], part.first).blocks() for line in block.lines] + lines
        if len(lines) >= count:
            break
    return list(_parsed(lines[-count:])) if count else []


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "time" in event:
            yield event


def _time(event: dict[str, Any]) -> int:
    return int(event["time"])
