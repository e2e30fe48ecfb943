"""`gunicorn --preload -w 4`: configured once in the master, four workers that each send and prove their own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from otelwarden.audit import verify
from otelwarden.testing import FaultyReceiver

REQUESTS = 60

APPLICATION = """
import os, time
from opentelemetry import trace
from otelwarden.pipeline import configure
from otelwarden.tenancy import use_tenant

warden = configure("otelwarden.json")
tracer = trace.get_tracer("app")
tracer.start_span("made in the master").end()

def application(environ, start_response):
    with use_tenant("acme"), tracer.start_as_current_span(environ["PATH_INFO"]) as span:
        span.set_attribute("worker", os.getpid())
        span.set_attribute("note", "ask ada@example.com")
        time.sleep(0.05)  # busy, so that the next request goes to another worker
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@contextmanager
def held_port() -> Iterator[int]:
    """A port that nobody else is given, and on which one who says so may listen all the same."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def get(url: str) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                body: bytes = response.read()
                return body
        except OSError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)


def test_each_worker_sends_and_proves_its_own(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver, held_port() as port:
        pipeline = {"processors": ["tenancy", "quota", "redaction", "audit"], "exporters": ["failover"]}
        document = {
            "processors": {"tenancy": {"unknown": "pass"}, "quota": {}, "redaction": {}, "audit": {"path": "audit"}},
            "exporters": {"failover": {"endpoints": [{"url": receiver.grpc_endpoint}], "shutdown_patience": "60s"}},
            "service": {"pipelines": {"traces": pipeline}},
        }
        (tmp_path / "otelwarden.json").write_text(json.dumps(document), encoding="utf-8")
        (tmp_path / "app.py").write_text(APPLICATION, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--preload",
            "-w",
            "4",
            "-b",
            f"127.0.0.1:{port}",
            "app:application",
        ]
        server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            urls = [f"http://127.0.0.1:{port}/{number}" for number in range(REQUESTS)]
            with ThreadPoolExecutor(8) as clients:
                workers = set(clients.map(get, urls))
        finally:
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=120)
        assert server.returncode == 0, errors
        spans = receiver.spans()
        verdict = verify(tmp_path / "audit")
    assert Counter(span.name for span in spans) == Counter(
        [f"/{number}" for number in range(REQUESTS)] + ["made in the master"]
    )
    assert {str(span.attributes["worker"]).encode() for span in spans if "worker" in span.attributes} == workers
    assert len(workers) > 1
    assert {span.attributes["tenant.id"] for span in spans if span.name != "made in the master"} == {"acme"}
    assert not any("ada@example.com" in str(span.attributes.get("note")) for span in spans)
    assert verdict.ok, verdict
    assert len(verdict.streams) == len(workers) + 1
