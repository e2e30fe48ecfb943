"""Every way of touching a trail that we could think of, and what is to be said of it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from otelwarden.audit import AuditTrail, Checkpoint, SigningKey, Status, Verdict, exit_code, render, trail_bytes, verify
from otelwarden.audit.batch import NO_PREVIOUS, PREVIOUS_BYTES
from otelwarden.audit.checkpoints import sign, split_notes
from otelwarden.audit.merkle import Frontier, leaf_hash
from otelwarden.core import ConfigError, GovernanceEvent, Runtime
from otelwarden.testing import FakeClock

Touch = Callable[[list[bytes]], list[bytes]]


def files_of(trail: Path) -> tuple[Path, Path]:
    (records,) = trail.glob("*/records-*.jsonl")
    return records, records.with_name("checkpoints")


def touch(trail: Path, change: Touch) -> None:
    records, _ = files_of(trail)
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(change(lines)))


def recompute(trail: Path) -> None:
    """What an attacker without the key can still do: number and link the records anew."""
    records, _ = files_of(trail)
    lines, previous = [], NO_PREVIOUS.decode()
    for sequence, line in enumerate(records.read_bytes().splitlines()):
        event = {**json.loads(line), "sequence": sequence, "previous": previous}
        lines.append(json.dumps(event, separators=(",", ":")).encode())
        previous = leaf_hash(lines[-1])[:PREVIOUS_BYTES].hex()
    records.write_bytes(b"\n".join(lines) + b"\n")


def keep_checkpoints(trail: Path, number: int) -> None:
    _, checkpoints = files_of(trail)
    notes = split_notes(checkpoints.read_bytes()).notes[:number]
    checkpoints.write_bytes(b"".join(n.text + b"\n" + b"".join(s + b"\n" for s in n.signatures) for n in notes))


def roll_back(trail: Path, checkpoints: int) -> None:
    """Back to an earlier state, in everything that the attacker can reach."""
    keep_checkpoints(trail, checkpoints)
    size = Checkpoint.parse(split_notes(files_of(trail)[1].read_bytes()).notes[-1].text).size
    touch(trail, lambda lines: lines[:size])


def rewrite(trail: Path, key: SigningKey, change: Touch) -> None:
    """What only the holder of the key can do: another history, sealed anew at the same sizes."""
    touch(trail, change)
    recompute(trail)
    records, checkpoints = files_of(trail)
    lines = records.read_bytes().splitlines()
    notes = b""
    for note in split_notes(checkpoints.read_bytes()).notes:
        checkpoint = Checkpoint.parse(note.text)
        tree = Frontier()
        tree.extend([leaf_hash(line) for line in lines[: checkpoint.size]])
        accounts = b"".join(
            line + b"\n" for line in lines[checkpoint.size - checkpoint.account_records : checkpoint.size]
        )
        digest = hashlib.sha256(accounts).digest()
        notes += sign(replace(checkpoint, root=tree.root(), account_digest=digest), key)
    checkpoints.write_bytes(notes)


def only(verdict: Verdict) -> Any:
    (stream,) = verdict.streams
    return stream


def test_an_untouched_trail(written: Path, tmp_path: Path) -> None:
    verdict = verify(written, against=tmp_path / "witness")
    assert verdict.status is Status.OK
    stream = only(verdict)
    assert (stream.records, stream.sealed, stream.checkpoints, stream.closed) == (15, 15, 4, True)
    assert exit_code(verdict) == 0
    assert "OK" in render(verdict)


def test_it_says_how_far_it_is(open_trail: Callable[..., AuditTrail], tmp_path: Path) -> None:
    for _ in range(2):
        trail = open_trail(segment_bytes=4096)
        for i in range(40):
            assert trail.append_sync(GovernanceEvent(1, "pipeline", "reload", f"r{i}"))
        assert trail.close()
    steps: list[int] = []
    assert verify(tmp_path / "trail", progress=steps.append).status is Status.OK
    assert steps == sorted(steps)
    assert len(steps) > 4
    assert steps[-1] == trail_bytes(tmp_path / "trail")


def test_without_a_witness_it_says_what_is_not_proved(written: Path) -> None:
    assert any("rollback" in warning for warning in verify(written).warnings)


def test_every_single_bit(open_trail: Callable[..., AuditTrail], tmp_path: Path, key: SigningKey) -> None:
    trail = open_trail()
    assert trail.append_sync(GovernanceEvent(1, "pipeline", "reload", "x"))
    assert trail.close()
    for file in files_of(tmp_path / "trail"):
        good = file.read_bytes()
        bad = bytearray(good)
        for position in range(len(good)):
            for bit in range(8):
                bad[position] ^= 1 << bit
                file.write_bytes(bad)
                status = verify(tmp_path / "trail", public_key=key.verifying_key).status
                assert status in (Status.TAMPERED, Status.KEY_UNKNOWN, Status.TRUNCATED), (file.name, position, bit)
                bad[position] ^= 1 << bit
        file.write_bytes(good)


def test_every_truncation(written: Path, key: SigningKey) -> None:
    records, checkpoints = files_of(written)
    good = records.read_bytes()
    for length in range(0, len(good), 7):
        records.write_bytes(good[:length])
        assert verify(written, public_key=key.verifying_key).status is Status.TRUNCATED
    records.write_bytes(good)
    for length in range(0, len(checkpoints.read_bytes()) - 1, 7):
        shutil.copy(checkpoints, written.parent / "good")
        checkpoints.write_bytes(checkpoints.read_bytes()[:length])
        # By itself this is what a machine that lost power leaves; the witness knows better.
        verdict = verify(written, public_key=key.verifying_key, against=written.parent / "witness")
        assert verdict.status is not Status.OK
        shutil.copy(written.parent / "good", checkpoints)


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


TOUCHES: dict[str, tuple[Touch, int]] = {
    "change": (lambda lines: [*lines[:4], lines[4].replace(b"r3", b"rX"), *lines[5:]], 4),
    "delete": (lambda lines: lines[:4] + lines[5:], 4),
    "delete the first": (lambda lines: lines[1:], 0),
    "swap": (swap, 4),
    "duplicate": (lambda lines: [*lines[:5], *lines[4:]], 5),
    "insert": (lambda lines: [*lines[:4], lines[4].replace(b"r3", b"rX"), *lines[4:]], 5),
    "append": (lambda lines: [*lines, lines[-1]], 15),
    "splice": (lambda lines: [*lines[:4], *lines[8:12], *lines[8:]], 4),
    "join lines": (lambda lines: [*lines[:4], lines[4].replace(b"\n", b" "), *lines[5:]], 4),
}


@pytest.mark.parametrize("name", TOUCHES)
def test_a_careless_change_is_found_and_pointed_at(written: Path, name: str) -> None:
    change, sequence = TOUCHES[name]
    touch(written, change)
    verdict = verify(written)
    assert verdict.status is Status.TAMPERED
    assert only(verdict).sequence == sequence
    assert exit_code(verdict) == 1
    assert "TAMPERED" in render(verdict)


@pytest.mark.parametrize("name", [name for name in TOUCHES if name != "join lines"])
def test_an_attacker_who_recomputes_without_the_key(written: Path, name: str) -> None:
    touch(written, TOUCHES[name][0])
    recompute(written)
    assert verify(written).status is Status.TAMPERED


def test_cut_at_the_end(written: Path) -> None:
    touch(written, lambda lines: lines[:-2])
    stream = only(verify(written))
    assert (stream.status, stream.sequence) == (Status.TRUNCATED, 13)


@pytest.mark.parametrize("checkpoints", [1, 2, 3])
def test_a_rollback_shows_only_against_a_witness(written: Path, tmp_path: Path, checkpoints: int) -> None:
    roll_back(written, checkpoints)
    alone = verify(written)
    assert alone.status is Status.OK
    assert any("rollback" in warning for warning in alone.warnings)
    assert verify(written, against=tmp_path / "witness").status is Status.TRUNCATED


def test_checkpoints_that_were_taken_away(written: Path, tmp_path: Path) -> None:
    keep_checkpoints(written, 3)
    assert verify(written, against=tmp_path / "witness").status is Status.TRUNCATED
    keep_checkpoints(written, 0)
    assert only(verify(written)).status is Status.TRUNCATED


def test_the_holder_of_the_key_cannot_fork_unseen(written: Path, tmp_path: Path, key: SigningKey) -> None:
    rewrite(written, key, TOUCHES["change"][0])
    assert verify(written).status is Status.OK
    verdict = verify(written, against=tmp_path / "witness")
    assert verdict.status is Status.FORKED


def test_a_checkpoint_missing_in_the_middle(written: Path) -> None:
    _, checkpoints = files_of(written)
    notes = split_notes(checkpoints.read_bytes()).notes
    checkpoints.write_bytes(b"".join(n.text + b"\n" + n.signatures[0] + b"\n" for n in [*notes[:1], *notes[2:]]))
    assert verify(written).status is Status.TAMPERED


def test_another_key(written: Path) -> None:
    verdict = verify(written, public_key=SigningKey.generate().verifying_key)
    assert verdict.status is Status.KEY_UNKNOWN
    shutil.rmtree(written / "keys")
    assert verify(written).status is Status.KEY_UNKNOWN


def test_sealed_anew_with_another_key(written: Path, key: SigningKey) -> None:
    rewrite(written, SigningKey.generate(), TOUCHES["change"][0])
    assert verify(written, public_key=key.verifying_key).status is Status.KEY_UNKNOWN


def test_a_stream_under_another_name(written: Path) -> None:
    (stream,) = (each for each in written.iterdir() if each.name != "keys")
    stream.rename(stream.with_name(stream.name[:-1] + ("0" if stream.name[-1] != "0" else "1")))
    assert verify(written).status is Status.TAMPERED


def test_a_stream_that_disappears(written: Path, tmp_path: Path, open_trail: Callable[..., AuditTrail]) -> None:
    (stream,) = (each for each in written.iterdir() if each.name != "keys")
    trail = open_trail()
    trail.append_sync(GovernanceEvent(1, "pipeline", "open", "start"))
    trail.close()
    assert verify(written).status is Status.OK
    shutil.rmtree(stream)
    verdict = verify(written)
    assert verdict.status is Status.TRUNCATED
    assert stream.name in [each.stream for each in verdict.streams]
    assert verify(written, against=tmp_path / "witness").status is Status.TRUNCATED


def test_one_stream_alone(written: Path) -> None:
    (stream,) = (each for each in written.iterdir() if each.name != "keys")
    assert verify(stream).status is Status.OK


def test_nothing_is_no_evidence(tmp_path: Path) -> None:
    verdict = verify(tmp_path)
    assert verdict.status is Status.INCOMPLETE
    assert exit_code(verdict) == 1
    assert "no stream" in render(verdict)
    with pytest.raises(ConfigError, match="cannot be read"):
        verify(tmp_path / "nowhere")


def test_a_tail_that_is_longer_than_was_promised(
    open_trail: Callable[..., AuditTrail], tmp_path: Path, clock: FakeClock
) -> None:
    trail = open_trail(checkpoint_interval=10.0)

    def decide(seconds: float) -> None:
        event = GovernanceEvent(clock.time_ns() + int(seconds * 1e9), "pipeline", "reload", "x")
        assert trail.append_sync(event)

    decide(0)
    decide(20)
    assert verify(tmp_path / "trail").status is Status.OK
    decide(22)
    stream = only(verify(tmp_path / "trail"))
    assert (stream.status, stream.sequence) == (Status.UNSEALED_TAIL, 1)
    assert trail.checkpoint()
    assert verify(tmp_path / "trail").status is Status.OK


def test_a_careless_change_of_the_unsealed_tail(open_trail: Callable[..., AuditTrail], tmp_path: Path) -> None:
    trail = open_trail()
    for number in range(5):
        assert trail.append_sync(GovernanceEvent(1, "pipeline", "reload", f"r{number}"))
    touch(tmp_path / "trail", lambda lines: [*lines[:3], lines[3].replace(b"r2", b"rX"), *lines[4:]])
    stream = only(verify(tmp_path / "trail"))
    assert (stream.status, stream.sequence) == (Status.TAMPERED, 3)


@pytest.mark.parametrize(
    "rest", [b'{"sequence":6,"ti', b"\x00" * 300, b"\x00" * 200 + b"\n" + b"\x00" * 50], ids=["torn", "zeros", "mixed"]
)
def test_what_a_power_cut_leaves_is_no_attack(
    open_trail: Callable[..., AuditTrail], tmp_path: Path, rest: bytes
) -> None:
    trail = open_trail()
    for number in range(5):
        assert trail.append_sync(GovernanceEvent(1, "pipeline", "reload", f"r{number}"))
    touch(tmp_path / "trail", lambda lines: [*lines, rest])
    stream = only(verify(tmp_path / "trail"))
    assert stream.status is Status.OK
    assert not stream.closed


def test_an_account_that_does_not_close(
    open_trail: Callable[..., AuditTrail], tmp_path: Path, runtime: Runtime
) -> None:
    trail = open_trail()
    ledger = runtime.ledger("quota", "logs")
    ledger.account("acme").received.add(10)
    ledger.account("acme").forwarded.add(7)
    ledger.account("acme").dropped("rate").add(2)
    assert trail.checkpoint()
    assert verify(tmp_path / "trail").status is Status.OK  # the tenth may be on its way
    assert trail.close()
    stream = only(verify(tmp_path / "trail"))
    assert stream.status is Status.INCOMPLETE
    assert "quota logs acme: 1 items of 10" in stream.message


def test_more_out_than_in_is_wrong_at_any_time(
    open_trail: Callable[..., AuditTrail], tmp_path: Path, runtime: Runtime
) -> None:
    trail = open_trail()
    runtime.ledger("quota", "logs").account("acme").forwarded.add(1)
    assert trail.checkpoint()
    assert only(verify(tmp_path / "trail")).status is Status.INCOMPLETE


@pytest.mark.parametrize("form", ["key", "crypto", "text", "file", "pem"])
def test_the_key_in_every_form(written: Path, tmp_path: Path, key: SigningKey, form: str) -> None:
    text = str(key.verifying_key)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.split("+", 2)[2])[1:])
    (tmp_path / "key.pub").write_text(text + "\n")
    (tmp_path / "key.pem").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    forms: dict[str, Any] = {
        "key": key.verifying_key,
        "crypto": public,
        "text": text,
        "file": tmp_path / "key.pub",
        "pem": str(tmp_path / "key.pem"),
    }
    assert verify(written, public_key=forms[form]).status is Status.OK


@pytest.mark.parametrize("bad", ["otelwarden+00000000+AAAA", "nonsense+1+2"])
def test_a_key_that_is_none(written: Path, bad: str) -> None:
    with pytest.raises(ConfigError, match="no public key"):
        verify(written, public_key=bad)


def test_a_damaged_witness_is_not_believed(written: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    good = witness.read_bytes()
    witness.write_bytes(good.replace(b"\n15\n", b"\n14\n"))
    assert verify(written, against=witness).status is Status.TAMPERED
    witness.write_bytes(good[:-40] + b"\n" + good)  # a process died while it appended, another went on
    verdict = verify(written, against=witness)
    assert verdict.status is Status.OK
    assert any("no checkpoints" in warning for warning in verdict.warnings)


def random_edits(rng: random.Random, lines: list[bytes]) -> Iterable[list[bytes]]:
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    yield lines[:i] + lines[i + 1 :]
    yield [*lines[:i], lines[j], *lines[i:]]
    yield lines[:i] + lines[i : i + 2][::-1] + lines[i + 2 :]
    position = rng.randrange(len(lines[i]))
    changed = lines[i][:position] + bytes([rng.randrange(256)]) + lines[i][position + 1 :]
    yield [*lines[:i], changed, *lines[i + 1 :]]


def test_random_edits(written: Path) -> None:
    rng = random.Random(6962)
    records, _ = files_of(written)
    good = records.read_bytes().splitlines(keepends=True)
    for _ in range(250):
        for bad in random_edits(rng, good):
            if bad != good:
                records.write_bytes(b"".join(bad))
                assert verify(written).status in (Status.TAMPERED, Status.TRUNCATED)


def test_a_live_trail_is_judged_without_false_alarm(tmp_path: Path, key: SigningKey) -> None:
    trail = AuditTrail(tmp_path / "trail", key=key, checkpoint_interval=0.1, coalesce_window=0.01, runtime=Runtime())
    stop = threading.Event()

    def decide() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            trail(GovernanceEvent(time.time_ns(), "redaction", "mask", f"r{number % 9}", "acme"))
            trail.append_sync(GovernanceEvent(time.time_ns(), "quota", "reload", str(number)))

    thread = threading.Thread(target=decide)
    thread.start()
    found = []
    while len(found) < 60:
        verdict = verify(tmp_path / "trail", public_key=key.verifying_key)
        found.append(verdict.status if verdict.streams else Status.OK)
    stop.set()
    thread.join()
    assert trail.close()
    assert set(found) == {Status.OK}
    assert verify(tmp_path / "trail").status is Status.OK
