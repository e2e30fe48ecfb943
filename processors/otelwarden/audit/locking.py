"""One at a time: dropping segments of a trail, and deciding which must stay."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LOCK: Final = "retention.lock"


@contextmanager
def locked(directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Keeps every other process and thread from doing so with the same trail.

    Raises:
        BlockingIOError: somebody else does, and `wait` is not wanted.
        OSError: the directory cannot be written to.
    """
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        # Not by closing alone: a child that was forked meanwhile has the descriptor too, and would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
