"""Proof of one record: the text that shows, to somebody who has nothing else of the trail, that a record is in it.

The text is a C2SP transparency log proof (c2sp.org/tlog-proof): the index, the inclusion path and the signed checkpoint
that the path leads to. It is about 1.4 kB for one of a million records. The record itself is not in it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otelwarden.audit.checkpoints import Checkpoint, Note, split_notes
from otelwarden.audit.merkle import Frontier, siblings
from otelwarden.audit.reading import Block, Pruned, Reader, segments, stream_directories
from otelwarden.audit.stream import CHECKPOINTS
from otelwarden.core import ConfigError, Fault

HEADER: Final = b"c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A record and the proof of it."""

    record: bytes
    """As it is stored, without its line feed."""
    text: bytes
    """What `docs/verify_proof.py`, or any verifier of such proofs, is given beside the record and the public key."""
    checkpoint: Checkpoint
    """The checkpoint in it."""


def prove(path: str | os.PathLike[str], sequence: int, *, stream: str | None = None) -> Proof:
    """The proof of one record.

    It leads to the newest checkpoint of the stream, whatever that is worth: judging is the verifier's part.

    Args:
        path: the trail's directory, or that of one stream.
        sequence: number of the record in its stream.
        stream: id of the stream; needed where the trail has several.

    Raises:
        ConfigError: there is no such stream or record, none that is sealed, or the files do not hang together.
    """
    directory = _stream_directory(Path(path), stream)
    file = os.fspath(directory)
    try:
        checkpoint, note = _newest_checkpoint(directory)
        if not 0 <= sequence < checkpoint.size:
            message = f"record {sequence} is not sealed"
            raise ConfigError([Fault(file=file, message=message, allowed=f"0 to {checkpoint.size - 1}")])
        record, path_hashes = _read_path(directory, sequence, checkpoint.size)
    except OSError as error:
        raise ConfigError([Fault(file=file, message=f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise ConfigError([Fault(file=file, message=f"its files do not hang together: {error}")]) from error
    lines = [HEADER, b"index %d" % sequence, *map(base64.b64encode, path_hashes), b"", note]
    return Proof(record=record, text=b"\n".join(lines), checkpoint=checkpoint)


def _stream_directory(path: Path, stream: str | None) -> Path:
    try:
        found = {each.name: each for each in stream_directories(path)}
    except OSError as error:
        raise ConfigError([Fault(file=os.fspath(path), message=f"cannot be read: {error.strerror}")]) from error
    if stream is None and len(found) == 1:
        return next(iter(found.values()))
    if stream not in found:
        message = f"there is no stream {stream}" if stream else "which stream is meant?"
        raise ConfigError([Fault(file=os.fspath(path), message=message, allowed=", ".join(found) or "none is there")])
    return found[stream]


def _newest_checkpoint(directory: Path) -> tuple[Checkpoint, bytes]:
    notes = split_notes((directory / CHECKPOINTS).read_bytes()).notes
    if not notes:
        raise ConfigError([Fault(file=os.fspath(directory), message="the stream has no checkpoint")])
    try:
        return Checkpoint.parse(notes[-1].text), _stored(notes[-1])
    except ValueError as error:
        raise ConfigError([Fault(file=os.fspath(directory), message=f"its last checkpoint: {error}")]) from error


def _stored(note: Note) -> bytes:
    return note.text + b"\n" + b"".join(signature + b"\n" for signature in note.signatures)


def _read_path(directory: Path, sequence: int, size: int) -> tuple[bytes, list[bytes]]:
    """The record, and the roots of the ranges beside it: one pass over the stream, one frontier for each range."""
    path = siblings(sequence, size)
    trees = {span: Frontier() for span in path}
    record = b""
    read = 0
    reader = Reader(segments(directory))
    for piece in reader.pieces():
        read = reader.count
        if piece.first <= sequence < read:
            record = _record(piece, sequence, directory)
        for span, tree in trees.items():
            if isinstance(piece, Block):
                tree.extend(_leaves(piece, *span))
            elif span[0] <= piece.first and piece.end <= span[1]:
                tree.graft(piece.leaves, piece.root)
        if read >= size:
            break
    if read < size or reader.misnamed is not None or reader.damaged is not None:
        message = f"{size} records are sealed, and they are not all there"
        raise ConfigError([Fault(file=os.fspath(directory), message=message)])
    return record, [trees[span].root() for span in path]


def _record(piece: Block | Pruned, sequence: int, directory: Path) -> bytes:
    if isinstance(piece, Block):
        return piece.lines[sequence - piece.first]
    message = f"record {sequence} was dropped when its time was over; a proof of it made before still holds"
    raise ConfigError([Fault(file=os.fspath(directory), message=message)])


def _leaves(block: Block, first: int, end: int) -> list[bytes]:
    """The leaf hashes of those lines of a block that lie within a range."""
    lines: Iterable[bytes] = block.lines[max(0, first - block.first) : max(0, end - block.first)]
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + line).digest() for line in lines]
