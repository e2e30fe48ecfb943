"""A witness: somewhere outside the trail's reach where checkpoints are kept. Only that makes a rollback show."""

from __future__ import annotations

import os
from pathlib import Path

from otelwarden.core import ConfigError, Fault


class FileWitness:
    """Appends each checkpoint to a file, which many processes may share.

    Args:
        path: the file; its directory must exist.
        trail: the trail's directory, which must not contain the file: whoever can roll back one can roll back both.

    Raises:
        ConfigError: the file cannot be written to, or lies inside the trail.
    """

    def __init__(self, path: str | os.PathLike[str], *, trail: Path) -> None:
        self._path = Path(path)
        file = os.fspath(path)
        if trail.resolve() in self._path.resolve().parents:
            message = "the witness lies inside the trail's directory"
            raise ConfigError([Fault(file=file, message=message, allowed="a file elsewhere, best on another machine")])
        try:
            self(b"")
        except OSError as error:
            message = f"the witness cannot be written to: {error.strerror}"
            raise ConfigError([Fault(file=file, message=message)]) from error

    def __call__(self, note: bytes) -> None:
        """Appends a signed note, in one write so that those of several processes do not mix."""
        # Opened anew for each, so that the file may be rotated or its file system mounted again.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            if note:
                os.write(descriptor, self._line_end(descriptor) + note)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _line_end(descriptor: int) -> bytes:
        """What ends the line that a process left unfinished when it died."""
        length = os.fstat(descriptor).st_size
        return b"" if not length or os.pread(descriptor, 1, length - 1) == b"\n" else b"\n"
