"""Rotation of the key: what both keys state, and what a verifier makes of it who has the first key alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from otelwarden.audit import AuditTrail, SigningKey, Status, first_key, read_records, verify
from otelwarden.audit.checkpoints import Checkpoint, sign, split_notes
from otelwarden.audit.rotation import rotate
from otelwarden.core import ConfigError, GovernanceEvent, Runtime
from otelwarden.testing import FakeClock

DAY = 86_400.0


@pytest.fixture
def second() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def write(tmp_path: Path, runtime: Runtime) -> Callable[..., Path]:
    """A stream that begins under a key, and may go on under others; answers its directory."""

    def build(key: SigningKey, *following: SigningKey) -> Path:
        trail = AuditTrail(tmp_path / "trail", key=key, runtime=runtime, sync_timeout=60.0)
        for number, each in enumerate([None, *following]):
            if each is not None:
                assert trail.rotate_key(each, actor="user:alice", timeout=60.0)
            event = GovernanceEvent(runtime.clock.time_ns(), "redaction", "reload", f"policy-{number}")
            assert trail.append_sync(event)
            assert trail.checkpoint()
        assert trail.close()
        return tmp_path / "trail" / trail.stats().stream

    return build


def status(trail: Path, key: SigningKey) -> Status:
    return verify(trail, public_key=key.verifying_key).status


def test_the_first_key_is_found_from_a_later_one(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, tmp_path: Path
) -> None:
    third, stranger = SigningKey.generate(), SigningKey.generate()
    trail = write(key, second, third).parent
    for each in (key, second, third):
        assert str(first_key(trail, each.verifying_key)) == str(key.verifying_key)
    assert status(trail, third) is Status.KEY_UNKNOWN
    assert str(first_key(trail, stranger.verifying_key)) == str(stranger.verifying_key)
    assert str(first_key(tmp_path, third.verifying_key)) == str(third.verifying_key)

    # Who writes a statement without the later key, or changes one, gets no key of theirs trusted.
    file = trail / "keys" / "rotations"
    rotate(trail, old=stranger, new=second, time_ns=1)
    assert str(first_key(trail, third.verifying_key)) == str(key.verifying_key)
    forged = file.read_bytes().replace(str(key.verifying_key).encode(), str(stranger.verifying_key).encode(), 1)
    file.write_bytes(forged)
    assert str(first_key(trail, third.verifying_key)) != str(stranger.verifying_key)


def test_who_trusts_the_first_key_trusts_its_successors(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, clock: FakeClock, tmp_path: Path
) -> None:
    third = SigningKey.generate()
    stream = write(key, second, third)
    assert status(stream.parent, key) is Status.OK
    assert verify(stream.parent).status is Status.OK
    signed = {Checkpoint.parse(note.text).key_id for note in split_notes((stream / "checkpoints").read_bytes()).notes}
    assert signed == {key.key_id, second.key_id, third.key_id}
    rotations = [each for each in read_records(stream) if each["action"] == "rotate"]
    assert [each["target"] for each in rotations] == [second.key_id, third.key_id]
    assert {each["actor"] for each in rotations} == {"user:alice"}
    clock.advance(DAY)
    write(third)  # a process that starts later
    assert status(stream.parent, key) is Status.OK


def test_without_the_statement_the_new_key_is_unknown(
    write: Callable[..., Path], key: SigningKey, second: SigningKey
) -> None:
    stream = write(key, second)
    (stream.parent / "keys" / "rotations").unlink()
    assert status(stream.parent, key) is Status.KEY_UNKNOWN


@pytest.mark.parametrize("forger", ["old", "new"])
def test_one_key_alone_states_nothing(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, runtime: Runtime, forger: str
) -> None:
    stream = write(key, second)
    file = stream.parent / "keys" / "rotations"
    note = split_notes(file.read_bytes()).notes[0]
    kept = note.signatures[0 if forger == "old" else 1]
    file.write_bytes(note.text + b"\n" + kept + b"\n")
    assert status(stream.parent, key) is Status.KEY_UNKNOWN


def test_a_new_process_does_not_go_on_with_the_old_key(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, clock: FakeClock
) -> None:
    trail = write(key, second).parent
    clock.advance(10)
    write(key)  # was starting when the key was replaced
    assert status(trail, key) is Status.OK
    clock.advance(DAY)
    late = write(key)
    verdict = verify(trail, public_key=key.verifying_key)
    [found] = [each for each in verdict.streams if each.status is not Status.OK]
    assert (found.stream, found.status) == (late.name, Status.TAMPERED)
    assert "had been replaced" in found.message


def test_what_an_old_key_sealed_is_not_resealed_by_a_later_one(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, clock: FakeClock
) -> None:
    early = write(key)
    clock.advance(DAY)
    trail = write(key, second).parent
    file = early / "checkpoints"
    notes = split_notes(file.read_bytes()).notes
    resealed = []
    for note in notes:
        text = note.text.replace(f"key {key.key_id}".encode(), f"key {second.key_id}".encode())
        resealed.append(sign(Checkpoint.parse(text), second))
    file.write_bytes(b"".join(resealed))
    verdict = verify(trail, public_key=key.verifying_key)
    [found] = [each for each in verdict.streams if each.status is not Status.OK]
    assert (found.stream, found.status) == (early.name, Status.TAMPERED)
    assert "younger than it" in found.message


def test_a_stream_does_not_return_to_a_replaced_key(
    write: Callable[..., Path], key: SigningKey, second: SigningKey
) -> None:
    stream = write(key, second)
    file = stream / "checkpoints"
    notes = split_notes(file.read_bytes()).notes
    last = Checkpoint.parse(notes[-1].text)
    text = notes[-1].text.replace(f"key {last.key_id}".encode(), f"key {key.key_id}".encode())
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(notes[-1].text)] + sign(Checkpoint.parse(text), key))
    assert status(stream.parent, key) is Status.TAMPERED


def test_a_loop_of_keys_is_no_way_back(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, clock: FakeClock
) -> None:
    trail = write(key, second).parent
    rotate(trail, old=second, new=key, time_ns=clock.time_ns())
    rotate(trail, old=key, new=second, time_ns=clock.time_ns())
    clock.advance(DAY)
    assert status(trail, key) is Status.OK


def test_a_running_process_is_not_alarmed_by_the_rotation_of_another(
    open_trail: Callable[..., AuditTrail], key: SigningKey, second: SigningKey, runtime: Runtime, clock: FakeClock
) -> None:
    running = open_trail()
    assert running.append_sync(GovernanceEvent(clock.time_ns(), "redaction", "reload", "before"))
    rotate(running.path, old=key, new=second, time_ns=clock.time_ns())
    clock.advance(DAY)
    assert running.append_sync(GovernanceEvent(clock.time_ns(), "redaction", "reload", "after"))
    assert running.close()
    assert status(running.path, key) is Status.OK


def test_by_command(write: Callable[..., Path], key: SigningKey, second: SigningKey, tmp_path: Path) -> None:
    trail = write(key).parent
    shutil.rmtree(tmp_path / "trail")
    old, new = tmp_path / "old.pem", tmp_path / "new.pem"
    old.write_bytes(key.to_pem())
    new.write_bytes(second.to_pem())
    first = AuditTrail(trail, key=key, runtime=Runtime(), sync_timeout=60.0)
    assert first.append_sync(GovernanceEvent(1, "redaction", "reload", "policy"))
    assert first.close()
    command = [str(Path(sys.executable).with_name("otelwarden")), "audit", "rotate-key", str(trail)]
    done = subprocess.run(
        [*command, "--old", str(old), "--new", str(new), "--actor", "user:bob"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert second.key_id in done.stdout
    assert status(trail, key) is Status.OK
    [event] = [each for each in read_records(trail) if each["action"] == "rotate"]
    assert (event["target"], event["actor"]) == (second.key_id, "user:bob")
    done = subprocess.run([*command, "--old", str(old), "--new", str(old)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "the new key is the old one" in done.stderr


def test_the_same_key_is_no_new_one(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(ConfigError, match="the new key is the old one"):
        rotate(tmp_path, old=key, new=key, time_ns=1)


def test_the_second_verifier_takes_the_new_key(
    write: Callable[..., Path], key: SigningKey, second: SigningKey, tmp_path: Path
) -> None:
    stream = write(key, second)
    public = tmp_path / "second.pem"
    public.write_bytes(
        serialization.load_pem_private_key(second.to_pem(), None)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    # Whoever trusts the second key alone does not trust what the first one sealed.
    assert verify(stream.parent, public_key=public).status is Status.KEY_UNKNOWN
