"""Exporters with a spool: outages, restarts, order, and requests that are too large."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.cli import main
from otelwarden.core import Runtime, total
from otelwarden.failover import Endpoint, FailoverConfig, FailoverSpanExporter, SpoolConfig
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, PATIENCE


class App:
    def __init__(self, path: Path, receivers: list[FaultyReceiver], **spool: Any) -> None:
        self.runtime = Runtime()
        config = FailoverConfig(
            spool=SpoolConfig(**{"path": str(path), "fsync": "none", **spool}), initial_backoff=0.1, max_backoff=0.2
        )
        endpoints = [Endpoint(url=each.http_endpoint, protocol="http/protobuf", timeout=ATTEMPT) for each in receivers]
        self.exporter = FailoverSpanExporter(endpoints, config=config, runtime=self.runtime)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(self.exporter, schedule_delay_millis=20))

    def send(self, *names: str) -> None:
        for name in names:
            self.provider.get_tracer("t").start_span(name).end()
            self.provider.force_flush()

    @property
    def account(self) -> Any:
        return total(self.runtime.balances(), "failover")

    @property
    def unconfirmed(self) -> int:
        return sum(each.unconfirmed for each in self.exporter.pool.stats())

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.account
            time.sleep(0.005)


@pytest.fixture
def start(tmp_path: Path, pair: list[FaultyReceiver]) -> Iterator[Callable[..., App]]:
    apps: list[App] = []

    def make(**spool: Any) -> App:
        apps.append(App(tmp_path / "spool", pair, **spool))
        return apps[-1]

    yield make
    for app in apps:
        app.provider.shutdown()
        assert (app.account.unaccounted, app.account.held) == (0, 0)


def names(*receivers: FaultyReceiver) -> list[str]:
    return [span.name for receiver in receivers for span in receiver.spans()]


def refuse(pair: list[FaultyReceiver]) -> None:
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))


NUMBERS = [f"n{number}" for number in range(20)]


def test_while_endpoints_work_nothing_waits(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    app = start()
    app.send(*NUMBERS)
    assert app.exporter.force_flush(PATIENCE * 1000)
    assert names(pair[0]) == NUMBERS
    assert app.exporter.spool is not None
    assert app.exporter.spool.stats().records == 0


def test_an_outage_that_outlasts_the_process_loses_nothing(
    start: Callable[..., App], pair: list[FaultyReceiver]
) -> None:
    refuse(pair)
    app = start()
    app.send(*NUMBERS)
    app.wait_until(lambda: app.account.held == 20)
    begun = time.monotonic()
    app.provider.shutdown()
    assert time.monotonic() - begun < ATTEMPT / 10
    assert app.account.dropped == {"left_in_spool": 20}
    for receiver in pair:
        receiver.clear_fault()
    after = start()
    after.wait_until(lambda: after.account.forwarded == 20)
    found = Counter(names(*pair))
    assert set(found) == set(NUMBERS)
    # On a machine that stands still for seconds an answer may come too late.
    assert found.total() - 20 <= app.unconfirmed + after.unconfirmed
    assert (after.account.received, after.account.dropped) == (20, {})


def test_frozen_endpoints_do_not_hold_up_a_shutdown(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    app = start()
    for receiver in pair:
        receiver.freeze()
    app.send("a", "b")
    begun = time.monotonic()
    app.provider.shutdown()
    assert time.monotonic() - begun < ATTEMPT / 10
    assert app.account.dropped == {"left_in_spool": 2}


def test_what_waits_is_replayed_when_an_endpoint_is_back(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    app = start()
    refuse(pair)
    app.send(*NUMBERS)
    pair[1].clear_fault()
    assert app.exporter.force_flush(PATIENCE * 1000)
    assert Counter(names(*pair)) == Counter(NUMBERS)
    assert app.account.forwarded == 20


def test_what_is_new_does_not_wait_behind_what_is_old(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    refuse(pair)
    app = start(max_in_flight=1)
    app.send(*NUMBERS)
    app.provider.shutdown()
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.SLOW, delay=0.1))
    after = start(max_in_flight=1)
    after.wait_until(lambda: after.account.received == 20)
    after.send("live")
    assert after.exporter.force_flush(PATIENCE * 1000)
    arrived = names(*pair)
    assert "live" in arrived
    assert len(arrived) < 21  # it overtook
    after.wait_until(lambda: after.account.forwarded == 21)


def test_what_nobody_takes_expires(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    refuse(pair)
    app = start(max_age=0.3)
    app.send("a", "b")
    assert app.exporter.force_flush(PATIENCE * 1000)
    assert app.account.dropped == {"expired": 2}


def test_a_batch_damaged_on_disk_is_counted(
    start: Callable[..., App], pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    refuse(pair)
    app = start()
    app.send(*NUMBERS)
    app.provider.shutdown()
    (segment,) = (tmp_path / "spool").glob("*/*.segment")
    data = bytearray(segment.read_bytes())
    data[data.index(b"n7")] ^= 0x20
    segment.write_bytes(data)
    for receiver in pair:
        receiver.clear_fault()
    after = start()
    after.wait_until(lambda: after.account.received == 20 and not after.account.held)
    assert (after.account.forwarded, after.account.dropped) == (19, {"spool_corrupt": 1})
    assert Counter(names(*pair)) == Counter(name for name in NUMBERS if name != "n7")


def test_a_request_that_is_too_large_is_halved(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    pair[0].set_fault(Fault(mode=FaultMode.TOO_LARGE, max_bytes=1_000))
    app = start()
    tracer = app.provider.get_tracer("t")
    for name in NUMBERS:
        tracer.start_span(name, attributes={"padding": "x" * (2_000 if name == "n7" else 100)}).end()
    app.provider.force_flush()
    assert app.exporter.force_flush(PATIENCE * 1000)
    assert names(pair[0]) == [name for name in NUMBERS if name != "n7"]
    assert (app.account.forwarded, app.account.dropped) == (19, {"too_large": 1})


def test_the_command_delivers_what_a_dead_process_left(
    start: Callable[..., App], pair: list[FaultyReceiver], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(pair)
    app = start()
    app.send(*NUMBERS)
    app.provider.shutdown()
    path = str(tmp_path / "spool")
    assert main(["spool", "ls", path]) == 0
    assert "gone" in capsys.readouterr().out
    assert main(["spool", "verify", path]) == 0
    pair[0].clear_fault()
    assert main(["spool", "drain", path, "--endpoint", pair[0].grpc_endpoint]) == 0
    assert Counter(names(pair[0])) == Counter(NUMBERS)
    assert main(["spool", "ls", path]) == 0
    assert capsys.readouterr().out.endswith("nothing waits\n")
    assert main(["spool", "verify", str(tmp_path / "nowhere")]) == 2


_APPLICATION = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from otelwarden.core import Runtime
from otelwarden.failover import FailoverConfig, FailoverSpanExporter, SpoolConfig

path, *urls = sys.argv[1:]
exporter = FailoverSpanExporter(urls, config=FailoverConfig(spool=SpoolConfig(path=path)), runtime=Runtime())
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
number = 0
while True:
    provider.get_tracer("t").start_span(f"k{number}").end()
    print(number, flush=True)  # its export has returned
    number += 1
"""


