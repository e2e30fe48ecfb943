"""The small examples, run as anybody would run them: as a process, with nothing set up."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

EXPECTED = {
    "add_processors": [
        "audit trail: OK",
        "the first span: 'greet [REDACTED]'",
        "acme: 3 spans arrived",
        "stranger: 0 spans arrived",
    ],
    "asyncio_service": [
        "acme: 100 spans and log records",
        "globex: 100 spans and log records",
        "initech: 100 spans and log records",
        "tagged with another tenant: 0",
    ],
    "configure_by_file": [
        "items that nobody accounts for: 0",
        "'db.query.text': \"SELECT * FROM customers WHERE email = '[REDACTED]'\"",
        "log     'could not reach [REDACTED], will try again' of acme",
        "metric  orders = 1 {",
        "the address is among the bytes that arrived: False",
    ],
    "asgi_tokens": ["acme: 3 spans", "globex: 3 spans"],
    "flask_tokens": ["acme: 8 spans", "quarantine: 4 spans", "unattributed: 4 spans"],
    "failover_only": ["of 200 spans 200 arrived", "healthy, took"],
}
"""Lines, or parts of them, that an example prints."""


@functools.cache
def run(name: str) -> subprocess.CompletedProcess[str]:
    """An example in a process of its own, once, in an environment that says nothing about telemetry."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
    )


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == EXPECTED.keys()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_runs_by_itself(name: str) -> None:
    done = run(name)

    assert done.returncode == 0, done.stderr
    for line in EXPECTED[name]:
        assert line in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_is_small(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 80


def test_noisy_tenant_is_sampled_and_a_quiet_one_is_not() -> None:
    done = run("add_processors")

    arrived = {line.split(":")[0]: int(line.split()[1]) for line in done.stdout.splitlines() if "arrived" in line}
    assert arrived["acme"] == 3
    assert 20 <= arrived["initech"] < 250  # the burst at least, of 500
