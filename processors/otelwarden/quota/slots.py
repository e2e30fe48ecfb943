"""The file in which the processes of one host count what was used: a slot of 320 bytes for each limit.

    offset  size
    0       8     magic and version
    8       8     number of slots in use
    64      4000  process ids of those that have the file open, 8 bytes each
    4096    ...   slots

    slot
    0       2     length of the key
    2       238   the key, UTF-8
    240     80    the numbers, see `Numbers`

The numbers of a slot are written by one call, which a process that is killed has made or not, and under a lock on the
file, which the kernel frees when its holder dies. It is read and written, not mapped: to touch the mapped memory of a
file that somebody cuts short would kill the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otelwarden.core import ConfigError, Fault

MAGIC: Final = b"OWQUOTA\x01"
HEADER: Final = 4096
SLOT: Final = 320
MAX_SLOTS: Final = 131_072
"""42 MB; further limits reuse the slots of those that know nothing any more."""

_KEY_BYTES: Final = 238
_NUMBERS_AT: Final = 240
_PIDS_AT: Final = 64
_PIDS: Final = 500
_PID_TABLE: Final = struct.Struct(f"<{_PIDS}q")
_INT: Final = struct.Struct("<q")
_LENGTH: Final = struct.Struct("<H")
_NUMBERS: Final = struct.Struct("<qqqqqqqddq")
_WAIT: Final = 0.05
_PAUSE: Final = 0.0002


class LockTimeoutError(Exception):
    """Raised when another process held the file for too long: it was stopped, or the machine is overloaded."""


class BrokenFileError(Exception):
    """Raised when the file is not what it was: cut short, or written over."""


@dataclass(slots=True)
class Numbers:
    """What is counted for one limit."""

    since: int = 0
    """Begin of the period of a budget, in seconds since the Unix epoch."""
    until: int = 0
    """Its end."""
    used: int = 0
    """What was used or is held ready in it."""
    before_since: int = 0
    """Begin of the period that was counted before."""
    before_used: int = 0
    """What was used in that one."""
    amount: int = 0
    """The limit of a budget, or the burst of a rate."""
    at_ns: int = 0
    """Monotonic nanoseconds of `level`; 0 when nothing is known of a rate."""
    level: float = 0.0
    """What may pass at once, of a rate."""
    rate: float = 0.0
    """The rate, a second."""
    touched: int = 0
    """When the limit was last asked for, in seconds since the Unix epoch."""


def key_bytes(key: str) -> bytes:
    """A key as it stands in a slot; one that is too long ends in its digest."""
    text = key.encode("utf-8", "surrogatepass")
    if len(text) <= _KEY_BYTES:
        return text
    digest = hashlib.sha256(text).hexdigest().encode()
    return text[: _KEY_BYTES - len(digest)] + digest


class SlotFile:
    """The shared file, opened by this process.

    Raises:
        ConfigError: it cannot be opened, or is something else; with the pointer `/path`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._places: dict[bytes, int] = {}
        self._scanned = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._fault(f"cannot be opened: {error.strerror}") from error
        try:
            with self.locked():
                self._begin()
                self._register()
        except (OSError, LockTimeoutError, BrokenFileError) as error:
            self.close()
            raise self._fault(f"cannot be used: {error}") from error

    def _fault(self, message: str) -> ConfigError:
        allowed = "a file that this process may read and write, or that it can make"
        return ConfigError([Fault(pointer="/path", message=message, given=str(self.path), allowed=allowed)])

    def _begin(self) -> None:
        header = os.pread(self._descriptor, HEADER, 0)
        if header[:8] in (b"", bytes(8)) and not header.strip(b"\0"):
            os.pwrite(self._descriptor, MAGIC + bytes(HEADER - 8), 0)
        elif header[:8] != MAGIC:
            raise BrokenFileError("it is not a file of ours, or of another version")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock between processes; threads of this process must have a lock of their own.

        Raises:
            LockTimeoutError: it was not to be had in 50 ms.
        """
        descriptor = self._descriptor
        deadline = 0.0
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + _WAIT
                if now >= deadline:
                    raise LockTimeoutError("another process holds the lock") from None
                time.sleep(_PAUSE)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def replaced(self) -> bool:
        """Whether the path does not lead to this file any more, as somebody has removed it."""
        try:
            there, ours = self.path.stat(), os.fstat(self._descriptor)
        except OSError:
            return True
        return (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev)

    def close(self) -> None:
        """Lets go of the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # --- under the lock

    def _register(self) -> None:
        table = self._pids()
        own = os.getpid()
        if own not in table:
            free = next((at for at, pid in enumerate(table) if not pid or not _alive(pid)), None)
            if free is not None:
                os.pwrite(self._descriptor, _INT.pack(own), _PIDS_AT + 8 * free)

    def _pids(self) -> tuple[int, ...]:
        table: tuple[int, ...] = _PID_TABLE.unpack(self._read(_PID_TABLE.size, _PIDS_AT))
        return table

    def processes(self) -> int:
        """How many processes have the file open; at least 1."""
        return max(1, sum(1 for pid in set(self._pids()) if pid and _alive(pid)))

    def _read(self, size: int, at: int) -> bytes:
        found = os.pread(self._descriptor, size, at)
        if len(found) != size:
            raise BrokenFileError("it was cut short")
        return found

    def place(self, key: bytes, stale_before: int) -> int:
        """Where the slot of a key is; made if need be.

        Args:
            stale_before: when the file is full, slots that were not touched since then, in seconds since the Unix
                epoch, are reused.

        Raises:
            BrokenFileError: the file was written over, or has no room.
        """
        place = self._places.get(key)
        if place is not None and self._key_at(place) == key:
            return place
        (count,) = _INT.unpack(self._read(8, 8))
        if not 0 <= count <= MAX_SLOTS or count < self._scanned:
            raise BrokenFileError("its number of slots makes no sense")
        for number in range(self._scanned, count):
            at = HEADER + SLOT * number
            self._places[self._key_at(at)] = at
        self._scanned = count
        place = self._places.get(key)
        if place is not None and self._key_at(place) == key:
            return place
        place = HEADER + SLOT * count if count < MAX_SLOTS else self._stale(stale_before)
        slot = (_LENGTH.pack(len(key)) + key).ljust(_NUMBERS_AT, b"\0") + bytes(_NUMBERS.size)
        os.pwrite(self._descriptor, slot, place)
        if count < MAX_SLOTS:
            os.pwrite(self._descriptor, _INT.pack(count + 1), 8)
            self._scanned = count + 1
        self._places[key] = place
        return place

    def _stale(self, stale_before: int) -> int:
        for place in range(HEADER, HEADER + SLOT * MAX_SLOTS, SLOT):
            numbers = self.numbers(place)
            if numbers.touched < stale_before and numbers.until < stale_before:
                return place
        raise BrokenFileError("it has no room for another limit")

    def _key_at(self, place: int) -> bytes:
        found = self._read(_NUMBERS_AT, place)
        (length,) = _LENGTH.unpack_from(found)
        return found[2 : 2 + length]

    def numbers(self, place: int) -> Numbers:
        """The numbers of a slot."""
        return Numbers(*_NUMBERS.unpack(self._read(_NUMBERS.size, place + _NUMBERS_AT)))

    def write(self, place: int, numbers: Numbers) -> None:
        """Writes the numbers of a slot."""
        n = numbers
        packed = _NUMBERS.pack(
            n.since, n.until, n.used, n.before_since, n.before_used, n.amount, n.at_ns, n.level, n.rate, n.touched
        )
        os.pwrite(self._descriptor, packed, place + _NUMBERS_AT)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> list[tuple[bytes, Numbers]]:
        """Key and numbers of every slot of a file, without a lock: numbers of different slots may differ by a moment.

        Raises:
            BrokenFileError: it is not a file of ours.
        """
        content = Path(path).read_bytes()
        if content[: len(MAGIC)] != MAGIC or len(content) < HEADER:
            raise BrokenFileError("it is not the file of a file store")
        (count,) = _INT.unpack_from(content, 8)
        found = []
        for at in range(HEADER, min(HEADER + SLOT * max(0, count), len(content) - SLOT + 1), SLOT):
            (length,) = _LENGTH.unpack_from(content, at)
            found.append((content[at + 2 : at + 2 + length], Numbers(*_NUMBERS.unpack_from(content, at + _NUMBERS_AT))))
        return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
