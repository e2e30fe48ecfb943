"""Dropping segments whose time is over: judged first, recorded and sealed next, and only then done.

A crash in between leaves a record of something that was not done, and the next run does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from otelwarden.audit.batch import PREVIOUS_BYTES
from otelwarden.audit.checkpoints import Checkpoint, split_notes
from otelwarden.audit.evidence import Texts, parse_record
from otelwarden.audit.holds import PATIENCE, Hold, holds_of
from otelwarden.audit.keys import VerifyingKey
from otelwarden.audit.locking import locked
from otelwarden.audit.merkle import leaf_hash
from otelwarden.audit.reading import Reader, Segment, segments, stream_directories
from otelwarden.audit.retention import Kind, Retention, Span
from otelwarden.audit.rotation import first_key
from otelwarden.audit.stream import CHECKPOINTS, is_written, segment_name, sync_directory
from otelwarden.audit.tombstone import KEPT, RETIRE, Kept, Tombstone, parts_of, retired_target, tombstone_name
from otelwarden.audit.verdicts import Status
from otelwarden.audit.verification import judge_trail
from otelwarden.core import GovernanceEvent, OtelwardenError

if TYPE_CHECKING:
    from otelwarden.audit.trail import AuditTrail

_WINDOW: Final = b'"window":["'
_ACCOUNT: Final = b'"component":"audit","action":"account",'
REASON: Final = "retention"

Kinds = Mapping[Kind, Span]


class RetirementRefused(OtelwardenError):
    """Raised when nothing may be dropped: the trail does not verify, or what is done cannot be recorded."""


class Due(NamedTuple):
    """A segment whose time is over."""

    stream: str
    segment: Segment
    end: int
    """Sequence of the record after its last."""
    kinds: Kinds
    due_ns: int
    """Since when, nanoseconds since the Unix epoch."""
    overdue: bool
    """Whether some of its records have been there longer than their rule allows."""
    held_by: tuple[Hold, ...]
    """Why it stays all the same."""


def due_segments(
    directory: Path, retention: Retention, now_ns: int, *, public_key: VerifyingKey | None = None
) -> list[Due]:
    """The segments whose time is over, also those that are held. Nothing is written.

    Args:
        directory: of the trail.
        now_ns: nanoseconds since the Unix epoch.
        public_key: the first key that signed; None: those beside the trail are believed.

    Raises:
        RetirementRefused: there are some, and the trail does not verify.
        OSError: a file cannot be read.
    """
    found = [due for stream in stream_directories(directory) for due in _due_of(stream, retention, now_ns)]
    if not found:
        return []
    judged = judge_trail(directory, public_key)
    for verdict in judged.streams:
        if verdict.status.severity >= Status.KEY_UNKNOWN.severity:
            message = f"{verdict.stream} is {verdict.status.value}: {verdict.message}"
            raise RetirementRefused(f"nothing is dropped of a trail that does not verify: {message}")
    sealed = {verdict.stream: verdict.sealed for verdict in judged.streams}
    holds = holds_of(judged.marks)
    return [
        due._replace(held_by=tuple(hold for hold in holds if hold.covers(due.kinds)))
        for due in found
        if due.end <= sealed[due.stream] or not is_written(directory / due.stream)
    ]


def retire(
    trail: AuditTrail, retention: Retention, *, actor: str = "", reason: str = REASON, wait: bool = True
) -> list[Due]:
    """Drops the segments whose time is over and which nobody holds. What stays of each is a tombstone.

    Args:
        trail: which it is, and where it is recorded.
        actor: who decided it, as `user:<id>` or `service:<id>`; `system:audit` unless given.
        wait: whether to wait for another process that is at it.

    Returns:
        Those that were dropped, and those that are held.

    Raises:
        RetirementRefused: the trail does not verify, or what is done cannot be recorded.
        BlockingIOError: another process is at it, and `wait` is not wanted.
        OSError: a file cannot be read or written.
    """
    clock, digest = trail.runtime.clock, trail.runtime.config_digest
    with locked(trail.path, wait=wait):
        key = first_key(trail.path, trail.key.verifying_key)  # not whatever lies beside the trail
        found = due_segments(trail.path, retention, clock.time_ns(), public_key=key)
        stones = [_tombstone(trail.path / due.stream, due) for due in found if not due.held_by]
        for stone in stones:
            event = GovernanceEvent(
                clock.time_ns(), "audit", RETIRE, reason, count=stone.end - stone.first, config_digest=digest,
                target=retired_target(stone.stream, stone.first, stone.digest), actor=actor,
            )  # fmt: skip
            if not trail.append_sync(event, timeout=PATIENCE):
                raise RetirementRefused("it could not be recorded, so nothing was dropped")
        if stones and not trail.checkpoint(PATIENCE):
            raise RetirementRefused("it could not be sealed, so nothing was dropped")
        for stone in stones:
            _drop(trail.path / stone.stream, stone)
    return found


def _due_of(stream: Path, retention: Retention, now_ns: int) -> Iterator[Due]:
    parts = segments(stream)
    if parts and is_written(stream):
        parts.pop()
    for part in parts:
        if part.retired or not _may_be_due(part, retention, now_ns):
            continue
        end, kinds = _kinds_of(part)
        due_ns, overdue_ns = retention.due_ns(kinds), retention.overdue_ns(kinds)
        if due_ns is not None and due_ns <= now_ns:
            overdue = overdue_ns is not None and overdue_ns < now_ns
            yield Due(stream.name, part, end, kinds, due_ns, overdue, ())


def _may_be_due(part: Segment, retention: Retention, now_ns: int) -> bool:
    """By its first record alone: most segments are too young, and need not be read."""
    with part.path.open("rb") as file:
        line = file.readline()
    try:
        return parse_record(line.rstrip(b"\n"), {}).time_ns + retention.shortest * 1e9 <= now_ns
    except (ValueError, KeyError, TypeError, IndexError):
        return False  # `verify` judges what it is


def _kinds_of(part: Segment) -> tuple[int, Kinds]:
    known: dict[bytes, Texts] = {}
    kinds: dict[Kind, Span] = {}
    reader = Reader([part], part.first)
    for block in reader.blocks():
        for line in block.lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
                record = parse_record(line, known)
                earliest = latest = record.time_ns
                if (at := line.rfind(_WINDOW)) >= 0:
                    earliest = min(earliest, int(line[at + len(_WINDOW) :].split(b'"', 1)[0]))
                tenants = {record.tenant}
                if _ACCOUNT in line:
                    tenants |= {balance["tenant"] for balance in json.loads(line)["balances"]}
                for tenant in tenants:
                    kind = Kind(record.component, record.action, tenant)
                    span = kinds.get(kind, Span(earliest, latest))
                    kinds[kind] = Span(min(span.earliest_ns, earliest), max(span.latest_ns, latest))
    return reader.count, kinds


def _tombstone(stream: Path, due: Due) -> Tombstone:
    """What will stay of a segment; the same whenever it is made."""
    leaves: list[bytes] = []
    kept: list[Kept] = []
    for block in Reader([due.segment], due.segment.first).blocks():
        leaves += map(leaf_hash, block.lines)
        kept += [Kept(block.first + i, line) for i, line in enumerate(block.lines) if KEPT.search(line)]
    notes = split_notes((stream / CHECKPOINTS).read_bytes()).notes
    return Tombstone(
        stream=stream.name,
        first=due.segment.first,
        end=due.end,
        earliest_ns=min(span.earliest_ns for span in due.kinds.values()),
        latest_ns=max(span.latest_ns for span in due.kinds.values()),
        last=leaves[-1][:PREVIOUS_BYTES].hex(),
        parts=parts_of(due.segment.first, leaves, kept, (Checkpoint.parse(note.text).size for note in notes)),
    )


def _drop(stream: Path, stone: Tombstone) -> None:
    """Puts a tombstone in the place of its segment: it is on the disk before the segment goes."""
    file = stream / tombstone_name(stone.first)
    draft = stream / f".{file.name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb") as output:
            output.write(stone.text())
            output.flush()
            os.fsync(output.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(stream)
    (stream / segment_name(stone.first)).unlink()
    sync_directory(stream)
