"""Bodies at rest: as they are, or encrypted with AES-256-GCM."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from otelwarden.core import ConfigError, Fault

_NONCE: Final = 12
_ALLOWED: Final = "a file with 32 bytes as base64"


class Cipher(Protocol):
    """How bodies are written."""

    key_id: int | None
    """Names the key in a record; None when there is none."""

    def encrypt(self, body: bytes, meta: bytes) -> bytes:
        """What is written for `body`; `meta` is bound to it."""
        ...

    def decrypt(self, written: bytes, meta: bytes) -> bytes | None:
        """The body again; None when it or `meta` is not what was written."""
        ...


class Plain:
    """Bodies as they are."""

    key_id: int | None = None

    def encrypt(self, body: bytes, meta: bytes) -> bytes:
        """See `Cipher.encrypt`."""
        return body

    def decrypt(self, written: bytes, meta: bytes) -> bytes | None:
        """See `Cipher.decrypt`."""
        return written


class AesGcm:
    """Bodies under a key of 32 bytes: a random nonce of 12 bytes, then the ciphertext and its tag."""

    def __init__(self, key: bytes) -> None:
        self.key_id: int | None = int.from_bytes(hashlib.sha256(b"otelwarden spool" + key).digest()[:4], "big")
        self._aead = AESGCM(key)

    def encrypt(self, body: bytes, meta: bytes) -> bytes:
        """See `Cipher.encrypt`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, body, meta)

    def decrypt(self, written: bytes, meta: bytes) -> bytes | None:
        """See `Cipher.decrypt`."""
        try:
            return self._aead.decrypt(written[:_NONCE], written[_NONCE:], meta)
        except (InvalidTag, ValueError):
            return None


def load_cipher(key_file: str | None) -> Cipher:
    """The cipher of a key file; plain without one.

    Raises:
        ConfigError: the file cannot be read, or holds no key.
    """
    if key_file is None:
        return Plain()
    try:
        key = base64.b64decode(Path(key_file).read_text(encoding="ascii").strip(), validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        message = f"no key can be read: {error.strerror if isinstance(error, OSError) else 'not base64'}"
        raise ConfigError([Fault(pointer="/key_file", message=message, given=key_file, allowed=_ALLOWED)]) from error
    if len(key) != 32:
        message = f"a key of {len(key)} bytes"
        raise ConfigError([Fault(pointer="/key_file", message=message, given=key_file, allowed=_ALLOWED)])
    return AesGcm(key)
