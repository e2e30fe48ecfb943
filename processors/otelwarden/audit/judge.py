"""The judgement of one stream: reads it once, recomputes the root at each checkpoint, looks at what is left over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from otelwarden.audit.accounts import AccountReader
from otelwarden.audit.checkpoints import Checkpoint, NoteFile, signature_fault, split_notes
from otelwarden.audit.locate import Chain
from otelwarden.audit.merkle import Frontier
from otelwarden.audit.reading import Block, Pruned, Reader, segments
from otelwarden.audit.rotation import KeyChain
from otelwarden.audit.stream import CHECKPOINTS
from otelwarden.audit.verdicts import Status, StreamVerdict

_OWN: Final = b'"component":"audit","action":"'
MARKS: Final = tuple(_OWN + each + b'",' for each in (b"retire", b"hold", b"release"))
"""What stands in a record that says that a segment was dropped, or that records are held."""

TAIL_INTERVALS: Final = 2
"""Checkpoint intervals that may pass unsealed, by the times of the records, plus one second: a busy machine is late."""


class Found(Exception):
    """Raised when the verdict is clear."""

    def __init__(self, status: Status, message: str, sequence: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.sequence = sequence


class StreamJudge:
    """Judges one stream.

    Args:
        path: its directory.
        chain: the known keys.
        outside: checkpoints of this stream that were kept elsewhere, whose signatures are good.
        progress: told how many bytes of records were read, as they are.
    """

    def __init__(
        self,
        path: Path,
        chain: KeyChain,
        outside: Sequence[Checkpoint] = (),
        *,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._path = path
        self._chain = chain
        self._outside = outside
        self._progress = progress
        self._checkpoints: list[Checkpoint] = []
        self._retired: set[str] = set()  # keys that another one took the place of in this stream
        self._by_size: dict[int, list[tuple[Checkpoint, bool]]] = {}  # whether it comes from outside
        self._tree = Frontier()
        self._accounts = AccountReader()
        self._tail = Chain(path.name)
        self._sealed = 0
        self._in_tail = 0
        self._torn = False
        self._pruned = 0  # records up to here may have been dropped
        self._marks: list[tuple[int, bytes]] = []
        self.first_record = b""

    def judge(self) -> StreamVerdict:
        """The verdict; raises OSError when a file cannot be read."""
        reader = Reader([])
        try:
            before = segments(self._path)
            self._read_checkpoints()
            # A writer may be at work. What is read must reach as far as the checkpoints do; and where there are none,
            # not further than when there were none.
            reader = Reader(segments(self._path) if self._checkpoints else before)
            self._read_records(reader)
            self._judge_end(reader)
            self._judge_tail()
            status, message, sequence = self._judge_content()
        except Found as found:
            status, message, sequence = found.status, found.message, found.sequence
        return StreamVerdict(
            stream=self._path.name,
            status=status,
            message=message,
            sequence=sequence,
            records=reader.count,
            sealed=self._sealed,
            checkpoints=len(self._checkpoints),
            closed=self._closed,
        )

    @property
    def _last(self) -> Checkpoint | None:
        return self._checkpoints[-1] if self._checkpoints else None

    @property
    def _closed(self) -> bool:
        return self._last is not None and self._last.state == "close"

    def _read_checkpoints(self) -> None:
        file = self._path / CHECKPOINTS
        found = split_notes(file.read_bytes()) if file.exists() else NoteFile([], b"")
        for note in found.notes:
            number = len(self._checkpoints)
            fault = signature_fault(note, self._chain.keys)
            if fault is not None:
                status = Status.KEY_UNKNOWN if fault.unknown else Status.TAMPERED
                raise Found(status, f"checkpoint {number}: {fault.message}", self._sealed_by_last)
            try:
                self._accept(Checkpoint.parse(note.text), number)
            except ValueError as error:
                raise Found(Status.TAMPERED, f"checkpoint {number}: {error}", self._sealed_by_last) from error
        if not found.torn or (self._closed and found.rest):
            number = len(self._checkpoints)
            raise Found(Status.TAMPERED, f"what follows checkpoint {number - 1} is none", self._sealed_by_last)
        for checkpoint in self._outside:
            self._by_size.setdefault(checkpoint.size, []).append((checkpoint, True))

    @property
    def _sealed_by_last(self) -> int:
        return self._last.size if self._last else 0

    def _accept(self, checkpoint: Checkpoint, number: int) -> None:
        last = self._last
        if checkpoint.stream != self._path.name:
            raise ValueError(f"it belongs to stream {checkpoint.stream}")
        if checkpoint.key_id not in self._chain.keys:
            raise ValueError(f"it names key {checkpoint.key_id}")
        if misuse := self._chain.misuse(checkpoint, (self._checkpoints or [checkpoint])[0].time_ns):
            raise ValueError(misuse)
        if checkpoint.key_id in self._retired:
            raise ValueError(f"it is signed by key {checkpoint.key_id} again, which another had replaced")
        if checkpoint.number != number:
            raise ValueError(f"its number is {checkpoint.number}")
        if last is not None and (checkpoint.size < last.size or last.state == "close"):
            raise ValueError("it seals less than the one before, or follows the last")
        if last is not None and checkpoint.size == last.size and checkpoint.root != last.root:
            raise Found(Status.FORKED, f"checkpoints {number - 1} and {number} seal different histories", last.size)
        if last is not None and last.key_id != checkpoint.key_id:
            self._retired.add(last.key_id)
        self._checkpoints.append(checkpoint)
        self._by_size.setdefault(checkpoint.size, []).append((checkpoint, False))

    def _read_records(self, reader: Reader) -> None:
        sizes = sorted(size for size in self._by_size if size > 0)
        end = self._sealed_by_last
        for piece in reader.pieces():
            if isinstance(piece, Pruned):
                self._pass_over(piece, sizes, end)
                continue
            if piece.first == 0:
                self.first_record = piece.lines[0]
            # Bound once for a million calls.
            sha256 = hashlib.sha256
            leaves = [sha256(b"\x00" + line).digest() for line in piece.lines]
            if _OWN in piece.data:
                self._accounts.read(piece)
                self._read_marks(piece)
            done = 0
            while sizes and sizes[0] <= piece.first + len(leaves):
                size = sizes.pop(0)
                self._tree.extend(leaves[done : size - piece.first])
                done = size - piece.first
                self._compare(size)
            self._tree.extend(leaves[done:])
            self._follow_tail(piece, end)
            self._progress(len(piece.data))
        if reader.damaged is not None:
            message = "what stands in place of records that were dropped is damaged"
            raise Found(Status.TAMPERED, message, reader.damaged)
        if reader.misnamed is not None:
            raise self._tampered(0, f"a file of records does not begin with the record it names ({reader.misnamed})")

    def _pass_over(self, piece: Pruned, sizes: list[int], end: int) -> None:
        """Records that were dropped: their root stands for them, and is judged by the next checkpoint as they were."""
        try:
            self._tree.graft(piece.leaves, piece.root)
        except ValueError as error:
            message = f"what stands in place of records that were dropped does not fit: {error}"
            raise Found(Status.TAMPERED, message, piece.first) from error
        self._pruned = piece.end
        while sizes and sizes[0] <= piece.end:
            size = sizes.pop(0)
            if size == piece.end:
                self._compare(size)
            elif any(not outside for _, outside in self._by_size[size]):
                message = f"what stands in place of records that were dropped hides a checkpoint of {size}"
                raise Found(Status.TAMPERED, message, piece.first)
        if piece.end >= end:
            self._tail.pass_over(piece.end, piece.name)

    def _read_marks(self, block: Block) -> None:
        """What the trail says of its own life. A text within a record cannot look like it: its quotes are escaped."""
        if any(mark in block.data for mark in MARKS):
            self._marks += [
                (block.first + i, line) for i, line in enumerate(block.lines) if any(mark in line for mark in MARKS)
            ]

    @property
    def marks(self) -> list[bytes]:
        """The sealed records by which segments were dropped, held and released, in order; to be asked for at last."""
        return [line for sequence, line in self._marks if sequence < self._sealed]

    def _compare(self, size: int) -> None:
        root = self._tree.root()
        for checkpoint, outside in self._by_size[size]:
            if checkpoint.root == root:
                if not outside:
                    self._sealed = size
                    if size - checkpoint.account_records >= self._pruned:
                        self._accounts.check(checkpoint)
                    else:
                        self._accounts.skip(size)
            elif not outside:
                raise self._tampered(self._sealed, f"checkpoint {checkpoint.number} seals other records")
        for checkpoint, outside in self._by_size[size]:
            if outside and checkpoint.root != root:
                message = (
                    f"checkpoint {checkpoint.number} kept outside seals another history of the first {size} records"
                )
                raise Found(Status.FORKED, message, self._sealed)

    def _follow_tail(self, block: Block, end: int) -> None:
        """The records after the last checkpoint, and the one before them, which the first of them must name."""
        start = max(0, end - block.first)
        if 0 < end <= block.first + len(block.lines) and block.first <= end - 1:
            self._tail.start_after(block.lines[end - 1 - block.first], end - 1)
        for line in block.lines[start:]:
            # Space that the file system had given and the machine had no time to fill: never acknowledged.
            self._torn = self._torn or b"\x00" in line
            if self._torn:
                break
            self._in_tail += 1
            self._tail.follow([line])

    def _tampered(self, start: int, message: str) -> Found:
        """Points at the bad record as well as can be done; it is not before `start`."""
        chain = Chain(self._path.name)
        last = b""
        for block in Reader(segments(self._path)).pieces():
            if isinstance(block, Pruned):
                chain.pass_over(block.end, block.name)
                continue
            lines = block.lines
            if block.first < start:
                skipped = min(len(lines), start - block.first)
                last, lines = lines[skipped - 1], lines[skipped:]
                if block.first + skipped == start:
                    chain.start_after(last, start - 1)
            if not chain.follow(lines):
                break
        bad = chain.end()
        if bad is None:
            return Found(Status.TAMPERED, f"{message}; the bad ones are at {start} or after", start)
        return Found(Status.TAMPERED, f"{message}; the first bad one is {bad}", bad)

    def _judge_end(self, reader: Reader) -> None:
        last = self._last
        if last is None:
            if reader.count > 1:
                raise Found(Status.TRUNCATED, "its checkpoints are gone: the first is written with the first record", 0)
        elif reader.count < last.size:
            found = self._tampered(self._sealed, "records that were sealed are damaged")
            if found.message.endswith("after"):
                message = f"checkpoint {last.number} seals {last.size} records, {reader.count} are left"
                raise Found(Status.TRUNCATED, message, reader.count)
            raise found
        elif last.state == "close" and (reader.count > last.size or reader.torn):
            raise Found(Status.TAMPERED, "records follow the one that ended the stream", last.size)
        self._judge_outside(reader.count)

    def _judge_outside(self, count: int) -> None:
        for checkpoint in self._outside:
            number, size = checkpoint.number, checkpoint.size
            if size > count:
                message = f"checkpoint {number} kept outside seals {size} records, {count} are left"
                raise Found(Status.TRUNCATED, message, count)
            if number >= len(self._checkpoints):
                raise Found(Status.TRUNCATED, f"checkpoint {number} is known outside and gone here", size)
            if self._checkpoints[number] != checkpoint:
                raise Found(Status.FORKED, f"checkpoint {number} kept outside is another one", size)

    def _judge_tail(self) -> None:
        last = self._last
        bad = self._tail.end()
        if bad is not None:
            raise Found(Status.TAMPERED, f"after the last checkpoint, record {bad} does not fit its neighbours", bad)
        if last is None:
            return
        allowed = TAIL_INTERVALS * last.interval_ns + 1_000_000_000
        unsealed = self._tail.last_ns - last.time_ns
        if self._in_tail and unsealed > allowed:
            message = f"{self._in_tail} records over {unsealed / 1e9:.0f} s follow the last checkpoint"
            raise Found(Status.UNSEALED_TAIL, f"{message}; at most {allowed / 1e9:.0f} s are normal", last.size)

    def _judge_content(self) -> tuple[Status, str, int | None]:
        incomplete = self._accounts.verdict(closed=self._closed)
        if incomplete is not None:
            return Status.INCOMPLETE, *incomplete
        if self._closed:
            return Status.OK, "closed in order; every record is sealed", None
        return Status.OK, f"not closed: killed, or still running; {self._in_tail} records are not sealed", None
