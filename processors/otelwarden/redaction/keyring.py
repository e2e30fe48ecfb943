"""Where keys come from: a file, the environment, or a function; never from the text of a configuration.

Key text is lines of `<id> <32 bytes as base64>`; the last one is current, so a key is rotated by adding a line. A line
that is only base64 is named by the first eight hexadecimal digits of its SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from otelwarden.core import SYSTEM_CLOCK, Clock, ConfigError, Fault, Runtime, WatchedFile, Watcher, default_runtime

KEY_BYTES: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ALLOWED: Final = "lines of `<id> <32 bytes as base64>`, for instance from `openssl rand -base64 32`"

KeySource = Callable[[], Mapping[str, bytes]]
"""A function that answers the keys by id, the current one last; asked once."""


class FixedKeyRing:
    """Keys that are known from the start.

    Args:
        keys: 32 bytes each, by id; the last is current.

    Raises:
        ConfigError: there is none, or one is malformed. No key is quoted.
    """

    def __init__(self, keys: Mapping[str, bytes], *, origin: str = "") -> None:
        faults = []
        if not keys:
            faults.append(Fault(file=origin, message="holds no key", allowed=_ALLOWED))
        for key_id, key in keys.items():
            if not _ID.fullmatch(key_id):
                message = "malformed key id"
                faults.append(
                    Fault(file=origin, message=message, given=key_id, allowed="1-64 letters, digits, `_`, `-`")
                )
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                faults.append(Fault(file=origin, message=f"the key `{key_id}` has not {KEY_BYTES} bytes"))
        if faults:
            raise ConfigError(faults)
        self._keys = dict(keys)
        self._current = next(reversed(self._keys))

    @property
    def current_id(self) -> str:
        """Id of the key that new things are made with."""
        return self._current

    def key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key; None when it is not there."""
        return self._keys.get(key_id)

    @classmethod
    def from_environment(cls, name: str, environment: Mapping[str, str] | None = None) -> FixedKeyRing:
        """The keys in a variable of the environment; lines may be separated by commas.

        Raises:
            ConfigError: it is not set, or holds no keys.
        """
        text = (os.environ if environment is None else environment).get(name)
        if not text:
            raise ConfigError([Fault(message=f"environment variable {name} is not set", allowed=_ALLOWED)])
        return cls(parse_keys(text.replace(",", "\n"), origin=f"${name}"), origin=f"${name}")

    @classmethod
    def from_callable(cls, source: KeySource) -> FixedKeyRing:
        """The keys that a function answers; a vault's client, say.

        Raises:
            ConfigError: it raises, or answers no keys. Only the type of its error is told.
        """
        try:
            keys = source()
        except Exception as error:
            raise ConfigError([Fault(message=f"the source of keys failed with {type(error).__name__}")]) from None
        return cls(keys, origin="callable")


class FileKeyRing:
    """The keys in a file, which is read again when it changed; the last good ones are kept when the new ones are bad.

    Args:
        path: a file that nobody but its owner may read.

    Raises:
        ConfigError: the file cannot be read, others may read or write it, or it holds no keys.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK, runtime: Runtime | None = None
    ) -> None:
        self._runtime = runtime or default_runtime()
        self._file = WatchedFile(path, clock=clock)
        self._file.changed()
        self._ring = _read_file(self._file.path)
        self._watcher = Watcher(self, name="redaction-keys")

    def watch(self, interval: float = 0.5) -> None:
        """Looks at the file every `interval` seconds from now on."""
        self._watcher.start(interval)

    @property
    def current_id(self) -> str:
        """Id of the key that new things are made with."""
        return self._ring.current_id

    def key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key; None when it is not there."""
        return self._ring.key(key_id)

    def reload(self) -> bool:
        """Reads the file if it changed; whether other keys are in force now. Never raises."""
        if not self._file.changed():
            return False
        try:
            ring = _read_file(self._file.path)
        except ConfigError as error:
            message = "redaction keys refused, the last good ones stay in force: %s"
            self._runtime.log.warning(f"redaction keys {self._file.path}", message, error)
            self._runtime.emit("redaction", "reload", "refused", target="keys")
            return False
        before, self._ring = self._ring, ring
        if ring.current_id != before.current_id:
            self._runtime.emit("redaction", "key_rotated", "keys", target=ring.current_id)
        return True


def _read_file(path: Path) -> FixedKeyRing:
    file = os.fspath(path)
    try:
        with path.open("rb") as source:
            mode = os.fstat(source.fileno()).st_mode
            text = source.read(1 << 20).decode("utf-8")
    except OSError as error:
        raise ConfigError([Fault(file=file, message=f"key file cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault(file=file, message="is no UTF-8", allowed=_ALLOWED)]) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        message, given = "a key file that others may read or write", oct(stat.S_IMODE(mode))
        raise ConfigError([Fault(file=file, message=message, given=given, allowed="0o600 or 0o400")])
    return FixedKeyRing(parse_keys(text, origin=file), origin=file)


def parse_keys(text: str, *, origin: str) -> dict[str, bytes]:
    """The keys in a key text, by id.

    Raises:
        ConfigError: a line is malformed, or two keys have one id. The text is not quoted.
    """
    keys: dict[str, bytes] = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        *names, encoded = line.split()
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES or len(names) > 1:
            faults.append(Fault(file=origin, message=f"no key in line {number}", allowed=_ALLOWED))
            continue
        key_id = names[0] if names else hashlib.sha256(key).hexdigest()[:8]
        if key_id in keys:
            faults.append(Fault(file=origin, message=f"a key id twice, in line {number}", given=key_id))
        keys[key_id] = key
    if faults:
        raise ConfigError(faults)
    return keys
