"""Segments whose time is over: what is dropped, what stays of it, and what an attacker can make of that."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import (
    AuditTrail,
    Due,
    Keep,
    Retention,
    RetirementRefused,
    SigningKey,
    Status,
    StreamEntry,
    TrailEvidence,
    due_segments,
    last_records,
    list_streams,
    prove,
    read_records,
    retire,
    verify,
)
from otelwarden.audit.checkpoints import split_notes
from otelwarden.audit.locking import locked
from otelwarden.audit.merkle import Frontier, leaf_hash, subtrees
from otelwarden.audit.tombstone import Kept, Subtree, Tombstone, parts_of
from otelwarden.core import ConfigError, GovernanceEvent, Runtime
from otelwarden.testing import FakeClock

DAY = 86_400.0
MONTH = Retention({"default": Keep(at_least=30 * DAY)})

OpenTrail = Callable[..., AuditTrail]


def write(trail: AuditTrail, clock: FakeClock, count: int, action: str = "reload", **more: Any) -> None:
    for i in range(count):
        assert trail.append_sync(GovernanceEvent(clock.time_ns(), "pipeline", action, f"r{i}", **more))


@pytest.fixture
def aged(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path, runtime: Runtime) -> Path:
    """A trail of a closed stream in several segments, with checkpoints between, and a young one."""
    trail = open_trail(segment_bytes=4096, witness=tmp_path / "witness")
    account = runtime.ledger("quota", "traces").account("acme")
    for _ in range(9):
        account.received.tick()
        account.forwarded.tick()
        write(trail, clock, 7)
        assert trail.checkpoint()
    assert trail.close()
    clock.advance(40 * DAY)
    young = open_trail(segment_bytes=4096, witness=tmp_path / "witness")
    write(young, clock, 20)
    assert young.close()
    return tmp_path / "trail"


def drop(open_trail: OpenTrail, tmp_path: Path, retention: Retention = MONTH, **more: Any) -> list[Due]:
    trail = open_trail(witness=tmp_path / "witness")
    trail.runtime.clock.advance(1.0)  # type: ignore[attr-defined]  # a FakeClock; streams are named by their time
    found = retire(trail, retention, **more)
    assert trail.close()
    return found


def old_stream(path: Path) -> Path:
    return min(each for each in path.iterdir() if (each / "checkpoints").exists())


def test_a_range_is_cut_into_the_largest_subtrees() -> None:
    for first in range(40):
        for end in range(first, 70):
            found = subtrees(first, end)
            assert [at for at, _ in found] == [first, *(at + count for at, count in found)][:-1]
            assert sum(count for _, count in found) == end - first
            assert all(count & (count - 1) == 0 and at % count == 0 for at, count in found)
            assert len(found) <= 2 * 7


def test_a_grafted_tree_is_the_same() -> None:
    leaves = [leaf_hash(b"record %d" % i) for i in range(70)]
    rng = random.Random()
    for _ in range(200):
        first, end = sorted(rng.sample(range(71), 2))
        cuts = rng.sample(range(71), 3)
        kept = [Kept(i, b"record %d" % i) for i in range(first, end) if rng.random() < 0.1]
        tree = Frontier()
        tree.extend(leaves[:first])
        for part in parts_of(first, leaves[first:end], kept, cuts):
            if isinstance(part, Subtree):
                tree.graft(part.leaves, part.root)
            else:
                tree.extend([leaf_hash(part.line)])
            plain = Frontier()
            plain.extend(leaves[: tree.size])
            assert tree.root() == plain.root()
        assert tree.size == end
        tree.extend(leaves[end:])
        plain = Frontier()
        plain.extend(leaves)
        assert tree.root() == plain.root()


@pytest.mark.parametrize("leaves", [0, 3, 4, -2])
def test_what_is_no_subtree_is_refused(leaves: int) -> None:
    tree = Frontier()
    tree.extend([leaf_hash(b"")] * 2)
    with pytest.raises(ValueError, match="no complete subtree"):
        tree.graft(leaves, bytes(32))


def test_what_is_old_is_dropped_and_all_is_well(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    before = verify(aged, against=tmp_path / "witness")
    assert before.status is Status.OK
    stream = old_stream(aged)
    dropped = {file.name for file in stream.glob("records-*")}
    assert len(dropped) > 3
    found = drop(open_trail, tmp_path, actor="user:alice", reason="the year is over")
    assert {due.segment.path.name for due in found} == dropped
    assert not list(stream.glob("records-*"))
    assert len(list(stream.glob("retired-*"))) == len(dropped)
    after = verify(aged, against=tmp_path / "witness")
    assert after.status is Status.OK, after
    assert [each.records for each in after.streams[:2]] == [each.records for each in before.streams]
    events = [each for each in read_records(aged) if each["action"] == "retire"]
    assert {(each["actor"], each["reason"]) for each in events} == {("user:alice", "the year is over")}
    assert sum(each["count"] for each in events) == before.streams[0].records
    assert drop(open_trail, tmp_path) == []


def test_what_is_dropped_is_gone_and_what_the_trail_says_of_itself_stays(
    aged: Path, open_trail: OpenTrail, tmp_path: Path
) -> None:
    stream = old_stream(aged)
    drop(open_trail, tmp_path)
    left = b"".join(file.read_bytes() for file in stream.iterdir() if file.name != "checkpoints")
    assert b"reload" not in left
    assert [each["action"] for each in read_records(stream)] == ["open", "close"]
    assert [each["action"] for each in last_records(stream, 5)] == ["open", "close"]
    assert [each.action for each in TrailEvidence(stream).records()] == ["open", "close"]
    entries: list[StreamEntry] = list_streams(aged)
    assert entries[0].records == entries[0].sealed == verify(aged).streams[0].records


def test_later_proofs_hold(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    """Of every record that is left, in a stream of which some segments are gone; by the tree's definition."""
    stream = old_stream(aged)
    lines = b"".join(file.read_bytes() for file in sorted(stream.glob("records-*"))).split(b"\n")[:-1]
    before = [prove(stream, sequence).text for sequence in range(len(lines))]
    shutil.copytree(aged, tmp_path / "copy")
    parts = sorted(stream.glob("records-*"))
    rng = random.Random()
    for chosen in (parts[:1], parts[1:3], parts[-1:], rng.sample(parts, 2)):
        shutil.rmtree(aged)
        shutil.copytree(tmp_path / "copy", aged)
        left = [file for file in parts if file not in chosen]
        holds = Retention({"default": Keep(at_least=30 * DAY)})
        trail = open_trail()
        gone = set()
        for due in due_segments(aged, holds, trail.runtime.clock.time_ns()):
            if due.segment.path in chosen:
                gone |= set(range(due.segment.first, due.end))
        # The others are rescued from the copy: what matters is the shape that is left.
        retire(trail, holds)
        assert trail.close()
        for file in left:
            shutil.copy(tmp_path / "copy" / stream.name / file.name, file)
        assert verify(aged).status is Status.OK
        for sequence, line in enumerate(lines):
            stays = b'"action":"open"' in line or b'"action":"close"' in line
            if sequence in gone and not stays:
                with pytest.raises(ConfigError, match="dropped when its time was over"):
                    prove(stream, sequence)
            else:
                proof = prove(stream, sequence)
                assert proof.text == before[sequence]
                assert proof.record == line


