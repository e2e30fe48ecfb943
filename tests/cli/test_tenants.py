"""`otelwarden tenants` as a user runs it, with a process that reads the same file."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from otelwarden.core import LOGS, TRACES, GovernanceEvent, Runtime
from otelwarden.quota import QuotaConfig, QuotaLimiter, Used, open_store
from otelwarden.quota.usageevents import usage_events
from otelwarden.quota.usagesinks import as_lines
from otelwarden.tenancy import Tenancy, TenantRegistry

COMMAND = [str(Path(sys.executable).with_name("otelwarden")), "tenants"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.yaml"
    path.write_text(
        "tenants:\n"
        "- {id: acme, name: Acme, settings: {plan: gold, region: eu, headers: {X-Scope-OrgID: acme}}}\n"
        "- {id: late, name: Late, status: pending}\n"
    )
    return path


def test_tenants_are_listed(file: Path) -> None:
    done = run("ls", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["TENANT", "STATUS", "REASON", "PLAN", "REGION", "NAME"],
        ["acme", "active", "gold", "eu", "Acme"],
        ["late", "pending", "Late"],
    ]
    assert [entry["id"] for entry in json.loads(run("ls", file, "--json", "--status", "pending").stdout)] == ["late"]


def test_one_is_shown(file: Path) -> None:
    assert "headers:  X-Scope-OrgID = acme" in run("show", file, "acme").stdout
    assert json.loads(run("show", file, "acme", "--json").stdout)["settings"]["plan"] == "gold"


def test_one_is_suspended_and_activated_where_the_file_is_read(file: Path) -> None:
    runtime = Runtime()
    heard: list[GovernanceEvent] = []
    runtime.observe(heard.append)
    registry = TenantRegistry(file, runtime=runtime)
    tenancy = Tenancy(registry, runtime=runtime)
    done = run("suspend", file, "acme", "--reason", "unpaid", "--actor", "user:ann")
    assert done.returncode == 0
    assert done.stdout.startswith("acme is suspended (unpaid)")
    registry.reload()
    assert tenancy.admit("acme").reason == "tenant_suspended"
    assert ("suspend", "unpaid", "acme", "user:ann") in [(e.action, e.reason, e.tenant, e.actor) for e in heard]
    assert json.loads(run("activate", file, "acme", "--json").stdout)["status"] == "active"
    assert run("deactivate", file, "late", "--reason", "left").stdout.startswith("late is inactive (left)")
    registry.reload()
    assert registry.stats() == {"total": 2, "active": 1, "suspended": 0, "inactive": 1, "pending": 0}
    registry.close()


def test_what_cannot_be_done_is_said(file: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("show", file, "nobody"), "no tenant is registered as 'nobody'"),
        (("ls", tmp_path / "none.yaml"), "cannot be read"),
        (("suspend", file, "acme", "--reason", "Not a word"), "malformed"),
        (("activate", file, "acme", "--actor", "ann"), "malformed"),
        (("suspend", file, "acme"), "--reason"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The file of a store in which acme has used its hour up, and late nearly nothing."""
    path = tmp_path / "quota.db"
    config = QuotaConfig.from_mapping(
        {
            "default": {
                "logs": {"budget": {"items": "2000/month"}, "soft_budget": {"bytes": "1MiB/month"}},
                "traces": {"rate": "500/s", "burst": 1000},
            },
            "store": {"type": "file", "path": str(path)},
        }
    )
    runtime = Runtime()
    limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
    assert limiter.allow("acme", LOGS, 2000, 3 << 20)
    assert limiter.allow("late", LOGS, 500, 1 << 10)
    assert limiter.allow("late", TRACES, 10)
    limiter.close()
    return path


def test_usage_is_shown_with_a_bar_for_each_budget(store: Path) -> None:
    done = run("usage", store)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = [line.split("  ") for line in done.stdout.splitlines()]
    assert [word.strip() for word in head if word] == ["TENANT", "SIGNAL", "LIMIT", "USED", "RESETS", "RUNS OUT"]
    shown = [[word.strip() for word in row if word] for row in rows]
    assert [row[:5] for row in shown] == [
        ["acme", "logs", "1 MiB/month soft", "█" * 16, "3 MiB"],
        ["acme", "logs", "2,000/month", "█" * 16, "2,000"],
        ["late", "logs", "1 MiB/month soft", "░" * 16, "1 KiB"],
        ["late", "logs", "2,000/month", "████" + "░" * 12, "500"],
    ]
    assert [row[-1] for row in shown[:2]] == ["now", "now"]
    assert all(row[6].startswith("in ") for row in shown)


def test_usage_of_one_tenant_with_its_rates_as_json(store: Path) -> None:
    found = json.loads(run("usage", store, "--tenant", "late", "--rates", "--json").stdout)
    assert [(each["scope"], each["unit"], each["kind"]) for each in found] == [
        ("logs", "bytes", "month"),
        ("logs", "items", "month"),
        ("traces", "items", "rate"),
    ]
    assert [(each["limit"], each["used"]) for each in found[:2]] == [(1 << 20, 1 << 10), (2000, 500)]
    assert "500/s" in run("usage", store, "--tenant", "late", "--rates").stdout
    assert run("usage", store, "--tenant", "nobody").stdout == "nothing was used\n"


def test_usage_of_what_is_no_store_is_refused(file: Path, tmp_path: Path) -> None:
    for path, message in ((file, "it is not the file of a file store"), (tmp_path / "none.db", "cannot be read")):
        done = run("usage", path)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr


def test_usage_fits_the_terminal(store: Path) -> None:
    """Bars take what the words leave of the line."""
    for columns, width in ((80, 8), (120, 40)):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        environment.pop("NO_COLOR", None)
        shown = subprocess.run([*COMMAND, "usage", store], stdout=theirs, env=environment, timeout=60)
        os.close(theirs)
        written = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert shown.returncode == 0
        assert "\x1b[31m█" in written
        lines = re.sub(r"\x1b\[[0-9;]*m", "", written).splitlines()
        assert [line.split()[0] for line in lines] == ["TENANT", "acme", "acme", "late", "late"]
        assert all(len(line) <= columns for line in lines)
        assert width <= lines[1].count("█") <= 40


def test_a_bill_counts_each_event_once(tmp_path: Path) -> None:
    used = {("acme", "traces"): Used(1200, 345_678, {"rate": 5}, {"rate": 99}), ("acme", "logs"): Used(7, 700)}
    first, second = (
        usage_events(used, source="/shop", stream="5", since=since, until=since + 3600, now=since)
        for since in (1_793_534_400, 1_793_538_000)
    )
    (tmp_path / "usage-2026-11.jsonl").write_bytes(as_lines([*first, *second, first[0]]))
    done = run("bill", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["acme", "logs", "14", "1,400", "0"],
        ["acme", "traces", "2,400", "691,356", "10", "rate", "10"],
    ]
    (tmp_path / "usage-2026-10.jsonl").write_bytes(b"half a li")
    done = run("bill", tmp_path, "--since", "2026-11-01T14:00:00+01:00", "--json")
    assert done.returncode == 1
    assert "0 contradict an earlier one, 1 lines are no usage event" in done.stderr
    found = json.loads(done.stdout)
    assert (found["events"], found["repeated"], found["used"][0]["items"]) == (2, 0, 7)
    assert run("bill", tmp_path / "none").returncode == 2
