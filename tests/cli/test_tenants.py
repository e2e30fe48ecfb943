"""`otelwarden tenants` as a user runs it, with a process that reads the same file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from otelwarden.core import GovernanceEvent, Runtime
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
