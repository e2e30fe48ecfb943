"""A disk that is really full, files that are not ours, heads and tails that were torn, and any batches at all."""

from __future__ import annotations

import errno
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import ConfigError, total
from otelwarden.failover import inspect
from otelwarden.failover.spool.records import HEADER_SIZE
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import Rig
from .test_delivery import App, names

OpenSpool = Callable[..., Rig]
DISK = 2 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB; its segments, a sixteenth of `max_bytes`, take an eighth of it each."""
    path = tmp_path / "disk"
    path.mkdir()
    command = shutil.which("mount")
    if command is None or subprocess.run([command, "-t", "tmpfs", "-o", f"size={DISK}", "none", path]).returncode:
        pytest.xfail("no file system may be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_costs_what_could_not_be_written(small_disk: Path) -> None:
    rig = Rig(small_disk / "spool", max_bytes=4 << 20)
    kept = [record for number in range(300) if (record := rig.append(bytes([number % 256]) * 10_000)) is not None]
    assert 190 < len(kept) < 210, len(kept)
    assert rig.evicted == []  # not the oldest in vain, for the bound is not reached
    assert set(rig.runtime.error_counts()["failover"]) == {"append:OSError"}
    assert shutil.disk_usage(small_disk).free < 4 * 4096
    # It goes on draining, for which it needs no space, and that makes room.
    for record in kept[:100]:
        assert rig.spool.read(record) is not None
        rig.spool.settle(record)
    more = sum(rig.append(b"after" * 2_000) is not None for _ in range(120))
    assert 70 < more < 110, more  # room comes back by segments
    rig.spool.close()
    after = Rig(small_disk / "spool", max_bytes=4 << 20).take_over()
    assert len(after.bodies) == len(kept) - 100 + more
    assert after.bodies[-1] == b"after" * 2_000
    after.spool.close()


def test_others_may_fill_the_disk_while_a_segment_is_open(small_disk: Path) -> None:
    """Its bytes were taken when it was made: what fits in is written, though the disk has none left."""
    rig = Rig(small_disk / "spool", max_bytes=4 << 20)
    assert rig.append(b"first") is not None
    with (small_disk / "others").open("wb", buffering=0) as file, pytest.raises(OSError, match="space") as full:
        while True:
            file.write(bytes(4096))
    assert full.value.errno == errno.ENOSPC
    assert rig.append(b"second" * 1000) is not None
    assert rig.append(bytes(300_000)) is None  # needs another segment
    rig.spool.close()
    assert Rig(small_disk / "spool").take_over().bodies == [b"first", b"second" * 1000]


def test_with_a_full_disk_batches_go_from_memory(small_disk: Path, pair: list[FaultyReceiver]) -> None:
    app = App(small_disk / "spool", pair)
    with (small_disk / "others").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            file.write(bytes(4096))
    app.send("a", "b", "c")
    assert app.exporter.force_flush(60_000)
    assert names(*pair) == ["a", "b", "c"]
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    app.send("d")
    app.wait_until(lambda: not app.account.held)
    assert app.account.dropped == {"spool_failed": 1}
    with (small_disk / "others").open("r+b") as file:  # less than a segment is free
        file.truncate(DISK - (64 << 10))
    app.send("e")
    for receiver in pair:
        receiver.clear_fault()
    assert app.exporter.force_flush(60_000)
    assert names(*pair) == ["a", "b", "c", "e"]
    app.provider.shutdown()
    assert total(app.runtime.balances(), "failover").unaccounted == 0


def test_a_torn_header_costs_its_record(open_spool: OpenSpool, segments: Callable[[], list[Path]]) -> None:
    rig = open_spool()
    records = [rig.append(b"body %d" % number) for number in range(4)]
    rig.spool.close()
    torn = records[3]
    assert torn is not None
    with segments()[0].open("r+b") as file:  # the power went when half of the last header was written
        file.seek(torn.offset + HEADER_SIZE // 2)
        file.write(bytes(HEADER_SIZE // 2))
    after = open_spool().take_over()
    assert after.bodies == [b"body 0", b"body 1", b"body 2"]
    assert [taken.damaged for taken in after.taken] == [1]


def test_files_that_are_not_ours_are_left_alone(open_spool: OpenSpool, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    rig = open_spool()
    rig.append(b"ours")
    (stream,) = [path for path in spool.iterdir() if path.is_dir()]
    rig.spool.close()
    foreign = [spool / "notes.txt", spool / "lost+found" / "1", stream / "editor.swp", stream / "not-hex.segment"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("theirs")
    (spool / "traces-elsewhere").symlink_to(tmp_path, target_is_directory=True)
    (stream / "0000000009-00000000.segment").symlink_to(tmp_path / "nowhere")
    after = open_spool().take_over()
    assert after.bodies == [b"ours"]
    assert [report.waiting for report in inspect(spool) if report.segments] == [1]
    after.spool.settle(after.found[0])
    after.spool.close()
    assert all(path.read_text() == "theirs" for path in foreign)


@pytest.mark.parametrize("directory", ["/proc/self", "/dev/null/spool"])
def test_a_directory_that_cannot_be_written_is_refused(directory: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Rig(Path(directory))
    assert [fault.pointer for fault in refused.value.faults] == ["/path"]


BATCHES = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=9_000), st.dictionaries(st.text(max_size=8), st.integers(1, 99), min_size=1)
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(BATCHES, st.data())
def test_what_is_not_settled_comes_back_as_it_was(batches: list[tuple[bytes, dict[str, int]]], data: Any) -> None:
    settled = data.draw(st.sets(st.integers(0, len(batches) - 1)))
    with tempfile.TemporaryDirectory() as directory:
        first = Rig(Path(directory) / "spool", max_bytes=1 << 20)
        records = [first.append(body, tenants) for body, tenants in batches]
        for number in settled:
            record = records[number]
            assert record is not None
            first.spool.settle(record)
        first.spool.close()
        after = Rig(Path(directory) / "spool", max_bytes=1 << 20).take_over()
        expected = [batch for number, batch in enumerate(batches) if number not in settled]
        assert [
            (body, dict(record.tenants)) for body, record in zip(after.bodies, after.found, strict=True)
        ] == expected
        after.spool.close()


def test_what_makes_room_is_told_by_record(open_spool: OpenSpool) -> None:
    rig = open_spool(max_bytes=1 << 16)
    appended = [rig.append(bytes(20_000), {"acme": number}) for number in range(1, 8)]
    gone = len(rig.evicted)
    assert rig.evicted == appended[:gone]
    assert [record.tenants["acme"] for record in rig.evicted] == list(range(1, gone + 1))
    assert 0 < gone < 7
