"""What streams a trail has, without judging them."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from otelwarden.audit.checkpoints import Checkpoint, split_notes
from otelwarden.audit.reading import Reader, segments, stream_directories
from otelwarden.audit.stream import CHECKPOINTS
from otelwarden.core import ConfigError, Fault


class StreamEntry(NamedTuple):
    """One stream, by what its files say."""

    stream: str
    began_ns: int
    """Nanoseconds since the Unix epoch, by its id."""
    records: int
    sealed: int
    """Records that its last checkpoint covers."""
    checkpoints: int
    closed: bool
    """Whether it ended in order; otherwise its process was killed, or still runs."""


def list_streams(path: str | os.PathLike[str]) -> list[StreamEntry]:
    """The streams of a trail, oldest first. Nothing is verified.

    Raises:
        ConfigError: the directory cannot be read.
    """
    try:
        return [_entry(directory) for directory in stream_directories(Path(path))]
    except OSError as error:
        file = os.fspath(error.filename or path)
        raise ConfigError([Fault(file=file, message=f"cannot be read: {error.strerror}")]) from error


def _entry(directory: Path) -> StreamEntry:
    parts = segments(directory)
    reader = Reader(parts[-1:], parts[-1].first if parts else 0)
    for _ in reader.pieces():
        pass
    file = directory / CHECKPOINTS
    notes = split_notes(file.read_bytes()).notes if file.exists() else []
    last = None
    with contextlib.suppress(ValueError, IndexError):
        last = Checkpoint.parse(notes[-1].text)
    return StreamEntry(
        stream=directory.name,
        began_ns=_began(directory.name),
        records=reader.count,
        sealed=last.size if last else 0,
        checkpoints=len(notes),
        closed=last is not None and last.state == "close",
    )


def _began(stream: str) -> int:
    """By the first part of an id, `20261124T163246.123Z`; 0 for a directory that is named otherwise."""
    with contextlib.suppress(ValueError):
        moment = datetime.strptime(stream.partition("Z")[0], "%Y%m%dT%H%M%S.%f").replace(tzinfo=timezone.utc)
        return int(moment.timestamp() * 1000) * 1_000_000
    return 0
