"""Who a stream belongs to: the process that holds a lock on its lease, which ends with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

LEASE: Final = "lease"


class Lease:
    """The lock of one stream. A forked child shares it with its parent until it lets go of its copy."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, stream: Path, *, create: bool = False) -> Lease | None:
        """The lease of the stream; None while somebody holds it, or when the stream is gone."""
        path = stream / LEASE
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever drained it may have removed it between our opening and our locking.
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return cls(descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

    def let_go(self) -> None:
        """Gives the stream free, unless a parent or child holds it too."""
        os.close(self._descriptor)
