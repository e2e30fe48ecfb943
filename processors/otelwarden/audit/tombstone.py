"""What stays of a segment of records that was dropped: hashes that stand for its records, and the few that are kept.

The file stands where the segment stood, as `retired-<first sequence>.jsonl`. Its first line says which records are
gone. Each further line is the root of a complete subtree of the tree (RFC 6962), or a record that is kept as it was:
what the trail says of itself. The lines are cut where a checkpoint was, so that every root that was ever signed can
still be computed, and so can every proof of a record that is left.

Nothing in it is believed by itself: its SHA-256 stands in a sealed record `retire`, its hashes lead to sealed roots.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from otelwarden.audit.merkle import Frontier, subtrees
from otelwarden.audit.stream import SEGMENT_SUFFIX

TOMBSTONE_PREFIX: Final = "retired-"
SCHEMA: Final = "otelwarden.audit-tombstone/1"

RETIRE: Final = "retire"
"""The action of the record that says that a segment was dropped."""

KEPT: Final = re.compile(rb'"component":"audit","action":"(?:open|close|gap|rotate|retire|hold|release)",')
"""Records that outlive their segment: who ended what, and why. No text within a record looks like it."""

_RECORD: Final = b'{"sequence":'


class Subtree(NamedTuple):
    """A complete subtree of the tree."""

    first: int
    """Sequence of its first record; a multiple of `leaves`."""
    leaves: int
    """Records in it, a power of two."""
    root: bytes
    """RFC 6962 Merkle tree hash over them."""


class Kept(NamedTuple):
    """A record that is kept."""

    sequence: int
    line: bytes
    """As it was stored, without its line feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What stays of the records `first` to `end`, `end` not included."""

    stream: str
    first: int
    end: int
    earliest_ns: int
    """Time of the earliest record, nanoseconds since the Unix epoch."""
    latest_ns: int
    last: str
    """What the record after the last one names as its predecessor: 16 hexadecimal digits."""
    parts: tuple[Subtree | Kept, ...]

    def text(self) -> bytes:
        """The file."""
        head = {
            "schema": SCHEMA,
            "stream": self.stream,
            "first": self.first,
            "end": self.end,
            "earliest": str(self.earliest_ns),
            "latest": str(self.latest_ns),
            "last": self.last,
        }
        lines = [json.dumps(head, separators=(",", ":")).encode("ascii"), *map(_line, self.parts)]
        return b"\n".join(lines) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Tombstone:
        """The tombstone that a file holds.

        Raises:
            ValueError: it holds none, or not exactly as we write it.
        """
        try:
            head, *lines = data.split(b"\n")[:-1]
            facts = json.loads(head)
            found = cls(
                stream=facts["stream"],
                first=facts["first"],
                end=facts["end"],
                earliest_ns=int(facts["earliest"]),
                latest_ns=int(facts["latest"]),
                last=facts["last"],
                parts=tuple(_parts(lines, facts["first"])),
            )
            if found.text() != data or _end(found) != found.end:
                raise ValueError("not as it would be written")
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("no tombstone") from error
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.text()).hexdigest()


def tombstone_name(sequence: int) -> str:
    """The file name of what stays of the segment that started with the record of that sequence."""
    return f"{TOMBSTONE_PREFIX}{sequence:020d}{SEGMENT_SUFFIX}"


def retired_target(stream: str, first: int, digest: str) -> str:
    """The target of the record `retire` that stands for a tombstone."""
    return f"{stream}/{tombstone_name(first)} sha256:{digest}"


def parts_of(
    first: int, leaves: Sequence[bytes], kept: Iterable[Kept], cuts: Iterable[int]
) -> tuple[Subtree | Kept, ...]:
    """What stands for some records in a row.

    Args:
        first: sequence of the first of them.
        leaves: their leaf hashes.
        kept: those that are kept.
        cuts: sizes of the tree whose roots are to be computable.
    """
    end = first + len(leaves)
    records = {each.sequence: each for each in kept}
    bounds = {first, end, *(cut for cut in cuts if first < cut < end)}
    for sequence in records:
        bounds |= {sequence, sequence + 1}
    parts: list[Subtree | Kept] = []
    for start, stop in itertools.pairwise(sorted(bounds)):
        if start in records:
            parts.append(records[start])
            continue
        for at, count in subtrees(start, stop):
            tree = Frontier()
            tree.extend(leaves[at - first : at - first + count])
            parts.append(Subtree(at, count, tree.root()))
    return tuple(parts)


def _line(part: Subtree | Kept) -> bytes:
    if isinstance(part, Kept):
        return part.line
    root = base64.b64encode(part.root).decode("ascii")
    return f'{{"first":{part.first},"leaves":{part.leaves},"root":"{root}"}}'.encode("ascii")


def _parts(lines: Iterable[bytes], first: int) -> Iterable[Subtree | Kept]:
    at = first
    for line in lines:
        if line.startswith(_RECORD):
            yield Kept(at, line)
            at += 1
            continue
        facts = json.loads(line)
        part = Subtree(facts["first"], facts["leaves"], base64.b64decode(facts["root"], validate=True))
        if part.first != at or part.leaves < 1 or part.leaves & (part.leaves - 1) or at % part.leaves:
            raise ValueError("a subtree out of place")
        if len(part.root) != 32:
            raise ValueError("a root that is none")
        yield part
        at += part.leaves


def _end(stone: Tombstone) -> int:
    return stone.first + sum(1 if isinstance(part, Kept) else part.leaves for part in stone.parts)
