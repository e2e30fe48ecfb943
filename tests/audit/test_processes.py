"""Real processes: killed at any moment, forked, out of disk, ending without a word."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otelwarden.audit import AuditTrail, Status, read_records, verify
from otelwarden.core import GovernanceEvent

WRITER = """
import sys
from otelwarden.audit import AuditTrail
from otelwarden.core import GovernanceEvent, Runtime
runtime = Runtime()
trail = AuditTrail(sys.argv[1], witness=sys.argv[2], checkpoint_interval=0.1, coalesce_window=0.02, runtime=runtime,
                   segment_bytes=4096, sync_timeout=60.0)
account = runtime.ledger("quota", "traces").account("acme")
number = 0
while True:
    for i in range(20):
        account.received.tick()
        trail(GovernanceEvent(runtime.clock.time_ns(), "redaction", "mask", f"rule-{i}", "acme", "traces"))
        account.forwarded.tick()
    if trail.append_sync(GovernanceEvent(runtime.clock.time_ns(), "quota", "reload", str(number))):
        print(number, flush=True)
    number += 1
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """No false alarm, and nothing is lost of what was acknowledged; all rounds share one trail and one witness."""
    rng = random.Random()
    acknowledged = 0
    for _ in range(5):  # each a process from the start; the attacks have hundreds that are forked
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "trail"), str(tmp_path / "witness")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.35))
        process.send_signal(signal.SIGKILL)
        acknowledged += len([first, *process.stdout.read().split("\n")[:-1]])
        process.wait()
    verdict = verify(tmp_path / "trail", against=tmp_path / "witness")
    assert verdict.status is Status.OK, verdict
    assert len(verdict.streams) == 5
    assert not any(stream.closed for stream in verdict.streams)
    reloads = [each for each in read_records(tmp_path / "trail") if each["action"] == "reload"]
    assert len(reloads) >= acknowledged
    assert len(reloads) <= acknowledged + 5  # at most one each whose acknowledgement was cut off
    assert sum(stream.checkpoints for stream in verdict.streams) >= 5


def test_a_fork_has_a_stream_of_its_own(open_trail: Callable[..., AuditTrail], tmp_path: Path) -> None:
    trail = open_trail()
    assert trail.append_sync(GovernanceEvent(1, "quota", "reload", "parent"))
    for i in range(100):
        trail(GovernanceEvent(i, "redaction", "mask", "parent", "acme"))
    child = os.fork()
    if child == 0:
        ok = trail.append_sync(GovernanceEvent(1, "quota", "reload", "child"))
        trail(GovernanceEvent(1, "redaction", "mask", "child", "acme"))
        os._exit(0 if ok and trail.close() else 1)
    assert trail.append_sync(GovernanceEvent(1, "quota", "reload", "parent"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert trail.close()
    verdict = verify(tmp_path / "trail")
    assert verdict.status is Status.OK
    assert len(verdict.streams) == 2
    assert all(stream.closed for stream in verdict.streams)
    by_stream: dict[str, set[str]] = {}
    counts = dict.fromkeys(("parent", "child"), 0)
    for each in read_records(tmp_path / "trail"):
        if each["component"] != "audit":
            by_stream.setdefault(each["stream"], set()).add(each["reason"])
        if each["action"] == "mask":
            counts[each["reason"]] += each["count"]
    assert sorted(map(tuple, by_stream.values())) == [("child",), ("parent",)]
    assert counts == {"parent": 100, "child": 1}


def test_forks_while_the_writer_writes(open_trail: Callable[..., AuditTrail], tmp_path: Path) -> None:
    trail = open_trail(coalesce_window=0)
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            for i in range(200):
                trail(GovernanceEvent(i, "redaction", "mask", "parent", "acme"))
            time.sleep(0.001)

    thread = threading.Thread(target=flood)
    thread.start()
    children = []
    for _ in range(5):
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            trail.append_sync(GovernanceEvent(1, "quota", "reload", "child"))
            os._exit(0 if trail.close() else 1)
        children.append(child)
    stop.set()
    thread.join()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 5
    assert trail.close(60.0)
    verdict = verify(tmp_path / "trail")
    assert (verdict.status, len(verdict.streams)) == (Status.OK, 6)


FULL = """
import json, resource, sys
from otelwarden.audit import AuditTrail
from otelwarden.core import GovernanceEvent, Runtime
trail = AuditTrail(sys.argv[1], coalesce_window=0.02, sync_timeout=60.0, runtime=Runtime())
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
reload = lambda i: trail.append_sync(GovernanceEvent(1, "quota", "reload", str(i), count=3))
kept = [i for i in range(200) if reload(i)]
failing = trail.failing
for i in range(500):
    trail(GovernanceEvent(1, "redaction", "mask", "rule", "acme"))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
again = reload("again")
closed = trail.close()
print(json.dumps({"kept": kept, "failing": failing, "again": again, "closed": closed, "lost": trail.stats().lost}))
"""


def test_a_full_disk_is_declared(tmp_path: Path) -> None:
    """A limit on the length of files fails writes, midway too, as a full disk does."""
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "trail")], capture_output=True, text=True, check=True
    )
    told = json.loads(run.stdout)
    assert told["failing"]
    assert told["again"]
    assert told["closed"]
    kept = told["kept"]
    assert 10 < len(kept) < 200
    assert told["lost"] == {"disk_full": 3 * (200 - len(kept))}
    records = list(read_records(tmp_path / "trail"))
    assert [each["reason"] for each in records if each["action"] == "reload"] == [*map(str, kept), "again"]
    gaps = [each for each in records if each["action"] == "gap"]
    assert [(each["reason"], each["count"]) for each in gaps] == [("disk_full", 3 * (200 - len(kept)))]
    assert sum(each["count"] for each in records if each["action"] == "mask") == 500  # counting needs no disk
    (stream,) = verify(tmp_path / "trail").streams
    assert stream.status is Status.INCOMPLETE
    assert stream.closed


def test_a_full_file_system(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    try:
        trail = AuditTrail(disk / "trail", sync_timeout=60.0)
        results = [trail.append_sync(GovernanceEvent(1, "quota", "reload", "x" * 200)) for _ in range(300)]
        assert results[0]
        assert not results[-1]
        lost = results.count(False)
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        assert trail.append_sync(GovernanceEvent(1, "quota", "reload", "again"))
        assert trail.close()
        gaps = [each for each in read_records(disk / "trail") if each["action"] == "gap"]
        assert sum(each["count"] for each in gaps) == lost == trail.stats().lost["disk_full"]
        assert verify(disk / "trail").status is Status.INCOMPLETE
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_program_that_just_ends_closes_its_trail(tmp_path: Path) -> None:
    program = """
import sys
from otelwarden.audit import AuditTrail
from otelwarden.core import GovernanceEvent
trail = AuditTrail(sys.argv[1])
trail(GovernanceEvent(1, "redaction", "mask", "rule", "acme"))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "trail")], check=True)
    (stream,) = verify(tmp_path / "trail").streams
    assert (stream.status, stream.closed) == (Status.OK, True)


def test_processes_that_start_together_agree_on_a_key(tmp_path: Path) -> None:
    program = """
import sys
from otelwarden.audit import AuditTrail
from otelwarden.core import GovernanceEvent
AuditTrail(sys.argv[1]).append_sync(GovernanceEvent(1, "pipeline", "open", "start"))
"""
    processes = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "trail")]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(list((tmp_path / "trail" / "keys").iterdir())) == 1
    assert verify(tmp_path / "trail").status is Status.OK
