"""Attacks by the thousand on one trail, with and without what an attacker may hold; and honest crashes, by the hundred.

An edit that changes nothing (a record swapped for one that is the same) is no attack and is drawn again.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from otelwarden.audit import AuditTrail, Checkpoint, SigningKey, Status, read_records, verify
from otelwarden.audit.batch import NO_PREVIOUS, PREVIOUS_BYTES
from otelwarden.audit.checkpoints import account_digest, sign, split_notes
from otelwarden.audit.merkle import Frontier, leaf_hash
from otelwarden.core import GovernanceEvent
from otelwarden.testing import FakeClock

CRASHES = 300
AT_A_TIME = 10

Lines = list[bytes]


class State(NamedTuple):
    """What stands in the files of a stream."""

    lines: Lines
    notes: Lines


class Attacker:
    """Draws attacks on a stream, of which there is a second one that is as genuine."""

    def __init__(self, rng: random.Random, stream: State, other: State, key: SigningKey) -> None:
        self._rng = rng
        self._stream = stream
        self._other = other
        self._key = key

    def _place(self, lines: Lines) -> int:
        return self._rng.randrange(len(lines))

    def _edit(self, lines: Lines) -> Lines:
        """One edit of records or checkpoints, as a careless hand makes it."""
        rng, i, j = self._rng, self._place(lines), self._place(lines)
        line = lines[i]
        match rng.randrange(8):
            case 0:
                changed = bytearray(line)
                changed[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
                return [*lines[:i], bytes(changed), *lines[i + 1 :]]
            case 1:
                return lines[:i] + lines[i + 1 :]
            case 2:
                return [*lines[:i], lines[j], *lines[i:]]
            case 3:
                swapped = list(lines)
                swapped[i], swapped[j] = swapped[j], swapped[i]
                return swapped
            case 4:
                return [*lines[:i], line.replace(b"acme", b"evil"), *lines[i:]]
            case 5:
                return [*lines[:i], line[: rng.randrange(len(line))]]
            case 6:
                theirs = self._other.lines if lines is self._stream.lines else self._other.notes
                return [*lines[:i], *theirs[min(i, len(theirs) - 1) : j + 1], *lines[j + 1 :]]
            case _:
                cut = rng.randrange(len(line))
                return [*lines[:i], line[:cut] + line[cut + 1 :], *lines[i + 1 :]]

    def careless(self) -> State:
        """Records or checkpoints are changed."""
        lines, notes = self._stream
        return State(self._edit(lines), notes) if self._rng.random() < 0.7 else State(lines, self._edit(notes))

    def skilled(self) -> State:
        """Records are changed, then numbered and linked anew."""
        return State(_linked(self._edit(self._stream.lines)), self._stream.notes)

    def rollback(self) -> State:
        """Back to an earlier seal, in everything beside the witness."""
        kept = self._rng.randrange(1, len(self._stream.notes))
        notes = self._stream.notes[:kept]
        return State(self._stream.lines[: _checkpoint(notes[-1]).size], notes)

    def fork(self) -> State:
        """The key's holder writes another history, and seals it at the same sizes."""
        return self._resealed(self._key)

    def wrong_key(self) -> State:
        """The same with a key of the attacker's own."""
        return self._resealed(SigningKey.generate())

    def _resealed(self, key: SigningKey) -> State:
        lines = list(self._stream.lines)
        i = self._place(lines)
        lines[i] = lines[i].replace(b'"count":', b'"count":1')
        lines = _linked(lines)
        notes = []
        for note in self._stream.notes:
            checkpoint = _checkpoint(note)
            tree = Frontier()
            tree.extend([leaf_hash(line.rstrip(b"\n")) for line in lines[: checkpoint.size]])
            accounts = lines[checkpoint.size - checkpoint.account_records : checkpoint.size]
            digest = account_digest(line.rstrip(b"\n") for line in accounts)
            notes.append(sign(replace(checkpoint, root=tree.root(), account_digest=digest, key_id=key.key_id), key))
        return State(lines, notes)


def _checkpoint(note: bytes) -> Checkpoint:
    return Checkpoint.parse(split_notes(note).notes[0].text)


def _linked(lines: Lines) -> Lines:
    linked, previous = [], NO_PREVIOUS.decode()
    for sequence, line in enumerate(lines):
        try:
            event = {**json.loads(line), "sequence": sequence, "previous": previous}
        except ValueError:  # cut in two: it stays so
            linked.append(line)
            continue
        linked.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
        previous = leaf_hash(linked[-1][:-1])[:PREVIOUS_BYTES].hex()
    return linked


