"""The tenants file on disk: whether it changed, and replacing it so that nobody ever reads half of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from otelwarden.core import WatchedFile


class TenantFile(WatchedFile):
    """A file that others may replace, rewrite or remove at any moment.

    Args:
        path: where it is; a symbolic link is followed, and what it points to is replaced.
    """

    def exists(self) -> bool:
        """Whether it is there now."""
        return self.path.is_file()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes that change the file through a registry out; they wait for each other."""
        descriptor = os.open(self.path.resolve().parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # Closing is not enough: a child that was forked meanwhile has the descriptor too, and the lock with it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def write(self, text: str) -> None:
        """Replaces the file: written beside it, flushed to the disk, given its mode, and renamed over it.

        Raises:
            OSError: it could not be written; the file is what it was.
        """
        target = self.path.resolve()
        mode = target.stat().st_mode & 0o7777
        content = text.encode()
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
                status = os.fstat(stream.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._sync_directory(target.parent)
        self.expect(status, content)

    @staticmethod
    def _sync_directory(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
