"""A key for each person, in a directory: destroying one makes all that was encrypted with it unreadable, everywhere.

    <directory>/index                                      the key of that HMAC, sealed
    <directory>/by-subject/<HMAC of tenant and subject>    the id of the key
    <directory>/keys/<key id>                              the key, sealed: encrypted with a key of the ring

Names of files tell nothing about persons. A key appears complete or not at all, and of processes that make one at the
same time the first one wins. The directory must not be part of a backup that outlives an erasure.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import threading
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from otelwarden.core import ConfigError, Fault, KeyRing, SubjectKey, run_in_child_after_fork
from otelwarden.redaction.tokens import derived_key

_KEY_ID: Final = re.compile(r"[0-9a-f]{24}")
_MAX_REMEMBERED: Final = 16_384


class SubjectKeyDirectory:
    """The keys of persons, in a directory.

    Args:
        path: the directory; made when it is missing, for its owner alone.
        ring: whose keys encrypt the ones kept here. A key of the ring must stay as long as keys here need it.

    Raises:
        ConfigError: it cannot be made or written to.
    """

    def __init__(self, path: str | os.PathLike[str], *, ring: KeyRing) -> None:
        self._path = Path(path)
        self._ring = ring
        self._index = self._path / "by-subject"
        self._keys = self._path / "keys"
        try:
            for directory in (self._path, self._index, self._keys):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._index_key = self._read_index_key()
        except OSError as error:
            message = f"keys of persons cannot be kept here: {error.strerror or error}"
            raise ConfigError([Fault(file=os.fspath(path), message=message)]) from None
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._remembered: dict[str, tuple[SubjectKey, int]] = {}  # name -> key, inode of its file

    def key_for(self, tenant: str, subject: str) -> SubjectKey:
        """The key of a person's data, made when there is none; on the disk before it is answered.

        Raises:
            OSError: it could not be kept.
        """
        name = self._name(tenant, subject)
        known = self._remembered.get(name)
        # Another process may have destroyed it meanwhile: the file is the truth, at about 2 us.
        if known is not None and self._still_there(known):
            return known[0]
        with self._lock:
            key = self._read_or_make(name)
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[name] = key
            return key[0]

    def key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key; None when it was destroyed or never was."""
        if not _KEY_ID.fullmatch(key_id):
            return None
        try:
            sealed = (self._keys / key_id).read_bytes()
        except OSError:
            return None
        return self._opened(sealed, key_id)

    def key_id(self, tenant: str, subject: str) -> str | None:
        """Id of the key of a person's data; None when there is none."""
        try:
            return (self._index / self._name(tenant, subject)).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None

    def destroy(self, tenant: str, subject: str) -> str | None:
        """Destroys the key of a person's data for good; the id of the key, None when there was none."""
        name = self._name(tenant, subject)
        entry = self._index / name
        with self._lock:
            self._remembered.pop(name, None)
            key_id = self.key_id(tenant, subject)
            if key_id is None:
                return None
            # The key first: an index that leads nowhere is made anew, a key that no index names would stay.
            self._wipe(self._keys / key_id)
            self._wipe(entry)
            self._sync()
        return key_id

    def _name(self, tenant: str, subject: str) -> str:
        text = f"{len(tenant)}:{tenant}{subject}".encode("utf-8", "replace")
        return hmac.digest(self._index_key, text, "sha256").hex()[:48]

    def _read_index_key(self) -> bytes:
        """The key of the names, made with the directory; sealed like the others."""
        file = self._path / "index"
        if not file.exists():
            draft = self._path / f".index.{secrets.token_hex(8)}"
            self._write(draft, self._sealed(secrets.token_bytes(32), "index"))
            try:
                with contextlib.suppress(FileExistsError):  # another process was first
                    os.link(draft, file)
            finally:
                draft.unlink()
        key = self._opened(file.read_bytes(), "index")
        if key is None:
            message = "the key of the ring that these keys of persons are sealed with is missing"
            raise ConfigError([Fault(file=os.fspath(self._path), message=message)])
        return key

    def _still_there(self, known: tuple[SubjectKey, int]) -> bool:
        try:
            return os.stat(f"{self._keys}/{known[0].id}").st_ino == known[1]  # noqa: PTH116  # half the time of a Path
        except OSError:
            return False

    def _read_or_make(self, name: str) -> tuple[SubjectKey, int]:
        entry = self._index / name
        for _ in range(16):
            try:
                key_id = entry.read_text(encoding="ascii").strip()
            except FileNotFoundError:
                self._make(entry)
                continue
            key = self.key(key_id) if _KEY_ID.fullmatch(key_id) else None
            if key is not None:
                return SubjectKey(key_id, key), (self._keys / key_id).stat().st_ino
            if (self._keys / key_id).exists():
                raise OSError(f"the key {key_id} of a person cannot be opened: its key of the ring is missing")
            self._wipe(entry)  # half destroyed
        raise OSError("the keys of persons change all the time")

    def _make(self, entry: Path) -> None:
        key_id, key = secrets.token_hex(12), secrets.token_bytes(32)
        self._write(self._keys / key_id, self._sealed(key, key_id))
        draft = entry.with_name(f".{key_id}")
        self._write(draft, key_id.encode())
        try:
            os.link(draft, entry)
        except FileExistsError:  # another process was first
            self._wipe(self._keys / key_id)
        finally:
            draft.unlink()
        self._sync()

    def _sealed(self, key: bytes, key_id: str) -> bytes:
        ring_id = self._ring.current_id
        outer = self._ring.key(ring_id)
        if outer is None:
            raise OSError(f"the key {ring_id} of the ring is missing")
        nonce = os.urandom(12)
        cipher = AESGCM(derived_key(outer, "subject key", key_id))
        return ring_id.encode() + b"\n" + nonce + cipher.encrypt(nonce, key, key_id.encode())

    def _opened(self, sealed: bytes, key_id: str) -> bytes | None:
        ring_id, _, rest = sealed.partition(b"\n")
        outer = self._ring.key(ring_id.decode("ascii", "replace"))
        if outer is None:
            return None
        try:
            return AESGCM(derived_key(outer, "subject key", key_id)).decrypt(rest[:12], rest[12:], key_id.encode())
        except (InvalidTag, ValueError):
            return None

    @staticmethod
    def _write(file: Path, content: bytes) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    @staticmethod
    def _wipe(file: Path) -> None:
        """Overwrites a file and removes it. On a disk that writes elsewhere the old blocks hold a sealed key only."""
        with contextlib.suppress(FileNotFoundError):
            size = file.stat().st_size
            with file.open("r+b") as stream:
                stream.write(bytes(size))
                stream.flush()
                os.fsync(stream.fileno())
            file.unlink()

    def _sync(self) -> None:
        for directory in (self._index, self._keys):
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
