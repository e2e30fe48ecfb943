"""Checkpoints: what the trail was at one moment, signed.

A checkpoint is a C2SP checkpoint (c2sp.org/tlog-checkpoint) in a C2SP signed note (c2sp.org/signed-note): origin, tree
size and root hash, then lines of our own, each a word, a space and its value; a blank line, and the signature. A file
of checkpoints is nothing but notes in a row: no line of a note's text is blank, and none starts as a signature does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from otelwarden.audit.keys import KEY_NAME, SigningKey, VerifyingKey

ORIGIN: Final = "otelwarden/audit/"
"""What the origin of every checkpoint starts with; the stream id follows."""

_SIGNATURE_MARK: Final = "— ".encode()
_SIGNATURE_LINE: Final = len(_SIGNATURE_MARK) + len(KEY_NAME) + 1 + 92 + 1
"""Bytes of the signature line that we write: base64 of 4 + 64 bytes is 92 characters."""

_WORDS: Final = ("stream", "number", "time", "interval", "state", "key", "config", "accounting")

State = Literal["open", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state of one stream."""

    stream: str
    number: int
    """Counts the checkpoints of the stream from 0, so that one that is missing shows."""
    size: int
    """Records sealed."""
    root: bytes
    """RFC 6962 Merkle tree hash over them."""
    time_ns: int
    """Nanoseconds since the Unix epoch."""
    interval_ns: int
    """The longest time to the next one, nanoseconds: what the writer promised."""
    state: State
    """`close` for the last one of a stream that ended in order."""
    key_id: str
    config_digest: str
    """Digest of the configuration in force; empty when there is none."""
    account_records: int
    """How many records, the last of those sealed, are the accounting table of this checkpoint."""
    account_digest: bytes
    """SHA-256 over these records, each followed by a line feed."""

    def text(self) -> bytes:
        """What is signed."""
        accounting = f"{self.account_records} {base64.b64encode(self.account_digest).decode()}"
        lines = (
            f"{ORIGIN}{self.stream}",
            f"{self.size}",
            base64.b64encode(self.root).decode(),
            f"stream {self.stream}",
            f"number {self.number}",
            f"time {self.time_ns}",
            f"interval {self.interval_ns}",
            f"state {self.state}",
            f"key {self.key_id}",
            f"config {self.config_digest or '-'}",
            f"accounting {accounting}",
        )
        return ("\n".join(lines) + "\n").encode("ascii")

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """The checkpoint that a text is.

        Raises:
            ValueError: it is none, or not exactly as we write it.
        """
        origin, size, root, *extensions = text.decode("ascii").split("\n")[:-1]
        words = [line.partition(" ") for line in extensions]
        if tuple(word for word, _, _ in words) != _WORDS:
            raise ValueError("other lines than expected")
        of = {word: value for word, _, value in words}
        count, _, digest = of["accounting"].partition(" ")
        checkpoint = cls(
            stream=of["stream"],
            number=int(of["number"]),
            size=int(size),
            root=base64.b64decode(root, validate=True),
            time_ns=int(of["time"]),
            interval_ns=int(of["interval"]),
            state="close" if of["state"] == "close" else "open",
            key_id=of["key"],
            config_digest="" if of["config"] == "-" else of["config"],
            account_records=int(count),
            account_digest=base64.b64decode(digest, validate=True),
        )
        if checkpoint.text() != text or origin != ORIGIN + checkpoint.stream:
            raise ValueError("not as it would be written")
        return checkpoint


def account_digest(records: Iterable[bytes]) -> bytes:
    """The digest that a checkpoint carries of its accounting table."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record + b"\n")
    return digest.digest()


def sign(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The signed note."""
    text = checkpoint.text()
    return text + b"\n" + signature_line(text, key)


def signature_line(text: bytes, key: SigningKey) -> bytes:
    """The line of a note that says that a key signed its text."""
    signature = base64.b64encode(bytes.fromhex(key.key_id) + key.sign(text))
    return _SIGNATURE_MARK + KEY_NAME.encode() + b" " + signature + b"\n"


class Note(NamedTuple):
    """A signed note as it stands in a file."""

    text: bytes
    signatures: tuple[bytes, ...]
    """The lines of the signatures, without line feeds."""


class NoteFile(NamedTuple):
    """What a file of checkpoints holds."""

    notes: list[Note]
    rest: bytes
    """What follows the last complete note."""

    @property
    def torn(self) -> bool:
        """Whether the rest is the start of a note of ours whose writing was cut short, and not a damaged one."""
        return is_torn(self.rest)


def is_torn(piece: bytes) -> bool:
    """Whether a piece is the start of a note of ours and not all of it; no piece at all is one, too."""
    _, blank, signature = piece.partition(b"\n\n")
    if not blank:
        return _SIGNATURE_MARK.strip() not in piece
    start = _SIGNATURE_MARK + KEY_NAME.encode() + b" "
    return len(signature) < _SIGNATURE_LINE and signature[: len(start)] == start[: len(signature)]


def split_notes(data: bytes) -> NoteFile:
    """The notes that stand in a row in `data`."""
    notes: list[Note] = []
    start = 0
    while (blank := data.find(b"\n\n", start)) >= 0:
        signatures = []
        end = blank + 2
        while data.startswith(_SIGNATURE_MARK, end) and (line_end := data.find(b"\n", end)) >= 0:
            signatures.append(data[end:line_end])
            end = line_end + 1
        if not signatures:
            break
        notes.append(Note(data[start : blank + 1], tuple(signatures)))
        start = end
    return NoteFile(notes, data[start:])


class SignatureFault(NamedTuple):
    """Why a note is not believed."""

    unknown: bool
    """No known key signed it; otherwise a known one seems to have, but did not."""
    message: str


def signature_fault(note: Note, keys: Mapping[str, VerifyingKey]) -> SignatureFault | None:
    """What is wrong with the signatures of a note; None when a known key signed it and no known key denies it.

    Args:
        keys: the known keys by key id.
    """
    found = False
    for line in note.signatures:
        parsed = _parse_signature(line)
        if parsed is None:
            return SignatureFault(False, "a signature line is malformed")
        name, key_id, signature = parsed
        key = keys.get(key_id)
        if key is None or key.name != name:
            continue
        if not key.signed(note.text, signature):
            return SignatureFault(False, f"the signature of key {key_id} does not match")
        found = True
    return None if found else SignatureFault(True, f"no known key signed it (known: {_listed(sorted(keys))})")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _parse_signature(line: bytes) -> tuple[str, str, bytes] | None:
    name, _, encoded = line[len(_SIGNATURE_MARK) :].rpartition(b" ")
    try:
        data = base64.b64decode(encoded, validate=True)
        # Base64 has spare bits: two texts may decode to the same bytes, and only one of them was written.
        if base64.b64encode(data) != encoded or len(data) < 5 or not name:
            return None
        return name.decode(), data[:4].hex(), data[4:]
    except (binascii.Error, UnicodeDecodeError):
        return None
