"""The keys of the trail: Ed25519, named and written as C2SP signed-note wants them (c2sp.org/signed-note).

A key id is the first four bytes of `SHA-256(name || 0x0A || 0x01 || public key)`. A public key is kept as a verifier
key: `<name>+<key id, hex>+<base64 of 0x01 || public key>`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from otelwarden.core import ConfigError, Fault

KEY_NAME: Final = "otelwarden"
"""The name under which keys sign. Which key it was says the key id, which the name is a part of."""

PRIVATE_KEY_FILE: Final = "key.pem"
PUBLIC_KEYS: Final = "keys"

_ALGORITHM: Final = b"\x01"  # Ed25519 in C2SP signed-note
_COSIGNATURE: Final = b"\x04"  # timestamped Ed25519 witness cosignature there
_REMEMBERED: Final = 1024  # good signatures; half a megabyte
_RAW: Final = serialization.Encoding.Raw
_ALLOWED: Final = "PEM with an unencrypted PKCS#8 Ed25519 private key, or its 32 bytes as base64"


class VerifyingKey:
    """A public key.

    Attributes:
        key_id: eight hexadecimal digits, the C2SP key id.
    """

    def __init__(self, public: Ed25519PublicKey, *, name: str = KEY_NAME) -> None:
        self._public = public
        self._bytes = public.public_bytes(_RAW, serialization.PublicFormat.Raw)
        self.name = name
        self.key_id = self.id_as(name, _ALGORITHM)
        self._good: set[tuple[bytes, bytes]] = set()

    def id_as(self, name: str, algorithm: bytes) -> str:
        """The C2SP key id of this key under a name and for an algorithm."""
        return hashlib.sha256(name.encode() + b"\n" + algorithm + self._bytes).digest()[:4].hex()

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id}+{base64.b64encode(_ALGORITHM + self._bytes).decode()}"

    @classmethod
    def parse(cls, text: str) -> VerifyingKey:
        """The key that a C2SP verifier key text names, or a PEM public key.

        Raises:
            ValueError: it is neither, or its key id does not belong to its key.
        """
        text = text.strip()
        if text.startswith("-----BEGIN"):
            return cls._parse_pem(text)
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        data = base64.b64decode(encoded, validate=True)
        if not name or data[:1] != _ALGORITHM or len(data) != 33:
            raise ValueError("not an Ed25519 verifier key")
        key = cls(Ed25519PublicKey.from_public_bytes(data[1:]), name=name)
        if str(key) != text or key.key_id != key_id:
            raise ValueError("the key id is not that of the key")
        return key

    @classmethod
    def _parse_pem(cls, text: str) -> VerifyingKey:
        key = serialization.load_pem_public_key(text.encode())
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("not an Ed25519 public key")
        return cls(key)

    @classmethod
    def read(cls, key: str | os.PathLike[str]) -> VerifyingKey:
        """The public key that a text or a file holds.

        Args:
            key: a C2SP verifier key, or a file with one or with PEM.

        Raises:
            ConfigError: it is neither, or the file cannot be read.
        """
        text = os.fspath(key)
        file = ""
        try:
            if "+" not in text or Path(text).exists():
                file, text = text, Path(text).read_text(encoding="ascii", errors="replace")
            return cls.parse(text)
        except OSError as error:
            raise ConfigError([Fault(file=file, message=f"cannot be read: {error.strerror}")]) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            allowed = "a C2SP verifier key, or PEM with an Ed25519 public key"
            raise ConfigError([Fault(file=file, message=f"no public key: {error}", allowed=allowed)]) from error

    def signed(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `text`.

        Some that were good are remembered: a checkpoint that stands in a trail stands at its witness as well, and half
        the time that the verification of a short trail takes is that of its signatures.
        """
        if (text, signature) in self._good:
            return True
        try:
            self._public.verify(signature, text)
        except InvalidSignature:
            return False
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good.add((text, signature))
        return True


def cosigner_id(key: VerifyingKey, name: str) -> str:
    """The key id under which a witness of that name cosigns, eight hexadecimal digits (c2sp.org/tlog-cosignature)."""
    return key.id_as(name, _COSIGNATURE)


class SigningKey:
    """A private key and the public one that belongs to it."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.verifying_key = VerifyingKey(private.public_key())

    @property
    def key_id(self) -> str:
        """Eight hexadecimal digits, the C2SP key id."""
        return self.verifying_key.key_id

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SigningKey:
        """The key in a file.

        Raises:
            ConfigError: the file cannot be read or holds another kind of key; what it holds is not quoted.
        """
        file = os.fspath(path)
        try:
            data = Path(path).read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                [Fault(file=file, message=f"key file cannot be read: {error.strerror}", allowed=_ALLOWED)]
            ) from error
        try:
            return cls(_private_key(data))
        except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
            # Not chained: the text of the error may quote the key.
            raise ConfigError([Fault(file=file, message="not an Ed25519 private key", allowed=_ALLOWED)]) from None

    @classmethod
    def beside(cls, directory: Path) -> SigningKey:
        """The key kept in the trail's own directory, made there (mode 0600) when there is none.

        Processes that start together agree on one: the file appears complete or not at all, and the first one wins.

        Raises:
            ConfigError: the file there holds another kind of key.
            OSError: it can be neither read nor written.
        """
        file = directory / PRIVATE_KEY_FILE
        if not file.exists():
            draft = directory / f".{PRIVATE_KEY_FILE}.{secrets.token_hex(4)}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(cls.generate().to_pem())
                    stream.flush()
                    os.fsync(stream.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(draft, file)
            finally:
                draft.unlink()
        return cls.load(file)

    def sign(self, text: bytes) -> bytes:
        """The signature, 64 bytes (RFC 8032)."""
        return self._private.sign(text)

    def to_pem(self) -> bytes:
        """The private key as unencrypted PKCS#8."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _private_key(data: bytes) -> Ed25519PrivateKey:
    if data.startswith(b"-----BEGIN"):
        key = serialization.load_pem_private_key(data, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("another kind of key")
        return key
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(data, validate=True))


def publish(directory: Path, key: VerifyingKey) -> Path:
    """Writes the public key beside the trail, as `keys/<key id>.pub`; answers where."""
    file = directory / PUBLIC_KEYS / f"{key.key_id}.pub"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        draft.write_text(f"{key}\n", encoding="ascii")
        draft.replace(file)
    return file


def published_keys(directory: Path) -> list[VerifyingKey]:
    """The public keys beside a trail; files that hold none are left out, so that what they signed is unknown."""
    keys = []
    for file in sorted((directory / PUBLIC_KEYS).glob("*.pub")):
        with contextlib.suppress(ValueError, OSError, UnsupportedAlgorithm):
            keys.append(VerifyingKey.parse(file.read_text(encoding="ascii")))
    return keys
