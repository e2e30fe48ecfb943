"""Servers that load an application and then fork, and interpreters that end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

APPS = Path(__file__).parent / "apps"
WORKERS = 4
Until = Callable[[Callable[[], object]], None]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return json.load(answer)


def spans_in(directory: Path) -> dict[int, list[tuple[str, str]]]:
    """Process id -> the name and tenant of each span it exported."""
    return {
        int(file.stem): [tuple(json.loads(line)) for line in file.read_text().splitlines()]
        for file in directory.glob("*.spans")
    }


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_worker_of_a_preforking_server_exports_its_own_spans_once(
    tmp_path: Path, free_port: int, until: Until
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "-w", str(WORKERS), "-b", f"127.0.0.1:{free_port}", "shop:app"],
        cwd=APPS,
        env=os.environ | {"SHOP_DIRECTORY": str(tmp_path)},
        stderr=subprocess.PIPE,
    )
    bought: dict[int, set[str]] = defaultdict(set)
    accounts: dict[int, list[Any]] = {}
    lock = threading.Lock()

    def up() -> bool:
        assert server.poll() is None, server.communicate()
        try:
            get(f"{url}/account")
        except OSError:
            return False
        return True

    def buy(customer: int) -> None:
        for number in range(40):
            answer = get(f"{url}/buy/t{customer % 3}/{customer}.{number}")
            with lock:
                bought[answer["pid"]].add(f"{customer}.{number}")

    try:
        until(up)
        customers = [threading.Thread(target=buy, args=(customer,)) for customer in range(8)]
        for customer in customers:
            customer.start()
        for customer in customers:
            customer.join()

        def all_told() -> bool:
            answer = get(f"{url}/account")
            assert answer["flushed"]
            accounts[answer["pid"]] = answer["accounts"]
            return accounts.keys() >= bought.keys()

        until(all_told)
    finally:
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=120)
    assert server.returncode == 0, log

    assert len(bought) > 1, "one worker served everybody, which shows nothing"
    exported = spans_in(tmp_path)
    master = exported.pop(server.pid)
    assert master == [("of the master", "unattributed")]
    everything = Counter(name for spans in exported.values() for name, _ in spans)
    assert len(everything) == 2 * 8 * 40
    assert max(everything.values()) == 1
    for worker, numbers in bought.items():
        assert {name for name, _ in exported[worker]} == {f"{verb} {n}" for verb in ("buy", "pay") for n in numbers}
        assert all(tenant == f"t{int(name.split()[1].split('.')[0]) % 3}" for name, tenant in exported[worker])
        of = {c: [a for a in accounts[worker] if a[0] == c] for c in ("first", "batch", "last")}
        for rows in of.values():
            assert sum(received for _, _, received, _, _ in rows) == 2 * len(numbers)
            assert all(unaccounted == 0 and received == forwarded for _, _, received, forwarded, unaccounted in rows)


LAST_WORDS = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from otelwarden.core import FairBatchSpanProcessor

class Print(SpanExporter):
    def export(self, spans):
        for span in spans:
            print(span.name, flush=True)
        return SpanExportResult.SUCCESS
    def shutdown(self):
        print("shut down", flush=True)

provider = TracerProvider()
provider.add_span_processor(FairBatchSpanProcessor(Print()))
tracer = provider.get_tracer("test")
"""


@pytest.mark.parametrize(
    ("ending", "returns", "expected"),
    [
        ("tracer.start_span('a').end()", 0, ["a", "shut down"]),
        ("for n in range(600): tracer.start_span(str(n)).end()", 0, [*map(str, range(600)), "shut down"]),
        ("tracer.start_span('a').end(); sys.exit(3)", 3, ["a", "shut down"]),
        ("tracer.start_span('a').end(); 1/0", 1, ["a", "shut down"]),
        ("pass", 0, ["shut down"]),
        ("import atexit; atexit.register(lambda: tracer.start_span('very late').end())", 0, ["very late", "shut down"]),
        (
            "import threading\n"
            "main = threading.main_thread()\n"
            "threading.Thread(target=lambda: (main.join(), tracer.start_span('thread').end())).start()",
            0,
            ["thread", "shut down"],
        ),
    ],
    ids=["a span", "many spans", "sys.exit", "a crash", "nothing", "a span at exit", "a thread that outlives main"],
)
def test_what_is_made_right_before_the_interpreter_ends_is_exported(
    ending: str, returns: int, expected: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAST_WORDS + ending], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.split("\n")[:-1] == expected, done.stderr
    assert done.returncode == returns
    assert "otelwarden" not in done.stderr
