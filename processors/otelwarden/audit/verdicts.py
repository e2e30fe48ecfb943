"""What a verification found, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """What is to be said of a stream; later ones are worse."""

    OK = "OK"
    """Every record is as it was written, up to the last checkpoint and a short time beyond."""
    UNSEALED_TAIL = "UNSEALED_TAIL"
    """More was written after the last checkpoint than the writer would leave unsealed."""
    INCOMPLETE = "INCOMPLETE"
    """Nothing was changed, but the trail itself says that it does not hold everything, or an account does not close."""
    KEY_UNKNOWN = "KEY_UNKNOWN"
    """No known key signed a checkpoint."""
    TRUNCATED = "TRUNCATED"
    """Records or checkpoints that existed are missing at the end, or a whole stream is."""
    FORKED = "FORKED"
    """Two histories with valid signatures."""
    TAMPERED = "TAMPERED"
    """Something is not as it was when it was sealed."""

    @property
    def severity(self) -> int:
        """0 for OK, and more for what is worse."""
        return list(Status).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamVerdict:
    """The verdict on one stream."""

    stream: str
    status: Status
    message: str
    """One sentence."""
    sequence: int | None = None
    """The first bad record, or the first of those among which it is; None when no record is bad."""
    records: int = 0
    """Records found."""
    sealed: int = 0
    """Records that the last good checkpoint covers."""
    checkpoints: int = 0
    closed: bool = False
    """Whether the stream ended in order; otherwise its process was killed, or still runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on all streams of a trail."""

    path: str
    streams: tuple[StreamVerdict, ...]
    warnings: tuple[str, ...] = ()
    """What could not be proved, whatever was found."""

    @property
    def status(self) -> Status:
        """That of the worst stream; INCOMPLETE when there is none, since nothing is no evidence."""
        return max((each.status for each in self.streams), key=lambda each: each.severity, default=Status.INCOMPLETE)

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.status is Status.OK


def exit_code(verdict: Verdict) -> int:
    """0 when all is well, 1 when it is not, for a command."""
    return 0 if verdict.ok else 1


def render(verdict: Verdict) -> str:
    """The verdict as a table, what is wrong under it, and what was not proved."""
    header = ("stream", "status", "records", "sealed", "checkpoints", "closed", "first bad")
    rows = [header, *map(_row, verdict.streams)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append("")
    lines += [f"{each.stream}: {each.message}" for each in verdict.streams if each.status is not Status.OK]
    lines += [f"warning: {warning}" for warning in verdict.warnings]
    lines.append(f"{verdict.path}: {verdict.status.value}{_count(verdict.streams)}")
    return "\n".join(lines) + "\n"


def _row(each: StreamVerdict) -> tuple[str, ...]:
    numbers = (each.records, each.sealed, each.checkpoints)
    bad = "-" if each.sequence is None else str(each.sequence)
    return (each.stream, each.status.value, *map(str, numbers), "yes" if each.closed else "no", bad)


def _count(streams: Iterable[StreamVerdict]) -> str:
    found = list(streams)
    if not found:
        return " (no stream found)"
    return f" ({len(found)} streams, {sum(each.records for each in found)} records)"
