"""Files that others may change while we run: the thread that looks at them, and how it tells a change."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from otelwarden.core._sdk import suppress_instrumentation_in_this_thread
from otelwarden.core.clock import Clock
from otelwarden.core.documents import MAX_DOCUMENT
from otelwarden.core.fork import run_in_child_after_fork

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


class WatchedFile:
    """A file that others may replace, rewrite or remove at any moment.

    Args:
        path: where it is; a symbolic link is followed.
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

    def expect(self, status: os.stat_result, content: bytes) -> None:
        """Takes note of a version that the owner wrote itself and need not read again."""
        self._seen, self._digest, self._settled = _Signature.of(status), hashlib.sha256(content).digest(), False


class Reloadable(Protocol):
    """What a watcher watches."""

    def reload(self) -> bool:
        """Looks for a change; must not raise."""
        ...


class Watcher:
    """Calls `reload` once an interval, in one daemon thread, for as long as the owner lives.

    The thread starts with the first call of `start`, and again in every forked child. It holds no reference to the
    owner, so one that nobody uses any more is freed and takes its thread along.

    Args:
        name: what the thread is called, behind `otelwarden-`.
    """

    def __init__(self, owner: Reloadable, *, name: str) -> None:
        self._owner = weakref.ref(owner)
        self._name = f"otelwarden-{name}"
        self._interval: float | None = None
        self._renew()
        run_in_child_after_fork(self._in_child)

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def _in_child(self) -> None:
        running = self._thread is not None and not self._stopped.is_set()
        self._renew()
        if running and self._interval is not None:
            self.start(self._interval)

    def start(self, interval: float) -> None:
        """Starts the thread, or makes one that runs look every `interval` seconds, if that is more often."""
        with self._lock:
            self._interval = interval if self._interval is None else min(interval, self._interval)
            if self._thread is None and not self._stopped.is_set():
                arguments = (self._owner, weakref.ref(self), self._stopped)
                self._thread = threading.Thread(target=_watch, args=arguments, name=self._name, daemon=True)
                self._thread.start()

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._interval is not None

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return self._interval if self._interval is not None else 1.0

    def stop(self) -> None:
        """Ends the thread, for good."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5.0)


def _watch(
    owner: weakref.ReferenceType[Reloadable],
    watcher: weakref.ReferenceType[Watcher],
    stopped: threading.Event,
) -> None:
    suppress_instrumentation_in_this_thread()
    while True:
        itself = watcher()
        if itself is None or stopped.wait(itself.interval):
            return
        del itself
        watched = owner()
        if watched is None:
            return
        watched.reload()
        del watched
