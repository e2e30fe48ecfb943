"""The `otelwarden` command as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from otelwarden.audit import AuditTrail
from otelwarden.cli import main
from otelwarden.core import Runtime
from otelwarden.schemas import schema_names

COMMAND = [str(Path(sys.executable).with_name("otelwarden"))]
GOOD = {
    "exporters": {"failover": {}},
    "service": {"pipelines": {"traces": {"exporters": ["failover"]}}},
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    runtime = Runtime()
    trail = AuditTrail(tmp_path / "audit", runtime=runtime, sync_timeout=60.0)
    runtime.observe(trail)
    for number in range(5):
        runtime.emit("quota", "drop", "rate", tenant=f"tenant-{number}", signal="traces")
    assert trail.close()
    return tmp_path / "audit"


def test_validate_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    done = run("validate", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: good\n", "")


def test_validate_names_every_fault(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    bad.write_text("service: {pipelines: {traces: {exporters: [nowhere]}}}\ncolour: red\n", encoding="utf-8")
    done = run("validate", str(bad), str(good))
    assert done.returncode == 1
    assert f"{bad}:/colour: unknown key; given 'colour'; allowed: compliance, exporters" in done.stderr
    assert f"{good}: good" in done.stdout


def test_validate_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("validate", str(tmp_path / "nowhere.yaml"))
    assert done.returncode == 1
    assert "cannot be read" in done.stderr


@pytest.mark.parametrize("name", schema_names())
def test_a_schema_stands_on_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    # Without a registry every reference must be found inside.
    list(jsonschema.Draft202012Validator(schema).iter_errors({}))


def test_the_bundled_schema_judges_like_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    assert validator.is_valid(GOOD)
    assert not validator.is_valid({**GOOD, "processors": {"tenancy": {"unknown": "maybe"}}})
    assert not validator.is_valid({**GOOD, "processors": {"quota": {"default": {"traces": {"rat": "5/s"}}}}})
    assert not validator.is_valid({**GOOD, "exporters": {"failover": {"endpoints": [{"ur": "x"}]}}})


def test_verify_an_honest_trail(trail: Path) -> None:
    done = run("audit", "verify", str(trail))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stdout
    assert "rollback" in done.stdout


def test_verify_a_changed_trail(trail: Path) -> None:
    (file,) = trail.glob("*/records-*.jsonl")
    file.write_bytes(file.read_bytes().replace(b"tenant-3", b"tenant-4"))
    done = run("audit", "verify", str(trail), "--json")
    assert done.returncode == 1
    verdict = json.loads(done.stdout)
    assert verdict["status"] == "TAMPERED"
    assert verdict["streams"][0]["sequence"] is not None


def test_verify_says_how_far_it_is(trail: Path) -> None:
    quiet, shown = run("audit", "verify", str(trail)), run("audit", "verify", str(trail), "--progress")
    assert "%" not in quiet.stderr
    assert f"audit [{'#' * 30}] 100%" in shown.stderr
    assert (shown.returncode, shown.stdout) == (quiet.returncode, quiet.stdout)


def test_verify_what_is_not_there(tmp_path: Path) -> None:
    done = run("audit", "verify", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "cannot be read" in done.stderr


def test_help_and_no_command() -> None:
    assert run("--help").returncode == 0
    done = run()
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_hold_and_retire(trail: Path, tmp_path: Path) -> None:
    who = ("--actor", "user:alice", "--reason", "case 17")
    dry = run("audit", "retire", str(trail), "--at-least", "0", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "would be dropped" in dry.stdout
    placed = run("audit", "hold", "add", str(trail), "--tenant", "tenant-3", *who)
    assert placed.returncode == 0, placed.stderr
    listed = run("audit", "hold", "ls", str(trail)).stdout
    assert placed.stdout.strip() in listed
    assert "tenant-3" in listed
    file = tmp_path / "otelwarden.yaml"
    document = {**GOOD, "processors": {"audit": {"retention": {"default": {"at_least": 0}}}}}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    held = run("audit", "retire", str(trail), "--config", str(file))
    assert held.returncode == 0, held.stderr
    assert f"held by {placed.stdout.strip()}" in held.stdout
    released = run("audit", "hold", "release", str(trail), placed.stdout.strip(), *who)
    assert released.returncode == 0, released.stderr
    assert run("audit", "hold", "ls", str(trail)).stdout == "nothing is held\n"
    done = run("audit", "retire", str(trail), "--config", str(file), *who)
    assert " dropped" in done.stdout
    left = b"".join(each.read_bytes() for each in trail.rglob("*.jsonl"))
    assert b"tenant-1" not in left
    assert run("audit", "verify", str(trail)).returncode == 0
    assert run("audit", "retire", str(trail), "--config", str(file)).stdout == "nothing is due\n"


def test_retire_what_cannot_be(trail: Path, tmp_path: Path) -> None:
    assert run("audit", "retire", str(tmp_path / "nowhere"), "--at-least", "1d").returncode == 2
    assert run("audit", "hold", "add", str(trail), "--actor", "user:a", "--reason", "x").returncode == 2
    file = tmp_path / "otelwarden.yaml"
    file.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    done = run("audit", "retire", str(trail), "--config", str(file))
    assert done.returncode == 2
    assert "no retention" in done.stderr
    (segment,) = trail.glob("*/records-*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"tenant-3", b"tenant-4"))
    done = run("audit", "retire", str(trail), "--at-least", "0")
    assert done.returncode == 2
    assert "TAMPERED" in done.stderr
    assert segment.exists()
