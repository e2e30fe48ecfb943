"""What a new stream knows of the others beside it, so that a stream that disappears is missed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from otelwarden.audit.checkpoints import ORIGIN, Checkpoint, split_notes
from otelwarden.audit.stream import CHECKPOINTS

MAX_NEIGHBOURS: Final = 32
"""The newest streams that a new one names."""

_TAIL: Final = 4096  # bytes; a note has about 500


def sealed_neighbours(directory: Path) -> dict[str, int]:
    """Stream id -> records sealed, of the newest streams in a directory."""
    found: dict[str, int] = {}
    for file in sorted(directory.glob(f"*/{CHECKPOINTS}"), reverse=True)[:MAX_NEIGHBOURS]:
        with contextlib.suppress(OSError, ValueError):
            checkpoint = _last_checkpoint(file)
            if checkpoint is not None and checkpoint.stream == file.parent.name:
                found[checkpoint.stream] = checkpoint.size
    return found


def _last_checkpoint(file: Path) -> Checkpoint | None:
    with file.open("rb") as stream:
        length = stream.seek(0, 2)
        stream.seek(max(0, length - _TAIL))
        tail = stream.read()
    start = 0 if length <= _TAIL else tail.find(b"\n" + ORIGIN.encode()) + 1
    notes = split_notes(tail[start:]).notes
    return Checkpoint.parse(notes[-1].text) if notes else None
