"""The tenants file on disk: whether it changed, and replacing it so that nobody ever reads half of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from otelwarden.core import MAX_DOCUMENT, Clock

_SETTLED_NS: Final = 2_000_000_000
"""Age at which a file's modification time tells it apart from any later version. A file system stamps in steps (4 ms
on ext4, 2 s on FAT), so the content of one that is younger is compared."""


class _Signature(NamedTuple):
    modified_ns: int
    size: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Signature:
        return cls(status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)


class TenantFile:
    """A file that others may replace, rewrite or remove at any moment.

    Args:
        path: where it is; a symbolic link is followed, and what it points to is replaced.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock) -> None:
        self.path = Path(path)
        self._clock = clock
        self._seen: _Signature | None = None
        self._digest = b""
        self._settled = False

    def changed(self) -> bool:
        """Whether the file is another than at the last call; True the first time, and when it is gone or back.

        Must be called before the file is read: a change in between is then seen by the next call.
        """
        try:
            signature = _Signature.of(self.path.stat())
            if signature == self._seen and self._settled:
                return False
            digest = self._digest_of_content(signature)
        except OSError:
            gone, self._seen = self._seen is not None, None
            return gone
        same = self._seen is not None and digest == self._digest
        self._seen, self._digest = signature, digest
        self._settled = abs(self._clock.time_ns() - signature.modified_ns) > _SETTLED_NS
        return not same

    def _digest_of_content(self, signature: _Signature) -> bytes:
        if signature.size > MAX_DOCUMENT:
            return repr(signature).encode()
        return hashlib.sha256(self.path.read_bytes()).digest()

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
                signature = _Signature.of(os.fstat(stream.fileno()))
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._sync_directory(target.parent)
        # What we wrote ourselves need not be read again.
        self._seen, self._digest, self._settled = signature, hashlib.sha256(content).digest(), False

    @staticmethod
    def _sync_directory(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
