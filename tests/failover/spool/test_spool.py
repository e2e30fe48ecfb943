"""One spool after another on one directory: restart, bounds, damage, keys, whose it is."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from otelwarden.core import ConfigError
from otelwarden.failover import inspect

from .conftest import TENANTS, Rig

OpenSpool = Callable[..., Rig]
Segments = Callable[[], list[Path]]


def test_what_was_appended_is_there_after_a_restart(open_spool: OpenSpool) -> None:
    first = open_spool()
    records = [first.append(b"body %d" % number) for number in range(10)]
    assert None not in records
    for number in (0, 3, 9):
        first.spool.settle(records[number])  # type: ignore[arg-type]
    first.spool.close()
    second = open_spool().take_over()
    assert second.bodies == [b"body %d" % number for number in range(10) if number not in (0, 3, 9)]
    assert all(record.tenants == TENANTS for record in second.found)
    stats = second.spool.stats()
    assert (stats.records, stats.capacity, stats.unreadable) == (7, 1 << 30, 0)
    assert stats.bytes > 7 * len(b"body 0")


def test_nothing_is_left_of_what_was_settled(open_spool: OpenSpool, tmp_path: Path) -> None:
    first = open_spool(max_bytes=1 << 20)
    left = [first.append(os.urandom(20_000)) for _ in range(10)]
    first.spool.close()
    second = open_spool(max_bytes=1 << 20).take_over()
    assert len(second.found) == len(left)
    for record in second.found:
        second.spool.settle(record)
    second.spool.close()
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["format"]


def test_a_full_spool_drops_the_oldest(open_spool: OpenSpool, segments: Segments) -> None:
    rig = open_spool(max_bytes=1 << 20)
    appended = [rig.append(bytes([number]) * 10_000) for number in range(200)]
    assert None not in appended
    gone = len(rig.evicted)
    assert rig.evicted == appended[:gone]
    assert rig.spool.stats().records == 200 - gone
    assert sum(path.stat().st_size for path in segments()) <= 1 << 20
    assert 200 - gone >= 80  # bytes are used to the bound, but for one segment and its rest
    rig.spool.close()
    assert open_spool(max_bytes=1 << 20).take_over().bodies == [bytes([n]) * 10_000 for n in range(gone, 200)]


def test_a_batch_larger_than_a_segment_has_one_of_its_own(open_spool: OpenSpool) -> None:
    rig = open_spool(max_bytes=1 << 20)
    assert rig.append(b"x" * 500_000) is not None
    assert rig.append(b"x" * (2 << 20)) is None
    assert rig.runtime.error_counts()["failover"] == {"append:OSError": 1}
    rig.spool.close()
    assert [len(body or b"") for body in open_spool().take_over().bodies] == [500_000]


@pytest.mark.parametrize("part", ["magic", "header", "meta", "body"])
def test_each_flipped_byte_costs_one_record(
    open_spool: OpenSpool, segments: Segments, tmp_path: Path, part: str
) -> None:
    rig = open_spool()
    records = [rig.append(b"body %d" % number) for number in range(20)]
    (segment,) = segments()
    rig.spool.close()
    data = bytearray(segment.read_bytes())
    for number in (0, 7, 19):
        record = records[number]
        assert record is not None
        data[record.offset + {"magic": 0, "header": 20, "meta": 45, "body": record.size - 1}[part]] ^= 0x40
    segment.write_bytes(data)
    after = open_spool().take_over()
    intact = [b"body %d" % number for number in range(20) if number not in (0, 7, 19)]
    assert [body for body in after.bodies if body is not None] == intact
    (taken,) = after.taken
    # With its header intact, it is known whose items are lost as soon as it is read.
    assert (after.bodies.count(None), taken.damaged) == ((3, 0) if part == "body" else (0, 3))
    assert all(record.tenants == TENANTS for record in after.found)
    (report,) = inspect(tmp_path / "spool")
    assert (report.corrupt, report.corrupt_items, report.damaged) == ((3, 9, 0) if part == "body" else (0, 0, 3))


def test_a_byte_that_flips_while_it_waits_costs_one_record(open_spool: OpenSpool, segments: Segments) -> None:
    rig = open_spool()
    first, second = rig.append(b"first"), rig.append(b"second")
    assert first is not None
    assert second is not None
    with segments()[0].open("r+b") as file:
        file.seek(first.offset + first.size - 1)
        file.write(b"!")
    assert (rig.spool.read(first), rig.spool.read(second)) == (None, b"second")


def test_a_segment_cut_short_costs_what_was_cut(open_spool: OpenSpool, segments: Segments) -> None:
    rig = open_spool()
    records = [rig.append(b"body %d" % number) for number in range(5)]
    (segment,) = segments()
    rig.spool.close()
    assert records[3] is not None
    os.truncate(segment, records[3].offset + records[3].size - 1)
    after = open_spool().take_over()
    assert after.bodies == [b"body 0", b"body 1", b"body 2"]
    assert after.taken[0].corrupt == [TENANTS]


def test_permissions(open_spool: OpenSpool, segments: Segments, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o755)
    open_spool().append(b"secret")
    for path in (tmp_path / "spool").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["otelwarden spool 2\n", "something else", ""])
def test_another_format_is_refused(open_spool: OpenSpool, tmp_path: Path, text: str) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "format").write_text(text)
    with pytest.raises(ConfigError) as refused:
        open_spool()
    assert [fault.pointer for fault in refused.value.faults] == ["/path"]


def test_a_path_that_cannot_be_a_directory_is_refused(open_spool: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(ConfigError):
        open_spool()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_of_another_user_is_refused(open_spool: OpenSpool, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    os.chown(tmp_path / "spool", 65534, -1)
    with pytest.raises(ConfigError, match="belongs to the user 65534"):
        open_spool()


def key_file(path: Path, byte: bytes) -> str:
    path.write_text(base64.b64encode(byte * 32).decode() + "\n")
    return str(path)


def test_bodies_are_encrypted_at_rest(open_spool: OpenSpool, segments: Segments, tmp_path: Path) -> None:
    key = key_file(tmp_path / "key", b"k")
    rig = open_spool(key_file=key)
    record = rig.append(b"ada@example.org")
    assert record is not None
    assert b"ada@example.org" not in segments()[0].read_bytes()
    assert rig.spool.read(record) == b"ada@example.org"
    rig.spool.close()
    assert open_spool(key_file=key).take_over().bodies == [b"ada@example.org"]


def test_what_another_key_encrypted_is_kept(open_spool: OpenSpool, tmp_path: Path) -> None:
    old, new = key_file(tmp_path / "old", b"o"), key_file(tmp_path / "new", b"n")
    rig = open_spool(key_file=old)
    rig.append(b"old")
    rig.spool.close()
    rig = open_spool(key_file=new)
    rig.append(b"new")
    rig.take_over()
    assert [record.readable for record in rig.found] == [False]
    assert (rig.spool.stats().records, rig.spool.stats().unreadable) == (2, 1)
    rig.spool.close()
    after = open_spool(key_file=old).take_over()
    assert [record.readable for record in after.found] == [True, False]
    assert after.bodies[0] == b"old"


@pytest.mark.parametrize("text", [None, "not base64!", base64.b64encode(b"short").decode()])
def test_a_key_that_is_none_is_refused(open_spool: OpenSpool, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "key").write_text(text)
    with pytest.raises(ConfigError) as refused:
        open_spool(key_file=str(tmp_path / "key"))
    assert [fault.pointer for fault in refused.value.faults] == ["/key_file"]
    assert text is None or text not in str(refused.value)


def test_a_living_stream_is_left_alone(open_spool: OpenSpool, tmp_path: Path) -> None:
    living, other = open_spool(), open_spool()
    living.append(b"mine")
    assert other.take_over().found == []
    (report,) = inspect(tmp_path / "spool")
    assert (report.alive, report.waiting, report.items, report.tenants) == (True, 1, 3, TENANTS)
    living.spool.close()
    assert other.take_over().bodies == [b"mine"]


@pytest.mark.parametrize("fsync", ["each", "interval", "none"])
def test_every_policy_keeps_what_was_appended(open_spool: OpenSpool, fsync: str) -> None:
    rig = open_spool(fsync=fsync, fsync_interval=0.01, max_bytes=1 << 20)
    for number in range(30):
        rig.append(bytes([number]) * 5_000)
    rig.spool.sync()
    rig.spool.close()
    assert rig.append(b"late") is None
    after = open_spool().take_over()
    assert after.bodies == [bytes([number]) * 5_000 for number in range(30)]
    assert set(rig.runtime.error_counts()["failover"]) == {"append:OSError"}


def test_it_is_foreseen_when_a_spool_is_full(open_spool: Callable[..., Rig]) -> None:
    rig = open_spool(max_bytes=1 << 20)
    assert rig.spool.stats().seconds_until_full is None
    rig.append(bytes(10_000))
    stats = replace(rig.spool.stats(), oldest_age=2.0)
    growth = stats.bytes / 2.0
    assert stats.seconds_until_full == pytest.approx(((1 << 20) - stats.bytes) / growth)
    assert replace(stats, bytes=2 << 20).seconds_until_full == 0
