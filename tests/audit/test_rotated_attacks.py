"""Random edits of a trail whose key was rotated, judged from the first key alone and, wherever that can be, no witness.

Attacks by the thousand, all of them against a witness, are in `test_attacks.py`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from otelwarden.audit import AuditTrail, Checkpoint, SigningKey, Status, verify
from otelwarden.audit.batch import NO_PREVIOUS, PREVIOUS_BYTES
from otelwarden.audit.checkpoints import account_digest, sign, split_notes
from otelwarden.audit.merkle import Frontier, leaf_hash
from otelwarden.core import GovernanceEvent, Runtime
from otelwarden.testing import FakeClock

EDITS = 960
FOUND = {Status.TAMPERED, Status.TRUNCATED, Status.FORKED, Status.KEY_UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What an attacker can write: the records and the checkpoints of a stream."""

    lines: list[bytes]
    notes: list[bytes]
    checkpoints: list[Checkpoint]
    keys: dict[str, SigningKey]
    other: list[bytes]
    """Records of another stream, sealed by the first key."""


def recomputed(lines: list[bytes]) -> list[bytes]:
    """Numbered and linked anew, which takes no key."""
    made, previous = [], NO_PREVIOUS.decode()
    for sequence, line in enumerate(lines):
        event = {**json.loads(line), "sequence": sequence, "previous": previous}
        made.append(json.dumps(event, separators=(",", ":")).encode())
        previous = leaf_hash(made[-1])[:PREVIOUS_BYTES].hex()
    return made


