"""`otelwarden audit ls|tail|grep`, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from otelwarden.audit import AuditTrail, SigningKey, last_records, list_streams
from otelwarden.core import GovernanceEvent, Runtime

COMMAND = str(Path(sys.executable).with_name("otelwarden"))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two streams whose decisions alternate in time; the second is left open."""
    directory = tmp_path_factory.mktemp("listing") / "trail"
    key = SigningKey.generate()
    trails = [
        AuditTrail(directory, key=key, runtime=Runtime(), coalesce_window=0, segment_bytes=4096, sync_timeout=60.0)
        for _ in "ab"
    ]
    for trail in trails:
        assert trail.append_sync(GovernanceEvent(time.time_ns(), "redaction", "reload", "policy.yaml"))
    start = time.time_ns()
    for second in range(40):
        tenant = f"tenant-{second % 4}"
        event = GovernanceEvent(start + second * 10**9, "redaction", "mask", "pii/email", tenant, "traces", second + 1)
        trails[second % 2](event)
    for trail in trails:
        assert trail.flush()
    evil = GovernanceEvent(start + 41 * 10**9, "tenancy", "suspend", "\x1b[31m\nforged line", "tenant-9", count=1)
    assert trails[0].append_sync(evil, actor="user:alice")
    assert trails[0].close()
    yield directory
    trails[1].close()


def test_ls(trail: Path) -> None:
    found = list_streams(trail)
    assert sorted(each.closed for each in found) == [False, True]
    assert all(each.records >= 21 and each.checkpoints >= 1 for each in found)
    done = run("ls", trail)
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["STREAM", "BEGAN", "RECORDS", "SEALED", "CHECKPOINTS", "CLOSED"]
    assert [row.split()[0] for row in rows] == [each.stream for each in found]
    assert [row["stream"] for row in json.loads(run("ls", trail, "--json").stdout)] == [each.stream for each in found]


def test_tail_goes_by_time_over_all_streams(trail: Path) -> None:
    masks = [each for each in last_records(trail, 1000) if each["action"] == "mask"]
    assert [each["count"] for each in masks] == list(range(1, 41))
    shown = [json.loads(line) for line in run("tail", trail, "-n", "5", "--json").stdout.splitlines()]
    assert shown == last_records(trail, 5)


def test_grep(trail: Path) -> None:
    done = run("grep", trail, "--tenant", "tenant-2", "--action", "mask", "--json")
    assert [json.loads(line)["count"] for line in done.stdout.splitlines()] == list(range(3, 41, 4))
    fifth = next(each for each in last_records(trail, 1000) if each["action"] == "mask" and each["count"] == 5)
    end = datetime.fromtimestamp(int(fifth["time"]) / 1e9 + 0.5, tz=timezone.utc).isoformat()
    first = ["--since", "1h", "--until", end.replace("+00:00", "Z")]
    done = run("grep", trail, "--action", "mask", *first)
    assert [line.split()[3] for line in done.stdout.splitlines()] == [f"x{count}" for count in range(1, 6)]
    done = run("grep", trail, "--pattern", "user:ali.e")
    assert "actor=user:alice" in done.stdout
    assert done.returncode == 0
    done = run("grep", trail, "--tenant", "nobody")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_record_cannot_write_to_the_terminal(trail: Path) -> None:
    done = run("grep", trail, "--action", "suspend")
    assert len(done.stdout.splitlines()) == 1
    assert "\x1b" not in done.stdout
    assert "\\x1b[31m\\nforged line" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grep", "--pattern", "("), "no regular expression"),
        (("grep", "--since", "yesterday-ish"), "no moment"),
    ],
)
def test_bad_input(trail: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments, trail)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("command", ["ls", "tail", "grep"])
def test_a_trail_that_is_not_there(tmp_path: Path, command: str) -> None:
    done = run(command, tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "cannot be" in done.stderr
    assert "Traceback" not in done.stderr
