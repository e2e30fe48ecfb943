#!/usr/bin/env python3
"""Verify, offline, that a record is in an audit trail. Shares no code with otelwarden; read it before you trust it.

    python verify_proof.py PROOF RECORD KEY

PROOF   what `otelwarden audit prove` wrote (c2sp.org/tlog-proof).
RECORD  the record: one line of the trail, or `-` for standard input.
KEY     the public key that you trust: a C2SP verifier key, `name+id+base64`, or a file that holds it. Get it from
        whoever runs the trail by another way than the proof.

Needs Python 3.10 and `cryptography`, for the Ed25519 signature alone. Exit code: 0 it is proved, 1 it is not, 2 usage.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class NotProved(Exception):
    """Raised with the reason why the record is not proved."""


def decode(text):
    """The bytes that a base64 text stands for; refused when another text would stand for the same (RFC 4648 3.5)."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data) != (text.encode() if isinstance(text, str) else text):
        raise NotProved("a base64 text is not as it would be written")
    return data


def parse_key(text):
    """(name, four bytes of key id, public key) of a C2SP verifier key (c2sp.org/signed-note)."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    data = decode(encoded)
    if len(data) != 33 or data[0] != 1:
        raise NotProved("the key is no Ed25519 verifier key")
    expected = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if bytes.fromhex(key_id) != expected:
        raise NotProved("the key's id does not belong to it")
    return name, expected, Ed25519PublicKey.from_public_bytes(data[1:])


def verify_note(note, key):
    """The text of a signed note, once the key's signature on it is found to be good."""
    name, key_id, public = key
    text, blank, signatures = note.rpartition(b"\n\n")
    if not blank:
        raise NotProved("the checkpoint has no signature")
    text += b"\n"
    for line in signatures.splitlines():
        start = f"— {name} ".encode()
        if not line.startswith(start):
            continue
        data = decode(line[len(start) :])
        if data[:4] != key_id:
            continue
        try:
            public.verify(data[4:], text)
        except InvalidSignature:
            raise NotProved("the checkpoint's signature does not match") from None
        return text
    raise NotProved("the checkpoint is not signed by this key")


def root_from_path(leaf, index, size, path):
    """The root that an inclusion path leads to (RFC 9162 section 2.1.3.2)."""
    if index >= size:
        raise NotProved("the index is beyond the tree")
    fn, sn, root = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            raise NotProved("the path is too long")
        if fn & 1 or fn == sn:
            root = hashlib.sha256(b"\x01" + sibling + root).digest()
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = hashlib.sha256(b"\x01" + root + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise NotProved("the path is too short")
    return root


def verify(proof, record, key_text):
    """The checkpoint's lines, when everything holds; raises NotProved otherwise."""
    head, blank, note = proof.partition(b"\n\n")
    header, *lines = head.split(b"\n")
    if header != b"c2sp.org/tlog-proof@v1" or not blank:
        raise NotProved("this is no proof")
    if lines and lines[0].startswith(b"extra "):
        lines.pop(0)
    word, _, index = lines.pop(0).partition(b" ") if lines else (b"", b"", b"")
    if word != b"index":
        raise NotProved("the proof names no index")
    path = [decode(line) for line in lines]
    if any(len(sibling) != 32 for sibling in path):
        raise NotProved("a hash of the path has not 32 bytes")
    origin, size, root, *more = verify_note(note, parse_key(key_text)).decode().splitlines()
    leaf = hashlib.sha256(b"\x00" + record).digest()
    if root_from_path(leaf, int(index), int(size), path) != decode(root):
        raise NotProved("the record is not in the tree that the checkpoint seals")
    event = json.loads(record)
    if event["sequence"] != int(index) or origin != "otelwarden/audit/" + event["stream"]:
        raise NotProved("the record belongs to another place or stream")
    return [origin, size, root, *more]


def main(arguments):
    """Runs the command; answers its exit code."""
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    proof_file, record_file, key = arguments
    try:
        proof = Path(proof_file).read_bytes()
        record = sys.stdin.buffer.read() if record_file == "-" else Path(record_file).read_bytes()
        key_text = key if "+" in key else Path(key).read_text()
        lines = verify(proof, record.rstrip(b"\n"), key_text)
    except OSError as error:
        print(f"cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (NotProved, ValueError, KeyError, TypeError) as error:
        print(f"NOT PROVED: {error}")
        return 1
    print(f"PROVED: the record is one of the {lines[1]} that this checkpoint seals")
    print("\n".join(f"  {line}" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