def changed(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    """Another reason in one of the records of decisions."""
    i = rng.choice([i for i, line in enumerate(lines) if b'"action":"reload"' in line])
    event = {**json.loads(lines[i]), "reason": f"forged{rng.randrange(10**6)}"}
    return recomputed([*lines[:i], json.dumps(event, separators=(",", ":")).encode(), *lines[i + 1 :]])


def sealed(lines: list[bytes], state: State, signer: Callable[[Checkpoint], SigningKey]) -> list[bytes]:
    """All checkpoints anew, over other records."""
    notes = []
    for each in state.checkpoints:
        tree = Frontier()
        tree.extend([leaf_hash(line) for line in lines[: each.size]])
        digest = account_digest(lines[each.size - each.account_records : each.size])
        key = signer(each)
        notes.append(sign(replace(each, root=tree.root(), account_digest=digest, key_id=key.key_id), key))
    return notes


def careless(kind: str, rng: random.Random, state: State) -> list[bytes]:
    """The records after an edit of one kind."""
    lines = state.lines
    i, j = sorted(rng.sample(range(len(lines)), 2))
    match kind:
        case "delete":
            return lines[:i] + lines[i + 1 :]
        case "duplicate":
            return [*lines[:j], lines[i], *lines[j:]]
        case "swap":
            return [*lines[:i], lines[j], *lines[i + 1 : j], lines[i], *lines[j + 1 :]]
        case "insert":
            made = json.dumps({**json.loads(lines[i]), "reason": "made up"}, separators=(",", ":")).encode()
            return [*lines[:j], made, *lines[j:]]
        case _:
            return [*lines[:i], rng.choice(state.other), *lines[i + 1 :]]


LINE_EDITS = ("delete", "duplicate", "swap", "insert", "splice")
BYTE_EDITS = ("flip", "flip in checkpoints", "truncate")
KEY_EDITS = ("rollback", "fork", "later key", "wrong key")


def edited(kind: str, rng: random.Random, state: State) -> tuple[bytes, bytes]:
    """The bytes of both files after an edit of one kind."""
    lines, notes = state.lines, state.notes
    if kind in LINE_EDITS:
        lines = careless(kind, rng, state)
        lines = recomputed(lines) if rng.random() < 0.5 else lines
    elif kind == "rollback":
        keep = rng.randrange(1, len(notes))
        lines, notes = lines[: state.checkpoints[keep - 1].size], notes[:keep]
    elif kind in KEY_EDITS:
        first, last = state.checkpoints[0].key_id, state.checkpoints[-1].key_id
        stranger = SigningKey.generate()
        lines = changed(rng, lines)
        signers: dict[str, Callable[[Checkpoint], SigningKey]] = {
            "fork": lambda each: state.keys[each.key_id],
            "later key": lambda _: state.keys[last],
            "wrong key": lambda each: stranger if each.key_id == first else state.keys[last],
        }
        notes = sealed(lines, state, signers[kind])
    records, checkpoints = bytearray(b"\n".join(lines) + b"\n"), bytearray(b"".join(notes))
    if kind == "truncate":
        del records[rng.randrange(len(records)) :]
    elif kind in BYTE_EDITS:
        target = records if kind == "flip" else checkpoints
        target[rng.randrange(len(target))] ^= 1 << rng.randrange(8)
    return bytes(records), bytes(checkpoints)


@pytest.fixture
def rotated(
    open_trail: Callable[..., AuditTrail], tmp_path: Path, key: SigningKey, clock: FakeClock, runtime: Runtime
) -> tuple[Path, State]:
    """A closed stream of two keys, witnessed outside."""
    later = SigningKey.generate()
    account = runtime.ledger("quota", "traces").account("acme")

    def decide(trail: AuditTrail, name: str) -> None:
        for number in range(4):
            account.received.tick()
            account.forwarded.tick()
            assert trail.append_sync(GovernanceEvent(clock.time_ns(), "pipeline", "reload", f"{name}{number}"))
        assert trail.checkpoint()

    other = open_trail("other")
    decide(other, "other")
    assert other.close()
    trail = open_trail(witness=tmp_path / "witness")
    decide(trail, "before")
    decide(trail, "still")
    clock.advance(120)
    assert trail.rotate_key(later)
    decide(trail, "after")
    assert trail.close()
    (records,) = (tmp_path / "trail").glob("*/records-*")
    (others,) = (tmp_path / "other").glob("*/records-*")
    found = split_notes(records.with_name("checkpoints").read_bytes()).notes
    state = State(
        lines=records.read_bytes().splitlines(),
        notes=[each.text + b"\n" + b"".join(line + b"\n" for line in each.signatures) for each in found],
        checkpoints=[Checkpoint.parse(each.text) for each in found],
        keys={each.key_id: each for each in (key, later)},
        other=others.read_bytes().splitlines(),
    )
    return records, state


def test_random_edits_of_a_rotated_trail(rotated: tuple[Path, State], tmp_path: Path, key: SigningKey) -> None:
    """Only a rollback and a fork by the keys' holder need the witness; all others show without."""
    rng = random.Random(6962)
    records, state = rotated
    checkpoints = records.with_name("checkpoints")
    witness = tmp_path / "witness"
    good = records.read_bytes(), checkpoints.read_bytes()
    assert verify(tmp_path / "trail", public_key=key.verifying_key, against=witness).status is Status.OK
    kinds = (*LINE_EDITS, *BYTE_EDITS, *KEY_EDITS)
    missed: Counter[str] = Counter()
    for number in range(EDITS):
        kind = kinds[number % len(kinds)]
        bad = edited(kind, rng, state)
        assert bad != good
        records.write_bytes(bad[0])
        checkpoints.write_bytes(bad[1])
        against = witness if kind in ("rollback", "fork") else None
        verdict = verify(tmp_path / "trail", public_key=key.verifying_key, against=against)
        missed[kind] += verdict.status not in FOUND
        if kind == "later key":  # a key that is known by now, and was not when these records were sealed
            assert verdict.status is Status.TAMPERED
        if against and number < 10 * len(kinds):  # the forgery is a good one: nothing inside the trail betrays it
            assert verify(tmp_path / "trail", public_key=key.verifying_key).status is Status.OK
    assert not +missed
    records.write_bytes(good[0])
    checkpoints.write_bytes(good[1])
    assert verify(tmp_path / "trail", public_key=key.verifying_key, against=witness).status is Status.OK
