"""Signed notes, against the known ones of another implementation, and checkpoints as text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import otelwarden.audit
from otelwarden.audit import AuditConfig, Checkpoint, Retention, SigningKey, VerifyingKey
from otelwarden.audit.checkpoints import account_digest, is_torn, sign, signature_fault, split_notes
from otelwarden.core import parse_document

# From the documentation of Go's golang.org/x/mod/sumdb/note, where the format comes from.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()

CHECKPOINT = Checkpoint(
    stream="20231114T221320.000Z-1-00000000",
    number=3,
    size=15,
    root=bytes(32),
    time_ns=1_700_000_000_000_000_000,
    interval_ns=10_000_000_000,
    state="open",
    key_id="00000000",
    config_digest="",
    account_records=0,
    account_digest=account_digest([]),
)


def test_a_note_signed_by_another_implementation() -> None:
    key = VerifyingKey.parse(GO_KEY)
    assert key.key_id == "c74f20a3"
    assert str(key) == GO_KEY
    (note,) = split_notes(GO_NOTE).notes
    assert signature_fault(note, {key.key_id: key}) is None
    fault = signature_fault(note._replace(text=note.text.replace(b"answer", b"ANSWER")), {key.key_id: key})
    assert fault is not None
    assert not fault.unknown
    unknown = signature_fault(note, {})
    assert unknown is not None
    assert unknown.unknown


def test_a_verifier_key_whose_id_is_anothers() -> None:
    with pytest.raises(ValueError, match="key id"):
        VerifyingKey.parse(GO_KEY.replace("c74f20a3", "c74f20a4"))


@pytest.mark.parametrize("state", ["open", "close"])
@pytest.mark.parametrize("digest", ["", "00c0ffee00c0ffee"])
def test_text_and_back(state: str, digest: str) -> None:
    checkpoint = replace(CHECKPOINT, state=state, config_digest=digest)
    assert Checkpoint.parse(checkpoint.text()) == checkpoint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n15\n", b"\n015\n"),
        (b"number 3", b"number +3"),
        (b"state open", b"state shut"),
        (b"config -", b"config "),
        (b"stream 2", b"stream 3"),
        (b"\ntime", b"\nTime"),
        (b"accounting 0", b"accounting  0"),
    ],
)
def test_what_is_not_exactly_as_written_is_no_checkpoint(old: bytes, new: bytes) -> None:
    text = CHECKPOINT.text()
    assert old in text
    with pytest.raises(ValueError, match=r".+"):
        Checkpoint.parse(text.replace(old, new))


def test_a_file_is_notes_in_a_row() -> None:
    key = SigningKey.generate()
    notes = [sign(replace(CHECKPOINT, number=number), key) for number in range(3)]
    found = split_notes(b"".join(notes))
    assert [Checkpoint.parse(note.text).number for note in found.notes] == [0, 1, 2]
    assert found.rest == b""


def test_every_start_of_a_note_is_torn_and_no_damaged_note_is() -> None:
    note = sign(CHECKPOINT, SigningKey.generate())
    for length in range(len(note)):
        found = split_notes(note[:length])
        assert (found.notes, found.torn) == ([], True)
    damaged = 0
    for position in range(len(note)):
        changed = bytearray(note)
        changed[position] ^= 1
        if not split_notes(bytes(changed)).notes:
            damaged += 1
            assert not is_torn(bytes(changed))
    assert damaged


def test_the_readme_shows_what_is_accepted() -> None:
    text = (Path(otelwarden.audit.__file__).parent / "README.md").read_text(encoding="utf-8")
    configs = [
        AuditConfig.from_mapping(
            parse_document(block, environment={"AUDIT_KEY_FILE": "/run/key"})["processors"]["audit"]
        )
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    ]
    assert configs[0].key_file == "/run/key"
    (retention,) = (config.retention for config in configs if config.retention is not None)
    assert not list(Retention(retention).conflicts())
    for name in AuditConfig.__slots__:
        assert f"- `{name}` (default = " in text