def test_one_stream_alone(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    drop(open_trail, tmp_path)
    assert verify(old_stream(aged)).status is Status.OK


def test_a_stream_in_use_keeps_its_last_segment(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path) -> None:
    trail = open_trail(segment_bytes=4096)
    write(trail, clock, 60)
    assert trail.checkpoint()
    clock.advance(40 * DAY)
    found = retire(trail, MONTH)
    (stream,) = (tmp_path / "trail").glob("2*")
    last = max(stream.glob("records-*"))
    assert len(found) == len(list(stream.glob("retired-*"))) > 2
    write(trail, clock, 60)
    assert trail.checkpoint()
    assert verify(tmp_path / "trail").status is Status.OK
    assert trail.close()
    assert last.exists()
    assert verify(tmp_path / "trail").status is Status.OK


def test_what_dropped_segments_may_be_dropped_in_its_turn(
    aged: Path, open_trail: OpenTrail, clock: FakeClock, tmp_path: Path
) -> None:
    for _ in range(4):
        drop(open_trail, tmp_path)
        clock.advance(40 * DAY)
        assert verify(aged, against=tmp_path / "witness").status is Status.OK
    assert len([each for each in read_records(aged) if each["action"] == "retire"]) > 4


def test_the_longest_rule_of_a_segment_counts(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path) -> None:
    rules = Retention({"default": Keep(at_least=10 * DAY), "tenancy/suspend": Keep(at_least=50 * DAY)})
    trail = open_trail()
    write(trail, clock, 3)
    assert trail.append_sync(GovernanceEvent(clock.time_ns(), "tenancy", "suspend", "unpaid", "acme"))
    assert trail.close()
    clock.advance(49 * DAY)
    assert due_segments(tmp_path / "trail", rules, clock.time_ns()) == []
    clock.advance(2 * DAY)
    (due,) = due_segments(tmp_path / "trail", rules, clock.time_ns())
    assert not due.overdue


def test_a_kind_without_a_rule_stays_for_ever(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path) -> None:
    trail = open_trail()
    write(trail, clock, 3)
    assert trail.close()
    clock.advance(9999 * DAY)
    rules = Retention({"redaction": Keep(at_most=10 * DAY)})
    assert due_segments(tmp_path / "trail", rules, clock.time_ns()) == []


def test_what_stayed_longer_than_it_may_is_said(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path) -> None:
    rules = Retention({"default": Keep(at_least=50 * DAY), "redaction": Keep(at_most=10 * DAY)})
    (conflict,) = rules.conflicts()
    assert conflict == "redaction is to be gone after 10d, but default, in the same file, stays for 50d or more"
    trail = open_trail()
    write(trail, clock, 1)
    trail(GovernanceEvent(clock.time_ns(), "redaction", "mask", "pii/email", "acme"))
    assert trail.close()
    clock.advance(60 * DAY)
    (due,) = due_segments(tmp_path / "trail", rules, clock.time_ns())
    assert due.overdue


def test_rules_without_a_conflict() -> None:
    rules = Retention({"default": Keep(at_least=5 * DAY, at_most=10 * DAY), "redaction": Keep(at_most=7 * DAY)})
    assert [*rules.conflicts()] == []
    without = Retention({"redaction": Keep(at_most=7 * DAY)})
    assert "without a rule" in next(without.conflicts())


ATTACKS: dict[str, Callable[[Path], None]] = {}


def attack(change: Callable[[Path], None]) -> Callable[[Path], None]:
    ATTACKS[change.__name__.replace("_", " ")] = change
    return change


def a_stone(stream: Path) -> Path:
    return sorted(stream.glob("retired-*"))[1]


def forge(stream: Path, segment: Path) -> None:
    """What an attacker can make without the key: everything but the record of it."""
    lines = segment.read_bytes().split(b"\n")[:-1]
    first = int(segment.stem.removeprefix("records-"))
    sizes = [int(note.text.split(b"\n")[1]) for note in split_notes((stream / "checkpoints").read_bytes()).notes]
    leaves = [leaf_hash(line) for line in lines]
    stone = Tombstone(
        stream=stream.name, first=first, end=first + len(lines), earliest_ns=1, latest_ns=2,
        last=leaves[-1][:8].hex(), parts=parts_of(first, leaves, [], sizes),
    )  # fmt: skip
    segment.with_name(segment.name.replace("records", "retired")).write_bytes(stone.text())
    segment.unlink()


@attack
def a_hash_changed(stream: Path) -> None:
    stone = a_stone(stream)
    head, first, *rest = stone.read_bytes().split(b"\n")
    fact = json.loads(first)
    fact["root"] = "A" * 43 + "="
    stone.write_bytes(b"\n".join([head, json.dumps(fact, separators=(",", ":")).encode(), *rest]))


@attack
def a_time_changed(stream: Path) -> None:
    stone = a_stone(stream)
    stone.write_bytes(stone.read_bytes().replace(b'"earliest":"1', b'"earliest":"2'))


@attack
def a_tombstone_damaged(stream: Path) -> None:
    stone = a_stone(stream)
    stone.write_bytes(stone.read_bytes()[:-9])


@attack
def a_tombstone_emptied(stream: Path) -> None:
    a_stone(stream).write_bytes(b"")


@attack
def a_tombstone_taken(stream: Path) -> None:
    a_stone(stream).unlink()


@attack
def the_last_tombstone_taken(stream: Path) -> None:
    sorted(stream.glob("retired-*"))[-1].unlink()


@attack
def a_tombstone_of_another_segment(stream: Path) -> None:
    one, two = sorted(stream.glob("retired-*"))[:2]
    two.write_bytes(one.read_bytes())


@attack
def a_kept_record_changed(stream: Path) -> None:
    stone = min(stream.glob("retired-*"))
    stone.write_bytes(stone.read_bytes().replace(b'"action":"open"', b'"action":"opex"'))


@attack
def a_segment_cut_and_a_tombstone_forged(stream: Path) -> None:
    young = sorted(each for each in stream.parent.iterdir() if (each / "checkpoints").exists())[1]
    forge(young, min(young.glob("records-*")))


@attack
def the_last_segment_cut_and_a_tombstone_forged(stream: Path) -> None:
    young = sorted(each for each in stream.parent.iterdir() if (each / "checkpoints").exists())[1]
    forge(young, max(young.glob("records-*")))


@attack
def a_tombstone_beside_its_segment(stream: Path) -> None:
    young = sorted(each for each in stream.parent.iterdir() if (each / "checkpoints").exists())[1]
    segment = min(young.glob("records-*"))
    data = segment.read_bytes()
    forge(young, segment)
    segment.write_bytes(data)


@attack
def the_event_taken(stream: Path) -> None:
    shutil.rmtree(max(each for each in stream.parent.iterdir() if (each / "checkpoints").exists()))


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_on_what_stays(aged: Path, open_trail: OpenTrail, tmp_path: Path, name: str) -> None:
    drop(open_trail, tmp_path)
    assert verify(aged).status is Status.OK
    ATTACKS[name](old_stream(aged))
    assert verify(aged).status in (Status.TAMPERED, Status.TRUNCATED)


def test_an_event_that_nobody_sealed_is_none(
    open_trail: OpenTrail, clock: FakeClock, tmp_path: Path, aged: Path
) -> None:
    """Whoever has no key can still write to the end of a stream that was not closed."""
    live = open_trail(witness=tmp_path / "witness")
    clock.advance(1.0)
    write(live, clock, 3)
    assert live.checkpoint()
    shutil.copytree(aged, tmp_path / "copy")
    stream = old_stream(tmp_path / "copy")
    segment = min(stream.glob("records-*"))
    forge(stream, segment)
    stone = stream / segment.name.replace("records", "retired")
    tail = max((tmp_path / "copy").glob("2*/records-*"))
    last = tail.read_bytes().split(b"\n")[-2]
    event = {
        **json.loads(last), "component": "audit", "action": "retire", "previous": leaf_hash(last)[:8].hex(),
        "target": f"{stream.name}/{stone.name} sha256:{hashlib.sha256(stone.read_bytes()).hexdigest()}",
    }  # fmt: skip
    event["sequence"] += 1
    with tail.open("ab") as file:
        file.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    verdict = verify(tmp_path / "copy")
    assert {each.stream: each.status for each in verdict.streams}[tail.parent.name] is Status.OK
    assert verdict.status is Status.TAMPERED
    assert "no record of the trail" in next(each.message for each in verdict.streams if each.stream == stream.name)


def test_every_bit_of_a_tombstone(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    drop(open_trail, tmp_path)
    stone = a_stone(old_stream(aged))
    data = stone.read_bytes()
    rng = random.Random()
    for _ in range(120):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        stone.write_bytes(bytes(changed))
        assert verify(aged).status is Status.TAMPERED
        last_records(aged, 5)
        list_streams(aged)
    stone.write_bytes(data)
    assert verify(aged).status is Status.OK


def test_nothing_is_dropped_of_a_trail_that_does_not_verify(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    segment = min(old_stream(aged).glob("records-*"))
    segment.write_bytes(segment.read_bytes().replace(b"r3", b"r4", 1))
    before = sorted(old_stream(aged).iterdir())
    with pytest.raises(RetirementRefused, match="TAMPERED"):
        drop(open_trail, tmp_path)
    assert sorted(old_stream(aged).iterdir()) == before


def test_a_crash_between_is_made_good(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    stream = old_stream(aged)
    shutil.copytree(stream, tmp_path / "before")
    drop(open_trail, tmp_path)
    first, second = sorted((tmp_path / "before").glob("records-*"))[:2]
    shutil.copy(first, stream)  # recorded and sealed, a tombstone there, the segment not yet gone
    shutil.copy(second, stream)  # recorded and sealed, and nothing more
    (stream / second.name.replace("records", "retired")).unlink()
    assert verify(aged, against=tmp_path / "witness").status is Status.OK
    assert len(drop(open_trail, tmp_path)) == 2
    assert not list(stream.glob("records-*"))
    assert verify(aged, against=tmp_path / "witness").status is Status.OK


def test_a_process_does_it_at_its_start(aged: Path, key: SigningKey, runtime: Runtime, tmp_path: Path) -> None:
    trail = AuditTrail(aged, key=key, runtime=runtime, retention={"default": Keep(at_least=30 * DAY)})
    assert trail.append_sync(GovernanceEvent(1, "pipeline", "reload", "x"), timeout=30.0)
    stream = old_stream(aged)
    end = time.monotonic() + 60
    while list(stream.glob("records-*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert trail.close()
    assert verify(aged).status is Status.OK


def test_segments_follow_each_other_by_age(open_trail: OpenTrail, clock: FakeClock, tmp_path: Path) -> None:
    trail = open_trail(segment_age=3600.0, checkpoint_interval=1e9)
    for _ in range(3):
        write(trail, clock, 2)
        clock.advance(3600.0)
    assert trail.close()
    (stream,) = (tmp_path / "trail").glob("2*")
    assert len(list(stream.glob("records-*"))) == 4
    assert verify(tmp_path / "trail").status is Status.OK


def test_a_child_that_is_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # lives until the parent lets it go
            os._exit(0)
        with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
            pass
    try:
        with locked(tmp_path, wait=False):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        os.close(reading)


def test_two_processes_do_not_drop_at_once(aged: Path, open_trail: OpenTrail, tmp_path: Path) -> None:
    trail = open_trail(witness=tmp_path / "witness")
    with locked(aged), pytest.raises(BlockingIOError):
        retire(trail, MONTH, wait=False)
    assert list(old_stream(aged).glob("records-*"))
