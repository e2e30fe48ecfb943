"""Processes that are killed, fork, or meet a full disk: what append returned for is there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .conftest import Rig

_WRITER = """
import os, resource, sys
from otelwarden.core import Runtime
from otelwarden.failover.spool import Spool, SpoolConfig

path, first, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = SpoolConfig(path=path, fsync="none", max_bytes=1 << 26)
spool = Spool(config, "traces", runtime=Runtime(), on_takeover=lambda taken: None)
if limit:
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if len(sys.argv) > 4:
    spool.append(b"parent", {"acme": 1})
    if os.fork() == 0:
        spool.append(b"child", {"acme": 1})
        os.kill(os.getpid(), 9)
    os.wait()
    spool.append(b"parent", {"acme": 1})
    os.kill(os.getpid(), 9)
number = first
while not limit or number < first + 20:
    body = b"%d " % number + os.urandom(3000)
    done = spool.append(body, {"acme": 1}).record is not None
    os.write(1, b"%d %d\\n" % (number, done))
    number += 1
"""


def writer(path: Path, first: int = 0, limit: int = 0, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _WRITER, str(path), str(first), str(limit), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


_KILLER = """
import os, random, signal, sys, time

sys.argv[2:] = ["0", "0"]
path, writer = sys.argv[1], sys.stdin.read()
import otelwarden.failover.spool, otelwarden.core  # once for all of them: each writer is a fork of this process
rounds = random.Random(1)
for number in range(20):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(theirs, 1)
        os.close(ours); os.close(theirs)
        sys.argv[2] = str(number * 1_000_000)
        exec(writer)
    os.close(theirs)
    lines = open(ours, "rb")
    said = lines.readline()
    time.sleep(rounds.uniform(0, 0.03))  # the moment of death, any is right
    os.kill(pid, signal.SIGKILL)
    sys.stdout.buffer.write(said + lines.read())
    os.waitpid(pid, 0)
"""


def test_kill_9_at_any_moment_loses_nothing(open_spool: Callable[..., Rig], tmp_path: Path) -> None:
    killer = subprocess.run(
        [sys.executable, "-c", _KILLER, tmp_path / "spool"], input=_WRITER.encode(), stdout=subprocess.PIPE, check=True
    )
    lines = killer.stdout.splitlines(keepends=True)
    assert len(lines) >= 20
    acknowledged = {int(line.split()[0]) for line in lines if line.endswith(b" 1\n")}
    after = open_spool(max_bytes=1 << 26).take_over()
    found = [int((body or b"-1").split()[0]) for body in after.bodies]
    assert acknowledged <= set(found)
    assert len(found) == len(set(found)) <= len(acknowledged) + 20
    assert not any(taken.corrupt or taken.damaged for taken in after.taken)
    assert found == sorted(found)


def test_a_disk_that_is_full_costs_what_could_not_be_written(open_spool: Callable[..., Rig], tmp_path: Path) -> None:
    first = open_spool(max_bytes=1 << 26)
    first.append(b"before")
    # The file system's own limit, smaller than a segment: its bytes cannot be taken.
    process = writer(tmp_path / "spool", 0, 100_000)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert output.split(b"\n")[0] == b"0 0"
    assert len(output.splitlines()) == 20
    assert first.append(b"after") is not None
    first.spool.close()
    assert open_spool(max_bytes=1 << 26).take_over().bodies == [b"before", b"after"]


def test_a_forked_child_has_a_stream_of_its_own(open_spool: Callable[..., Rig], tmp_path: Path) -> None:
    process = writer(tmp_path / "spool", 0, 0, "fork")
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    after = open_spool(max_bytes=1 << 26).take_over()
    assert after.bodies == [b"parent", b"parent", b"child"]
    assert len(after.taken) == 2
