"""The demo: it succeeds as it is, and fails when what it shows is not true."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from otelwarden.audit import verify

SHOP = Path(__file__).parents[2] / "examples" / "shop"


def run_demo(tmp_path: Path, *arguments: str, seconds: float = 4) -> subprocess.CompletedProcess[str]:
    """A short demo whose audit trail is under `tmp_path`."""
    data = tmp_path / "data"
    data.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, str(SHOP / "demo.py"), "--seconds", str(seconds), "--plain", "--data", str(data), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture
def copied_config(tmp_path: Path) -> Path:
    """A copy of the shop's configuration, with the files it names beside it."""
    directory = tmp_path / "config"
    shutil.copytree(SHOP, directory, ignore=shutil.ignore_patterns("*.py", "*.md", "__pycache__", "data"))
    return directory / "otelwarden.yaml"


def test_demo_holds_what_it_shows(tmp_path: Path) -> None:
    done = run_demo(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every claim holds." in done.stdout
    assert "FAILED" not in done.stdout
    assert "the primary receiver (pid" in done.stdout
    assert "from the kill to the first batch at the secondary receiver" in done.stdout
    assert "over its rate" in done.stdout
    assert "the tenant is suspended" in done.stdout
    assert "shop-cards" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 100
    assert verify(tmp_path / "data" / "audit", against=tmp_path / "data" / "witness.txt").ok
    page = tmp_path / "data" / "compliance.html"
    assert str(page) in done.stdout
    assert "PCI DSS" in done.stdout
    assert "Compliance of telemetry" in page.read_text(encoding="utf-8")


def test_demo_lives_in_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    data = tmp_path / "data"
    data.mkdir()
    demo = subprocess.Popen(
        [sys.executable, str(SHOP / "demo.py"), "--seconds", "2", "--data", str(data)],
        stdout=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "60"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)

    assert demo.wait(120) == 0, shown[-8000:].decode(errors="replace")
    assert b"\x1b[" in shown
    assert b"in flight" in shown
    assert b"Every claim holds." in shown


@pytest.mark.parametrize(
    ("processor", "failure", "holding"),
    [
        # All else is as it was: it is the redaction that makes the difference.
        ("redaction", "FAILED: personal data left the process", 6),
        ("tenancy", "has no tenant.id.", 5),
    ],
)
def test_demo_fails_without(processor: str, failure: str, holding: int, tmp_path: Path, copied_config: Path) -> None:
    document = yaml.safe_load(copied_config.read_text())
    for pipeline in document["service"]["pipelines"].values():
        pipeline["processors"].remove(processor)
    copied_config.write_text(yaml.safe_dump(document))

    done = run_demo(tmp_path, "--config", str(copied_config), seconds=2)

    assert done.returncode == 1
    assert failure in done.stdout
    assert "Every claim holds." not in done.stdout
    assert done.stdout.count("holds  ") == holding


def test_demo_says_what_is_wrong_with_its_configuration(tmp_path: Path, copied_config: Path) -> None:
    copied_config.write_text("service: {}\n")

    done = run_demo(tmp_path, "--config", str(copied_config))

    assert done.returncode == 1
    assert "FAILED: payments did not start" in done.stdout
    assert "pipelines" in done.stdout