def _notes(file: Path) -> Lines:
    found = split_notes(file.read_bytes()).notes
    return [note.text + b"\n" + b"".join(line + b"\n" for line in note.signatures) for note in found]


def _write_stream(trail: AuditTrail, clock: FakeClock) -> State:
    for number in range(12):
        assert trail.append_sync(
            GovernanceEvent(clock.time_ns(), "redaction", "reload", f"policy-{number}", "acme", count=number)
        )
        clock.advance(0.1)
        if number % 3 == 2:
            assert trail.checkpoint()
    assert trail.close()
    directory = trail.path / trail.stats().stream
    [records] = directory.glob("records-*")
    return State(records.read_bytes().splitlines(keepends=True), _notes(directory / "checkpoints"))


# 10,000 in all.
@pytest.mark.parametrize(
    ("attack", "rounds"),
    [("careless", 6000), ("skilled", 3000), ("rollback", 100), ("fork", 700), ("wrong_key", 200)],
)
def test_attacks_are_found(
    open_trail: Callable[..., AuditTrail], tmp_path: Path, key: SigningKey, clock: FakeClock, attack: str, rounds: int
) -> None:
    witness = tmp_path / "witness"
    trail = open_trail(witness=witness)
    other = _write_stream(open_trail("other"), clock)
    stream = _write_stream(trail, clock)
    attacker = Attacker(random.Random(attack), stream, other, key)
    draw = getattr(attacker, attack)
    directory = trail.path / trail.stats().stream
    [records] = directory.glob("records-*")
    found: dict[Status, int] = {}
    while sum(found.values()) < rounds:
        state = draw()
        if state == stream:
            continue
        records.write_bytes(b"".join(state.lines))
        (directory / "checkpoints").write_bytes(b"".join(state.notes))
        status = verify(trail.path, public_key=key.verifying_key, against=witness).status
        assert status is not Status.OK, state
        found[status] = found.get(status, 0) + 1
    assert found.keys() <= {Status.TAMPERED, Status.TRUNCATED, Status.FORKED, Status.KEY_UNKNOWN}


_CRASHES = """
import json, os, random, select, signal, sys, time
from otelwarden.audit import AuditTrail, SigningKey
from otelwarden.core import GovernanceEvent, Runtime

directory, key_file, crashes, at_a_time = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def write(acknowledge):
    key = SigningKey.load(key_file)
    trail = AuditTrail(directory, key=key, runtime=Runtime(), checkpoint_interval=0.1, sync_timeout=60.0)
    number = 0
    while True:
        trail(GovernanceEvent(time.time_ns(), "redaction", "mask", f"r{number % 7}", "acme"))
        name = f"{os.getpid()}-{number}"
        assert trail.append_sync(GovernanceEvent(time.time_ns(), "quota", "reload", name))
        os.write(acknowledge, name.encode() + b"\\n")
        number += 1

rng, acknowledged = random.Random(9), []
for crash in range(0, crashes, at_a_time):
    children = []
    for _ in range(at_a_time):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write(writer)
            finally:
                os._exit(1)
        os.close(writer)
        children.append((child, reader))
    # Every second time all are past their beginning, however slow the machine; else it may be at any moment.
    if crash // at_a_time % 2:
        for _, reader in children:
            select.select([reader], [], [])
    time.sleep(rng.uniform(0.02, 0.4))
    for child, reader in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe:
            acknowledged += pipe.read().decode().splitlines()
print(json.dumps(acknowledged))
"""


def test_honest_crashes_are_no_alarm_and_lose_nothing_that_was_acknowledged(tmp_path: Path, key: SigningKey) -> None:
    """Writers are forked from a process that has its imports behind it, and killed at any moment."""
    trail, key_file = tmp_path / "trail", tmp_path / "key.pem"
    key_file.write_bytes(key.to_pem())
    arguments = [str(trail), str(key_file), str(CRASHES), str(AT_A_TIME)]
    done = subprocess.run([sys.executable, "-c", _CRASHES, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    acknowledged = set(json.loads(done.stdout))
    verdict = verify(trail, public_key=key.verifying_key)
    assert [each for each in verdict.streams if each.status is not Status.OK] == []
    assert len(verdict.streams) >= CRASHES // 2
    written = {each["reason"] for each in read_records(trail) if each["action"] == "reload"}
    assert acknowledged <= written
    assert len(acknowledged) >= CRASHES // 2
