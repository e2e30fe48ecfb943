"""A `rotel` agent in a process of its own, for the benchmarks that need a receiver which is not ours."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

KEEPS_NOTHING = ("--exporter", "blackhole")


@dataclass
class Agent:
    """A running agent."""

    process: subprocess.Popen[bytes]
    grpc_endpoint: str
    http_endpoint: str

    def cpu_seconds(self) -> float:
        """CPU time that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def rotel(options: Sequence[str] = KEEPS_NOTHING) -> Iterator[Agent]:
    """An agent that listens for OTLP on loopback ports.

    Args:
        options: what it does with what it receives.
    """
    with socket.socket() as grpc, socket.socket() as http:
        for each in (grpc, http):
            each.bind(("127.0.0.1", 0))
        ports = grpc.getsockname()[1], http.getsockname()[1]
    listen = ["--otlp-grpc-endpoint", f"127.0.0.1:{ports[0]}", "--otlp-http-endpoint", f"127.0.0.1:{ports[1]}"]
    process = subprocess.Popen(
        [os.fspath(Path(str(files("rotel"))) / "rotel-agent"), "start", *listen, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        for port in ports:
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
        yield Agent(process, f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    finally:
        process.terminate()
        process.wait(10)
