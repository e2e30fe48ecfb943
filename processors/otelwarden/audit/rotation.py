"""Rotation of the key: a statement signed by the old key and the new one, and the chain of keys that follows from it.

Statements stand in a row in `<path>/keys/rotations`, as C2SP signed notes. Whoever verifies needs the first key alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from otelwarden.audit.checkpoints import Checkpoint, Note, signature_fault, signature_line, split_notes
from otelwarden.audit.keys import PUBLIC_KEYS, SigningKey, VerifyingKey, publish
from otelwarden.core import ConfigError, Fault

ORIGIN: Final = "otelwarden/audit-key-rotation"
ROTATIONS: Final = "rotations"

_GRACE_NS: Final = 60_000_000_000
"""How long after a rotation a stream may still begin under the old key: a process that had loaded it was starting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One key takes the place of another."""

    old: VerifyingKey
    new: VerifyingKey
    time_ns: int
    """Nanoseconds since the Unix epoch."""

    def text(self) -> bytes:
        """What both keys sign."""
        return f"{ORIGIN}\n{self.old}\n{self.new}\ntime {self.time_ns}\n".encode("ascii")

    @classmethod
    def parse(cls, text: bytes) -> Rotation:
        """The rotation that a text states.

        Raises:
            ValueError: it states none, or not exactly as we write it.
        """
        _, old, new, time = text.decode("ascii").split("\n")[:-1]
        found = cls(old=VerifyingKey.parse(old), new=VerifyingKey.parse(new), time_ns=int(time.removeprefix("time ")))
        if found.text() != text:
            raise ValueError("not as it would be written")
        return found


def rotate(directory: Path, *, old: SigningKey, new: SigningKey, time_ns: int) -> Rotation:
    """States in a trail's directory that `new` takes the place of `old`; durable when it returns.

    Raises:
        ConfigError: both are the same key.
        OSError: it cannot be written.
    """
    if old.key_id == new.key_id:
        raise ConfigError([Fault(message="the new key is the old one", given=new.key_id)])
    rotation = Rotation(old=old.verifying_key, new=new.verifying_key, time_ns=time_ns)
    text = rotation.text()
    note = text + b"\n" + signature_line(text, old) + signature_line(text, new)
    publish(directory, new.verifying_key)
    descriptor = os.open(directory / PUBLIC_KEYS / ROTATIONS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(descriptor, note)  # one write: statements of several processes do not mix
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return rotation


def first_key(directory: Path, key: VerifyingKey) -> VerifyingKey:
    """The key that a trail began with, found from a later one: as the statements lead to it that the later key signed.

    Each is signed by the key that came after, so whoever trusts that one can trust its word about the one before.

    Raises:
        OSError: the statements cannot be read.
    """
    file = directory / PUBLIC_KEYS / ROTATIONS
    for note in reversed(split_notes(file.read_bytes()).notes if file.exists() else ()):
        try:
            rotation = Rotation.parse(note.text)
        except ValueError:
            continue
        if str(rotation.new) == str(key) and _is_signed(note, rotation):
            key = rotation.old
    return key


def _is_signed(note: Note, rotation: Rotation) -> bool:
    """Whether both keys signed a statement."""
    return not any(signature_fault(note, {key.key_id: key}) for key in (rotation.old, rotation.new))


class Term(NamedTuple):
    """How long a key was in office, nanoseconds since the Unix epoch."""

    since_ns: int | None
    """None: from the beginning."""
    until_ns: int | None
    """None: it still is."""


class KeyChain:
    """The keys that may have signed, and when.

    Args:
        first: keys that are trusted from the beginning.
        statements: of the trail, in order. Those that do not continue the chain, or are not signed by both keys, count
            for nothing: what their new key signed is then signed by an unknown one.
    """

    def __init__(self, first: Iterable[VerifyingKey], statements: Iterable[Note] = ()) -> None:
        self._keys = {key.key_id: key for key in first}
        self._terms = dict.fromkeys(self._keys, Term(None, None))
        for note in statements:
            self._follow(note)

    @classmethod
    def of(cls, directory: Path, first: Iterable[VerifyingKey]) -> KeyChain:
        """The chain that begins with `first` and goes on as a trail states it; raises OSError."""
        file = directory / PUBLIC_KEYS / ROTATIONS
        return cls(first, split_notes(file.read_bytes()).notes if file.exists() else ())

    def _follow(self, note: Note) -> None:
        try:
            rotation = Rotation.parse(note.text)
        except ValueError:
            return
        old, new = rotation.old, rotation.new
        if str(self._keys.get(old.key_id)) != str(old):
            return
        if not _is_signed(note, rotation):
            return
        known = self._terms.get(new.key_id)
        if known is not None and known.since_ns is not None:
            return  # a key takes office once
        self._keys[new.key_id] = new
        self._terms[new.key_id] = Term(rotation.time_ns, None)
        self._terms[old.key_id] = self._terms[old.key_id]._replace(until_ns=rotation.time_ns)

    @property
    def keys(self) -> Mapping[str, VerifyingKey]:
        """By key id."""
        return self._keys

    def misuse(self, checkpoint: Checkpoint, began_ns: int) -> str | None:
        """What is wrong with a checkpoint's being signed by its key at its time; None when nothing is.

        Args:
            began_ns: time of the first checkpoint of its stream: one that began before a rotation may end after it.
        """
        since_ns, until_ns = self._terms[checkpoint.key_id]
        if since_ns is not None and checkpoint.time_ns < since_ns:
            return f"it is signed by key {checkpoint.key_id}, which is younger than it"
        if until_ns is not None and began_ns > until_ns + _GRACE_NS:
            return f"its stream began under key {checkpoint.key_id}, which had been replaced"
        return None
