"""What a witness knows, and its judgement of what it is asked to sign. No HTTP in here."""

from __future__ import annotations

import base64
import os
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from otelwarden.audit.checkpoints import Checkpoint, Note, signature_fault, split_notes
from otelwarden.audit.keys import SigningKey, VerifyingKey, cosigner_id
from otelwarden.audit.merkle import roots_of_consistency
from otelwarden.audit.witness_protocol import SIZE_TYPE, cosigned_text, read_request
from otelwarden.core import ConfigError, Fault

STORE: Final = "checkpoints"
"""The file in a witness's directory that holds every checkpoint it signed; `verify` takes it as `against`."""

WITNESS_NAME: Final = "otelwarden-witness"


class Answer(NamedTuple):
    """The answer to a request, in terms of HTTP."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class _Seen(NamedTuple):
    size: int
    root: bytes


class WitnessLedger:
    """Signs a checkpoint when it continues what was signed before, and remembers it on disk first.

    Args:
        directory: where it remembers; made when it is missing. One process at a time.
        keys: of the trails that it witnesses; checkpoints signed by no other are looked at.
        signing_key: signs as the witness.
        time_s: seconds since the Unix epoch.

    Raises:
        ConfigError: the directory cannot be used, or what is remembered there is damaged.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keys: Mapping[str, VerifyingKey],
        signing_key: SigningKey,
        time_s: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._signing_key = signing_key
        self._cosigner = bytes.fromhex(cosigner_id(signing_key.verifying_key, WITNESS_NAME))
        self._time_s = time_s
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        file = Path(directory) / STORE
        try:
            file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._store = file.open("ab", buffering=0)
            self._remember_all(file)
        except OSError as error:
            message = f"the witness's directory cannot be used: {error.strerror}"
            raise ConfigError([Fault(file=os.fspath(file), message=message)]) from error

    def _remember_all(self, file: Path) -> None:
        found = split_notes(file.read_bytes())
        torn = found.torn or (found.rest.startswith("— ".encode()) and b"\n" not in found.rest)
        if not torn:
            raise ConfigError([Fault(file=os.fspath(file), message="what is remembered there is damaged")])
        if found.rest:  # killed while it wrote, and so before it answered
            os.truncate(file, file.stat().st_size - len(found.rest))
        for note in found.notes:
            try:
                self._remember(Checkpoint.parse(note.text))
            except ValueError as error:
                message = f"what is remembered there is damaged: {error}"
                raise ConfigError([Fault(file=os.fspath(file), message=message)]) from error

    def _remember(self, checkpoint: Checkpoint) -> None:
        self._seen[checkpoint.stream] = _Seen(checkpoint.size, checkpoint.root)

    def add(self, body: bytes) -> Answer:
        """The answer to the request `add-checkpoint`, with a cosignature when all is well (c2sp.org/tlog-witness)."""
        try:
            old, proof, note = read_request(body)
            checkpoint = Checkpoint.parse(note.text)
        except ValueError as error:
            return Answer(400, f"{error}\n".encode())
        fault = signature_fault(note, self._keys)
        if fault is not None:
            return Answer(403, f"{fault.message}\n".encode())
        with self._lock:
            seen = self._seen.get(checkpoint.stream, _Seen(0, b""))
            refusal = _refusal(seen, checkpoint, old, proof)
            if refusal is not None:
                return refusal
            signature = self._cosign(note)
            try:
                self._write(note, signature)
            except OSError as error:
                return Answer(500, f"it could not be remembered: {error.strerror}\n".encode())
            self._remember(checkpoint)
        return Answer(200, signature)

    def _cosign(self, note: Note) -> bytes:
        now = int(self._time_s())
        signature = self._signing_key.sign(cosigned_text(note.text, now))
        data = base64.b64encode(self._cosigner + struct.pack(">Q", now) + signature)
        return f"— {WITNESS_NAME} ".encode() + data + b"\n"

    def _write(self, note: Note, signature: bytes) -> None:
        length = self._store.tell()
        data = note.text + b"\n" + b"".join(line + b"\n" for line in note.signatures) + signature
        try:
            while data:
                data = data[self._store.write(data) :]
            os.fsync(self._store.fileno())
        except OSError:
            self._store.truncate(length)
            raise

    def close(self) -> None:
        """Closes the file."""
        self._store.close()


def _refusal(seen: _Seen, checkpoint: Checkpoint, old: int, proof: Sequence[bytes]) -> Answer | None:
    """Why a checkpoint is not signed; None when it continues what was seen."""
    if old > checkpoint.size:
        return Answer(400, b"the old size is beyond the new one\n")
    if old != seen.size:
        return Answer(409, b"%d\n" % seen.size, SIZE_TYPE)
    if old == checkpoint.size:
        same = old == 0 or checkpoint.root == seen.root
        return None if same else Answer(409, b"%d\n" % seen.size, SIZE_TYPE)
    if old == 0:
        return Answer(422, b"there is nothing to be consistent with\n") if proof else None
    roots = roots_of_consistency(old, checkpoint.size, seen.root, proof)
    if roots != (seen.root, checkpoint.root):
        return Answer(422, b"the proof does not lead from what was signed before to this\n")
    return None
