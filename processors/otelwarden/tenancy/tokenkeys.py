"""The keys that tokens are verified with: read from a file or the environment, and pinned to their algorithms."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from otelwarden.core import ConfigError, Fault

if TYPE_CHECKING:
    from otelwarden.tenancy.tokenconfig import TokenConfig

MIN_RSA_BITS: Final = 2048
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC: Final[Mapping[str, str]] = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_HMAC_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518, section 3.2: a key as large as the hash at least."""

_MAX_KEY_FILE: Final = 1 << 20


class Key(NamedTuple):
    """A key, and what it may be used for."""

    key_id: str | None
    """The `kid` that tokens name it by; None for one that needs no name."""
    algorithms: frozenset[str]
    key: Any


class Keys:
    """The keys in force.

    Args:
        keys: at least one.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def find(self, algorithm: str, key_id: object) -> Any | None:
        """The one key that a token of this algorithm can be verified with; None when none or several can.

        Args:
            key_id: the `kid` of the token's header; None if it names none.
        """
        fitting = [
            each.key
            for each in self._keys
            if algorithm in each.algorithms and (each.key_id is None or key_id is None or each.key_id == key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None


def read_keys(config: TokenConfig) -> Keys:
    """The keys that a configuration names.

    Raises:
        ConfigError: a file or variable cannot be read, or holds something else than keys for these algorithms.
    """
    algorithms = frozenset(config.algorithms)
    if config.secret_env is not None:
        where = f"environment variable {config.secret_env}"
        secret = os.environ.get(config.secret_env, "").encode("utf-8", "surrogateescape")
        return Keys([Key(None, algorithms, _secret(secret, algorithms, where))])
    path = config.key_file
    content = _read(path)
    if config.secret_file is not None:
        return Keys([Key(None, algorithms, _secret(content.strip(), algorithms, path))])
    if config.public_key_file is not None:
        key = _from_pem(path, content)
        if not (usable := _usable(key) & algorithms):
            allowed = f"RSA of {MIN_RSA_BITS} bits, EC or Ed25519, for {', '.join(sorted(algorithms))}"
            raise _refuse(path, "a key for none of the algorithms", type(key).__name__, allowed)
        return Keys([Key(None, usable, key)])
    return Keys(_from_jwks(path, content, algorithms))


def _refuse(where: str, message: str, given: object = None, allowed: str = "", pointer: str = "") -> ConfigError:
    return ConfigError([Fault(file=where, pointer=pointer, message=message, given=given, allowed=allowed)])


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as source:
            content = source.read(_MAX_KEY_FILE + 1)
    except OSError as error:
        raise _refuse(path, f"cannot be read: {error.strerror or error}") from error
    if len(content) > _MAX_KEY_FILE:
        raise _refuse(path, "too large for a key", allowed=f"at most {_MAX_KEY_FILE} bytes")
    return content


def _secret(secret: bytes, algorithms: frozenset[str], where: str) -> bytes:
    needed = max(_HMAC_BYTES[algorithm] for algorithm in algorithms)
    if b"-----BEGIN" in secret or secret.startswith(b"ssh-"):
        # One who signs with the public key as the secret, which everybody has, is the classical forgery.
        raise _refuse(where, "is the text of a key pair, not a secret")
    if len(secret) < needed:
        raise _refuse(where, "too short a secret", f"{len(secret)} bytes", f"at least {needed} bytes")
    return secret


def _from_pem(path: str, content: bytes) -> Any:
    try:
        return load_pem_public_key(content)
    except Exception as error:  # ValueError, UnsupportedAlgorithm, and what OpenSSL thinks of
        raise _refuse(path, "not a public key in PEM") from error


def _usable(key: Any) -> frozenset[str]:
    """The algorithms that a public key can be used with."""
    if isinstance(key, RSAPublicKey):
        return _RSA if key.key_size >= MIN_RSA_BITS else frozenset()
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset({_EC[key.curve.name]} if key.curve.name in _EC else ())
    return frozenset({"EdDSA"} if isinstance(key, Ed25519PublicKey) else ())


def _from_jwks(path: str, content: bytes, algorithms: frozenset[str]) -> list[Key]:
    try:
        document = json.loads(content)
        entries = document["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _refuse(path, "not a set of keys", allowed='JSON like {"keys": [...]} (RFC 7517)') from error
    found = [
        _from_jwk(path, f"/keys/{index}", entry, algorithms)
        for index, entry in enumerate(entries)
        if not (isinstance(entry, dict) and entry.get("use", "sig") != "sig")
    ]
    keys = [key for key in found if key.algorithms]  # an issuer publishes keys for others too
    names = [key.key_id for key in keys]
    if not keys:
        raise _refuse(path, "no key for any of the algorithms", allowed=", ".join(sorted(algorithms)))
    if len(keys) > 1 and (None in names or len(set(names)) < len(names)):
        raise _refuse(path, "keys that cannot be told apart", allowed="one key, or several with a `kid` of their own")
    return keys


def _from_jwk(path: str, pointer: str, entry: Any, algorithms: frozenset[str]) -> Key:
    import jwt

    if not isinstance(entry, dict) or "d" in entry or "k" in entry:
        raise _refuse(path, "not a public key", allowed="keys of type RSA, EC or OKP without their secret part",
                      pointer=pointer)  # fmt: skip
    try:
        key = jwt.PyJWK(entry).key
    except Exception as error:  # whatever a file that others wrote makes of the library
        raise _refuse(path, "not a public key", allowed="RFC 7517", pointer=pointer) from error
    key_id, named = entry.get("kid"), entry.get("alg")
    if key_id is not None and not isinstance(key_id, str):
        raise _refuse(path, "wrong type", key_id, "text", f"{pointer}/kid")
    return Key(key_id, _usable(key) & (algorithms if named is None else algorithms & {named}), key)