def killed_application(path: Path, pair: list[FaultyReceiver]) -> list[bytes]:
    """Runs one until it is killed; the numbers of the spans whose export has returned."""
    command = [sys.executable, "-c", _APPLICATION, str(path), *(each.grpc_endpoint for each in pair)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(50)]
    process.kill()
    lines += [line for line in process.stdout if line.endswith(b"\n")]
    process.wait()
    return lines


def test_both_dead_and_the_process_killed_again_and_again_loses_nothing(
    start: Callable[..., App], pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    for receiver in pair:
        receiver.kill()
    # Each takes over, in vain, what those before it left.
    rounds = [killed_application(tmp_path / "spool", pair) for _ in range(3)]
    for receiver in pair:
        receiver.restart()
    survivor = start()
    told = sum(map(len, rounds))
    survivor.wait_until(lambda: survivor.account.received >= told and not survivor.account.held)
    found = Counter(names(*pair))
    assert all(found[name] >= count for name, count in Counter(f"k{int(n)}" for r in rounds for n in r).items())
    assert survivor.account.forwarded == survivor.account.received


def test_a_full_spool_counts_what_it_drops(start: Callable[..., App], pair: list[FaultyReceiver]) -> None:
    refuse(pair)
    app = start(max_bytes=1 << 16)
    tracer = app.provider.get_tracer("t")
    for number in range(60):
        tracer.start_span(f"n{number}", attributes={"padding": "x" * 3_000}).end()
        app.provider.force_flush()
    app.wait_until(lambda: app.account.unaccounted == 0)
    account = app.account
    assert (account.received, account.held) == (60, 60 - account.dropped["spool_full"]), account
    for receiver in pair:
        receiver.clear_fault()
    assert app.exporter.force_flush(PATIENCE * 1000)
    assert (app.account.forwarded, set(app.account.dropped)) == (60 - app.account.dropped["spool_full"], {"spool_full"})
    assert "n59" in names(*pair)
