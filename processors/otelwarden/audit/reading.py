"""Reading a trail: its streams, the lines of their segments, the events in them."""

from __future__ import annotations

import heapq
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from otelwarden.audit.stream import CHECKPOINTS, SEGMENT_PREFIX, SEGMENT_SUFFIX

_STREAM_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9]+-[0-9a-f]{8}")
_SEGMENT: Final = re.compile(re.escape(SEGMENT_PREFIX) + r"[0-9]{20}" + re.escape(SEGMENT_SUFFIX))
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


def segments(stream: Path) -> list[Segment]:
    """The segments of a stream, in order."""
    found = []
    for file in sorted(stream.iterdir()):
        if _SEGMENT.fullmatch(file.name):
            first = int(file.name[len(SEGMENT_PREFIX) : -len(SEGMENT_SUFFIX)])
            found.append(Segment(file, first, file.stat().st_size))
    return found


class Block(NamedTuple):
    """Some lines in a row."""

    first: int
    """Index of the first line in the stream."""
    data: bytes
    """The lines with their line feeds."""
    lines: list[bytes]
    """The lines without."""


class Reader:
    """Reads the lines of segments, a block at a time.

    Attributes:
        count: lines read so far.
        torn: what follows the last line feed of the last segment: the start of a record whose writing was cut short.
        misnamed: the count at which a segment began that is named otherwise; None when none did.
    """

    def __init__(self, parts: list[Segment]) -> None:
        self._parts = parts
        self.count = 0
        self.torn = b""
        self.misnamed: int | None = None

    def blocks(self) -> Iterator[Block]:
        """All lines, once."""
        for part in self._parts:
            if part.first != self.count and self.misnamed is None:
                self.misnamed = self.count
            with part.path.open("rb") as file:
                yield from self._blocks(file, part.length)
            if self.torn and part is not self._parts[-1]:
                yield self._block(self.torn + b"\n")
                self.torn = b""

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


def lines_between(stream: Path, first: int, end: int) -> Iterator[list[bytes]]:
    """The records of a stream from number `first` up to `end`, not included, some at a time.

    It reads no segment before the one that `first` is in; when records are missing it ends early.

    Raises:
        OSError: a file cannot be read.
    """
    parts = segments(stream)
    begin = max((i for i, part in enumerate(parts) if part.first <= first), default=0)
    reader = Reader(parts[begin:])
    offset = parts[begin].first if parts else 0
    for block in reader.blocks():
        start = offset + block.first
        if start >= end:
            return
        if lines := block.lines[max(0, first - start) : end - start]:
            yield lines


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
        lines = part.path.read_bytes().split(b"\n")[:-1] + lines
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
