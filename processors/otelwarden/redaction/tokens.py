"""Actions with keys: a hit becomes a token, which tells equal from equal or can be read again with the key.

    hash.<key id>.<hex>                     HMAC-SHA-256 of the hit
    pseudo.<key id>.<period>.<hex>          the same under a key of its tenant, its entity and the period
    enc.<key id>.<base64url>                AES-256-GCM under a key of the ring
    encs.<key id>.<base64url>               AES-256-GCM under the key of one person

Keys of the ring are never used directly: for each use one is derived by HKDF (RFC 5869), so none serves two ends.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from otelwarden.core import KeyRing
from otelwarden.redaction.actions import HitFacts, Keys

Period: TypeAlias = Literal["none", "day", "month", "year"]

TOKEN: Final = re.compile(r"\b(encs?)\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{38,})")
"""A token that a key may read again."""

_FORMATS: Final[dict[str, str]] = {"none": "-", "day": "%Y%m%d", "month": "%Y%m", "year": "%Y"}
_NONCE: Final = 12
_SALT: Final = 16
_RENEW_AFTER: Final = 1 << 24
"""Messages under one derived key. Random nonces are safe to 2^32 (NIST SP 800-38D, section 8.3)."""


class KeyMissing(Exception):
    """Raised when a key that was there at the start is not there any more; the stage fails on the item, closed."""


def derived_key(key: bytes, *purpose: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF-SHA-256)."""
    # Each part with its length, so that no two lists of parts are one text.
    info = b"otelwarden.redaction" + b"".join(b"%d:" % len(part.encode()) + part.encode() for part in purpose)
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key)


_remembered_key = lru_cache(maxsize=4096)(derived_key)


def _current(keys: Keys) -> tuple[str, bytes]:
    ring = keys.ring
    if ring is None:
        raise KeyMissing("no key ring")
    key_id = ring.current_id
    key = ring.key(key_id)
    if key is None:
        raise KeyMissing(key_id)
    return key_id, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """Puts a keyed hash in place of a hit: equal hits have equal hashes, for all tenants and at all times."""

    length: int = 32
    """Hexadecimal digits of the hash."""

    name = "hash"
    strictness = 40
    needs_subjects = False

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The token."""
        key_id, key = _current(facts.keys)
        digest = hmac.digest(_remembered_key(key, "hash"), hit.encode("utf-8", "replace"), "sha256")
        return f"hash.{key_id}.{digest.hex()[: self.length]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudonymise:
    """Puts a pseudonym in place of a hit: equal hits of one entity have equal ones within a tenant and a period."""

    period: Period = "none"
    """How long a hit keeps its pseudonym (UTC, by the item's own time): `none` for ever, `day`, `month`, `year`."""
    per_tenant: bool = True
    """Whether each tenant has a key of its own."""
    length: int = 32
    """Hexadecimal digits of the pseudonym."""

    name = "pseudonymise"
    strictness = 40
    needs_subjects = False

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The token."""
        key_id, key = _current(facts.keys)
        period = "-"
        if self.period != "none":
            moment = datetime.fromtimestamp(facts.item.time_ns // 10**9, tz=timezone.utc)
            period = moment.strftime(_FORMATS[self.period])
        tenant = facts.tenant if self.per_tenant else ""
        own = _remembered_key(key, "pseudonym", facts.entity, tenant, period)
        digest = hmac.digest(own, hit.encode("utf-8", "replace"), "sha256")
        return f"pseudo.{key_id}.{period}.{digest.hex()[: self.length]}"


class _Session:
    """A key derived for this process, so that the random nonces of a fleet do not all meet under one key."""

    def __init__(self, key: bytes) -> None:
        self.salt = os.urandom(_SALT)
        self.cipher = AESGCM(_of_session(key, self.salt))
        self.left = _RENEW_AFTER


def _of_session(key: bytes, salt: bytes) -> bytes:
    return derived_key(key, "encrypt", salt.hex())


_sessions: dict[bytes, _Session] = {}


def _session(key: bytes) -> _Session:
    session = _sessions.get(key)
    if session is None or session.left <= 0:
        if len(_sessions) >= 64:
            _sessions.clear()
        session = _sessions[key] = _Session(key)
    session.left -= 1
    return session


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypt:
    """Encrypts a hit, so that whoever has the key can read it."""

    per_subject: bool = False
    """Whether the key is that of the person whom the item names; without a name the ring's key is used."""

    name = "encrypt"
    strictness = 50

    @property
    def needs_subjects(self) -> bool:
        """Whether it needs the keys of persons, beside the ring."""
        return self.per_subject

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The token."""
        text = hit.encode("utf-8", "replace")
        if self.per_subject:
            subject = facts.item.attributes.get(facts.keys.subject_attribute)
            if subject is not None and subject != "":
                return self._for_subject(text, str(subject), facts)
        key_id, key = _current(facts.keys)
        session = _session(key)
        head = f"enc.{key_id}."
        nonce = os.urandom(_NONCE)
        return head + _encoded(session.salt + nonce + session.cipher.encrypt(nonce, text, head.encode()))

    def _for_subject(self, text: bytes, subject: str, facts: HitFacts) -> str:
        subjects = facts.keys.subjects
        if subjects is None:
            raise KeyMissing("no keys of persons")
        key = subjects.key_for(facts.tenant, subject)
        head = f"encs.{key.id}."
        nonce = os.urandom(_NONCE)
        return head + _encoded(nonce + AESGCM(key.key).encrypt(nonce, text, head.encode()))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read_token(token: str, keys: Keys) -> str | None:
    """What an encrypted token says; None when its key is not there (any more) or it is none of ours."""
    match = TOKEN.fullmatch(token)
    if match is None:
        return None
    kind, key_id, payload = match.groups()
    try:
        data = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        text = (_read_own if kind == "enc" else _read_subjects)(data, f"{kind}.{key_id}.".encode(), key_id, keys)
    except (binascii.Error, InvalidTag, ValueError):
        return None
    return None if text is None else text.decode("utf-8", "replace")


def _read_own(data: bytes, head: bytes, key_id: str, keys: Keys) -> bytes | None:
    ring: KeyRing | None = keys.ring
    key = ring.key(key_id) if ring is not None else None
    if key is None:
        return None
    salt, nonce, sealed = data[:_SALT], data[_SALT : _SALT + _NONCE], data[_SALT + _NONCE :]
    return AESGCM(_of_session(key, salt)).decrypt(nonce, sealed, head)


def _read_subjects(data: bytes, head: bytes, key_id: str, keys: Keys) -> bytes | None:
    key = keys.subjects.key(key_id) if keys.subjects is not None else None
    return None if key is None else AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], head)


class Revelation:
    """Reads the tokens in texts, and counts.

    Attributes:
        revealed: tokens that were read.
        unreadable: tokens whose key is not there.
        key_ids: the keys that were used.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.revealed = 0
        self.unreadable = 0
        self.key_ids: set[str] = set()

    def text(self, text: str) -> str:
        """The text with every token that can be read replaced by what it says."""
        replace: Callable[[re.Match[str]], str] = self._replaced
        return TOKEN.sub(replace, text)

    def _replaced(self, match: re.Match[str]) -> str:
        says = read_token(match[0], self._keys)
        if says is None:
            self.unreadable += 1
            return match[0]
        self.revealed += 1
        self.key_ids.add(match[2])
        return says
