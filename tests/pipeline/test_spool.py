"""A spool in the configuration file: what a killed process left is delivered by the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from otelwarden.testing import FaultyReceiver

APPLICATION = """
import os, signal, sys
from opentelemetry import trace
from otelwarden.pipeline import configure

warden = configure("otelwarden.json")
tracer = trace.get_tracer("app")
for name in sys.argv[2:]:
    tracer.start_span(name, attributes={"note": "ask ada@example.com"}).end()
if sys.argv[1] == "dies":
    while sum(each.held for each in warden.stats().balances if each.component == "failover") < 3:
        warden.force_flush(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
warden.force_flush(60)
print(warden.stats().unaccounted, len(warden.stats().spools))
"""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", APPLICATION, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)


def test_what_a_killed_process_left_is_delivered(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver:
        document = {
            "processors": {"redaction": {}},
            "exporters": {"failover": {"endpoints": [{"url": receiver.grpc_endpoint}], "spool": {"path": "spool"}}},
            "service": {"pipelines": {"traces": {"processors": ["redaction"], "exporters": ["failover"]}}},
        }
        (tmp_path / "otelwarden.json").write_text(json.dumps(document), encoding="utf-8")
        receiver.kill()
        assert run(tmp_path, "dies", "a", "b", "c").returncode == -9
        on_disk = b"".join(file.read_bytes() for file in (tmp_path / "spool").rglob("*") if file.is_file())
        receiver.restart()
        done = run(tmp_path, "lives", "d")
        assert done.stdout == "0 1\n", done.stderr
        assert sorted(span.name for span in receiver.wait_for_spans(4)) == ["a", "b", "c", "d"]
    # What waits on disk has been redacted before.
    assert b"ask " in on_disk
    assert b"ada@example.com" not in on_disk
