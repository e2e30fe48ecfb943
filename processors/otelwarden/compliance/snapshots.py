"""What processes saw of themselves, in files, so that a command can judge a service from outside."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from otelwarden.compliance.facts import Snapshot

DIRECTORY: Final = "snapshots"
FRESH: Final = 86_400.0
"""Seconds for which a snapshot is evidence."""

KEPT: Final = 7 * 86_400.0
"""Seconds after which the file of a process is removed."""

_MAX_BYTES: Final = 16 << 20


class Snapshots:
    """The files in a directory: one for each process, replaced as a whole.

    Args:
        directory: the directory of compliance.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory) / DIRECTORY

    def write(self, snapshot: Snapshot) -> None:
        """Replaces the snapshot of a process. Raises OSError."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(snapshot.as_document(), file, default=str)
            Path(temporary).replace(self._directory / f"{snapshot.process}.json")
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def read(self, digest: str, *, now_ns: int) -> list[Snapshot]:
        """The fresh snapshots of processes that run with a configuration, by process; what is none is left out."""
        return [
            snapshot
            for file in self._files()
            if (snapshot := _read(file)) is not None
            and snapshot.digest == digest
            and now_ns - snapshot.taken_ns <= FRESH * 1e9
        ]

    def tidy(self, *, now_ns: int) -> None:
        """Removes the files of processes that ended long ago."""
        for file in self._files():
            with contextlib.suppress(OSError):
                if now_ns - file.stat().st_mtime_ns > KEPT * 1e9:
                    file.unlink()

    def _files(self) -> Iterator[Path]:
        if self._directory.is_dir():
            yield from sorted(self._directory.glob("*.json"))


def _read(file: Path) -> Snapshot | None:
    try:
        if file.stat().st_size > _MAX_BYTES:
            return None
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        return Snapshot.from_document(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # half a file, one of another version, or none of ours: no evidence
