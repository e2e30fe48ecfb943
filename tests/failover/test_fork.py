"""A process that forks: the child starts with nothing of its parent's, and both deliver."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from otelwarden.testing import FaultyReceiver

_SCRIPT = """
import json, os, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otelwarden.core import Runtime, total
from otelwarden.failover import Endpoint, FailoverSpanExporter

protocol, dead, alive = sys.argv[1:]
runtime = Runtime()
# The first endpoint refuses, so that health, probes and a queue exist when the process forks.
exporter = FailoverSpanExporter(
    [Endpoint(url=dead, protocol=protocol), Endpoint(url=alive, protocol=protocol)], runtime=runtime
)
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(BatchSpanProcessor(exporter))
tracer = provider.get_tracer("fork")

def work(name, count):
    for _ in range(count):
        tracer.start_span(name).end()

def report(name):
    done = provider.force_flush() and exporter.force_flush(60_000)
    provider.shutdown()
    balance = total(runtime.balances(), "failover")
    print(json.dumps([name, done, balance.received, balance.forwarded, balance.held, balance.unaccounted]), flush=True)

work("before", 3)
provider.force_flush(); exporter.force_flush()
pid = os.fork()
if pid == 0:
    assert total(runtime.balances(), "failover").received == 0
    work("child", 4)
    report("child")
    os._exit(0)
work("parent", 2)
os.waitpid(pid, 0)
report("parent")
"""


@pytest.mark.filterwarnings("ignore")
def test_parent_and_child_deliver_and_count_what_is_theirs(pair: list[FaultyReceiver], protocol: str) -> None:
    dead, alive = pair
    dead.kill()
    urls = [each.grpc_endpoint if protocol == "grpc" else each.http_endpoint for each in (dead, alive)]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, protocol, *urls], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    reports = {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}
    assert reports == {"child": [True, 4, 4, 0, 0], "parent": [True, 5, 5, 0, 0]}
    assert sorted(span.name for span in alive.spans()) == ["before"] * 3 + ["child"] * 4 + ["parent"] * 2
