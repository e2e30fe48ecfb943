"""The protocol of witnesses (c2sp.org/tlog-witness): requests as texts, cosignatures, and what a witness checks.

A request to `<prefix>/add-checkpoint` is `old <size>`, the hashes of a consistency proof from the tree of that size, a
blank line, and the signed checkpoint. A witness that has seen the old one signs the new one, with the time.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final, NamedTuple

from otelwarden.audit.checkpoints import Note, split_notes

PATH: Final = "/add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of an answer 409: the size of the latest checkpoint that the witness has signed."""

MAX_PROOF: Final = 63
"""Hashes in a consistency proof, at most, of any tree."""

MAX_REQUEST: Final = 64 << 10
"""Bytes of a request; a proof has at most 2.9 kB and a checkpoint of ours 600 bytes."""


class Request(NamedTuple):
    """A checkpoint that a witness is asked to sign."""

    old: int
    """Size of the tree that the witness has signed before; 0 when it has signed none."""
    proof: Sequence[bytes]
    note: Note


def write_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of a request; `note` is the signed checkpoint."""
    return b"\n".join([b"old %d" % old, *map(base64.b64encode, proof), b"", note])


def read_request(body: bytes) -> Request:
    """The request that a body is.

    Raises:
        ValueError: it is none.
    """
    head, blank, rest = body.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    word, _, old = first.partition(b" ")
    if not blank or word != b"old" or not old.isdigit() or len(lines) > MAX_PROOF:
        raise ValueError("no request to add a checkpoint")
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines]
    except binascii.Error as error:
        raise ValueError("a hash of the proof is no base64") from error
    if any(len(each) != 32 for each in proof):
        raise ValueError("a hash of the proof has not 32 bytes")
    found = split_notes(rest)
    if len(found.notes) != 1 or found.rest:
        raise ValueError("not exactly one signed checkpoint")
    return Request(int(old), proof, found.notes[0])


def cosigned_text(text: bytes, time_s: int) -> bytes:
    """What a witness signs: the checkpoint and when it was seen (c2sp.org/tlog-cosignature)."""
    return b"cosignature/v1\ntime %d\n" % time_s + text
