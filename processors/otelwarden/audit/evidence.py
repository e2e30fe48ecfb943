"""The trail as evidence: what an assessment reads of it, by the Protocol of `otelwarden.core`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from otelwarden.audit.checkpoints import Checkpoint, split_notes
from otelwarden.audit.keys import VerifyingKey
from otelwarden.audit.reading import Reader, segments, stream_directories
from otelwarden.audit.stream import CHECKPOINTS
from otelwarden.audit.verdicts import Status
from otelwarden.audit.verification import verify
from otelwarden.core import TrailRecord, TrailVerdict

_STREAM: Final = b',"stream":'
_COUNT: Final = b',"count":'
_MAX_CACHED: Final = 65_536
_TEXTS: Final = (
    "stream", "actor", "component", "action", "outcome", "reason", "tenant", "signal", "target", "config"
)  # fmt: skip

Texts: TypeAlias = tuple[str, str, str, str, str, str, str, str, str, str]
"""The texts of a record, in the order of the format."""


class TrailEvidence:
    """Reads and judges the trail under a path.

    Args:
        path: the trail's directory.
        public_key: as for `verify`.
        against: checkpoints kept outside, as for `verify`; None, or no such file: a rollback cannot be excluded, and
            the verdict says so.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        public_key: VerifyingKey | str | os.PathLike[str] | None = None,
        against: str | os.PathLike[str] | None = None,
    ) -> None:
        self._path = Path(path)
        self._public_key = public_key
        self._against = against

    @property
    def name(self) -> str:
        """The trail's directory."""
        return os.fspath(self._path)

    def verdict(self) -> TrailVerdict:
        """Verifies the trail. Raises ConfigError when it cannot be read."""
        against = self._against if self._against is not None and Path(self._against).exists() else None
        found = verify(self._path, public_key=self._public_key, against=against)
        worst = max(found.streams, key=lambda each: each.status.severity, default=None)
        latest = [
            checkpoint
            for directory in stream_directories(self._path)
            if (checkpoint := _latest_checkpoint(directory / CHECKPOINTS)) is not None
        ]
        outside = _notes(Path(against)) if against is not None else []
        return TrailVerdict(
            status=found.status.value,
            message="" if worst is None or worst.status is Status.OK else f"{worst.stream}: {worst.message}",
            sequence=worst.sequence if worst is not None else None,
            streams=len(found.streams),
            records=sum(each.records for each in found.streams),
            sealed=sum(each.sealed for each in found.streams),
            sealed_ns=max((each.time_ns for each in latest), default=0),
            unwitnessed=not outside,
            witnessed_ns=max((each.time_ns for each in outside), default=0),
            roots=tuple((each.stream, each.size, each.root.hex()) for each in latest),
        )

    def records(self) -> Iterator[TrailRecord]:
        """The records of every stream."""
        known: dict[bytes, Texts] = {}
        for stream in stream_directories(self._path):
            for block in Reader(segments(stream)).blocks():
                for line in block.lines:
                    try:
                        yield parse_record(line, known)
                    except (ValueError, KeyError, TypeError, IndexError):
                        continue  # damaged, or the end of a stream whose process was killed: `verdict` judges that


def parse_record(line: bytes, known: dict[bytes, Texts]) -> TrailRecord:
    """The record in a line. Events repeat, so their texts are parsed once: a quarter of the time of `json.loads`.

    Args:
        known: texts that were parsed before; grows, within bounds.

    Raises:
        ValueError, KeyError, TypeError, IndexError: it is no record.
    """
    texts_at = line.index(_STREAM) + 1
    # No text can look like the end of the texts: a quote within one is escaped.
    count_at = line.index(_COUNT, texts_at)
    fixed = line[texts_at:count_at]
    texts = known.get(fixed)
    if texts is None:
        parsed: dict[str, Any] = json.loads(b"{" + fixed + b"}")
        if len(known) >= _MAX_CACHED:
            known.clear()
        texts = known[fixed] = cast(Texts, tuple(str(parsed.get(name, "")) for name in _TEXTS))
    head = line[:texts_at].split(b'"', 6)
    rest = line[count_at + len(_COUNT) :]
    end = rest.find(b",")
    stream, actor, component, action, outcome, reason, tenant, signal, target, config = texts
    return TrailRecord(
        int(head[2][1:-1]),
        int(head[5]),
        stream,
        actor,
        component,
        action,
        outcome,
        reason,
        tenant,
        signal,
        target,
        config,
        int(rest[:end] if end >= 0 else rest[:-1]),
    )


def _notes(file: Path) -> list[Checkpoint]:
    """The checkpoints in a file; `verify` judges their signatures, and what is none."""
    found = []
    for note in split_notes(file.read_bytes()).notes:
        try:
            found.append(Checkpoint.parse(note.text))
        except ValueError:
            continue
    return found


def _latest_checkpoint(file: Path) -> Checkpoint | None:
    return max(_notes(file), key=lambda each: each.number, default=None) if file.exists() else None
