"""Usage is told once for each period, whatever happens to the processes, the disk and the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.trace import TracerProvider

from otelwarden.core import TRACES, ConfigError, Runtime, size_of, total, use_tenant
from otelwarden.quota import (
    QuotaConfig,
    QuotaLimiter,
    QuotaSpanProcessor,
    SignalLimits,
    TenantLimits,
    UsageConfig,
    UsageExport,
    UsageSum,
    read_usage_events,
)
from otelwarden.testing import EventRecorder, FakeClock, RecordingSpanProcessor

APP = Path(__file__).parent / "apps" / "billed.py"
SPAN = 96 + len("work")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Billed:
    """A provider whose spans are limited and told of, on a clock set by hand; one process of a deployment."""

    def __init__(self, path: Path, clock: FakeClock, *, rate: float | None = None, **usage: Any) -> None:
        self.clock = clock
        self.runtime = Runtime(clock=clock)
        self.events = EventRecorder()
        self.runtime.observe(self.events)
        limits = SignalLimits(rate=rate, burst=5 if rate else None)
        limiter = QuotaLimiter(QuotaConfig(default=TenantLimits(traces=limits)), clock=clock, runtime=self.runtime)
        self.sink = RecordingSpanProcessor()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(
            QuotaSpanProcessor(self.sink, limiter=limiter, count_bytes=True, runtime=self.runtime)
        )
        config = UsageConfig(path=str(path), checkpoint=3600, **usage)
        self.export = UsageExport(config, runtime=self.runtime)

    def spans(self, tenant: str, count: int) -> None:
        with use_tenant(tenant):
            for _ in range(count):
                self.provider.get_tracer("t").start_span("work").end()


def summed(path: Path, **bounds: str) -> UsageSum:
    found = UsageSum(**bounds)
    for line in read_usage_events(path):
        found.add(line)
    return found


def items(found: UsageSum) -> dict[tuple[str, str], int]:
    return {key: used.items for key, used in found.used.items()}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_793_534_400_000_000_000)  # 2026-11-01T12:00:00Z


def test_each_period_is_told_once_to_the_item_and_byte(tmp_path: Path, clock: FakeClock) -> None:
    run = Billed(tmp_path, clock, rate=0.001, source="/shop/eu")
    run.spans("acme", 7)
    run.spans("globex", 2)
    assert not run.export.reload(), "the period has not ended"
    clock.advance(3600)
    assert run.export.reload()
    run.spans("globex", 1)
    clock.advance(3600)
    assert run.export.reload()
    assert not run.export.reload()
    first, second, third = [json.loads(line) for line in (tmp_path / "usage-2026-11.jsonl").open()]
    stream = run.export.stream
    assert first == {
        "specversion": "1.0",
        "id": f"2026-11-01T12:00:00Z/{stream}/acme/traces",
        "source": "/shop/eu",
        "type": "otelwarden.usage.v1",
        "subject": "acme",
        "time": "2026-11-01T13:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "tenant": "acme",
            "signal": "traces",
            "stream": stream,
            "since": "2026-11-01T12:00:00Z",
            "until": "2026-11-01T13:00:00Z",
            "items": 5,
            "bytes": 5 * SPAN,
            "dropped": {"rate": 2},
            "dropped_bytes": {"rate": 2 * SPAN},
        },
    }
    assert (second["subject"], second["data"]["items"]) == ("globex", 2)
    assert third["id"] == f"2026-11-01T13:00:00Z/{stream}/globex/traces"
    assert third["data"]["items"] == 1
    found = summed(tmp_path)
    quota = total(run.runtime.balances(), "quota", TRACES)
    assert sum(used.items for used in found.used.values()) == quota.forwarded == len(run.sink.ended)
    assert sum(used.bytes for used in found.used.values()) == sum(size_of(span) for span in run.sink.ended)
    assert summed(tmp_path, since="2026-11-01T13:00:00Z").used.keys() == {("globex", TRACES)}
    assert summed(tmp_path, until="2026-11-01T13:00:00Z").used["globex", TRACES].items == 2
    assert [(event.action, event.count) for event in run.events.events if event.reason == "usage"] == [
        ("export", 2),
        ("export", 1),
    ]


def test_what_is_read_twice_is_counted_once(tmp_path: Path, clock: FakeClock) -> None:
    run = Billed(tmp_path, clock)
    run.spans("acme", 3)
    run.export.close()
    (line,) = read_usage_events(tmp_path)
    event = json.loads(line)
    found = UsageSum()
    for each in (line, event, line[: len(line) // 2], b"[]", b"{}", b"\xff", json.dumps([1] * 9), line.decode()):
        found.add(each)
    assert (found.events, found.repeated, found.contradicting, found.unreadable) == (1, 2, 0, 5)
    found.add({**event, "data": {**event["data"], "items": 99}})
    assert (found.contradicting, items(found)) == (1, {("acme", TRACES): 3})
    found.add({**event, "source": "/another"})
    assert items(found) == {("acme", TRACES): 6}
    for bad in (-1, True, 1.5, "3", None):
        found.add({**event, "id": "new", "data": {**event["data"], "items": bad}})
    assert found.events == 2


@needs_fork
def test_an_event_that_was_delivered_just_before_the_end_is_delivered_again_as_it_was(
    tmp_path: Path, clock: FakeClock
) -> None:
    child = os.fork()
    if child == 0:
        try:
            run = Billed(tmp_path, clock)
            run.spans("acme", 3)
            run.export.reload()
        finally:
            os._exit(0)  # as if it were killed
    os.waitpid(child, 0)
    (kept,) = tmp_path.glob("*.events")
    (tmp_path / "usage-2026-11.jsonl").write_bytes(kept.read_bytes())  # delivered just before, which was not noted
    heir = Billed(tmp_path, clock)
    heir.spans("acme", 2)
    heir.export.close()
    found = summed(tmp_path)
    assert (found.events, found.repeated, found.contradicting) == (2, 1, 0)
    assert items(found) == {("acme", TRACES): 5}
    assert [path.name for path in tmp_path.iterdir()] == ["usage-2026-11.jsonl"]


def test_a_line_that_somebody_was_killed_over_spoils_no_other(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "usage-2026-11.jsonl"
    file.write_bytes(b'{"specversion":"1.0","id":"20')
    run = Billed(tmp_path, clock)
    run.spans("acme", 3)
    run.export.close()
    found = summed(tmp_path)
    assert (found.unreadable, items(found)) == (1, {("acme", TRACES): 3})


def test_the_events_of_a_living_process_are_left_to_it(tmp_path: Path, clock: FakeClock) -> None:
    one, other = Billed(tmp_path, clock), Billed(tmp_path, clock)
    one.spans("acme", 3)
    one.export.reload()
    other.spans("acme", 4)
    other.export.close()
    assert items(summed(tmp_path)) == {("acme", TRACES): 4}
    one.spans("acme", 1)
    one.export.close()
    found = summed(tmp_path)
    assert items(found) == {("acme", TRACES): 8}
    assert (found.events, found.repeated, found.contradicting) == (2, 0, 0)


def test_a_clock_that_is_set_back_bills_nothing_twice(tmp_path: Path, clock: FakeClock) -> None:
    run = Billed(tmp_path, clock)
    for hour, back in ((1, 0), (2, 5), (3, 0)):
        run.spans("acme", hour)
        clock.advance(3600)
        run.export.reload()
        clock.set_time_ns(clock.time_ns() - back * 3600 * 10**9)
        run.spans("acme", 10 * hour)
        run.export.reload()
    run.export.close()
    found = summed(tmp_path)
    assert items(found) == {("acme", TRACES): 66}
    assert (found.repeated, found.contradicting) == (0, 0)
    assert len({json.loads(line)["data"]["stream"] for line in read_usage_events(tmp_path)}) == 2
    assert not list(tmp_path.glob("*.lock"))


def test_a_disk_that_takes_nothing_loses_nothing(tmp_path: Path, clock: FakeClock) -> None:
    run = Billed(tmp_path, clock)
    (tmp_path / "usage-2026-11.jsonl").mkdir()
    run.spans("acme", 3)
    clock.advance(3600)
    assert not run.export.reload()
    assert run.runtime.error_counts()["quota"] == {"usage:IsADirectoryError": 1}
    (tmp_path / "usage-2026-11.jsonl").rmdir()
    assert not run.export.reload(), "not before a second has passed"
    clock.advance(1)
    assert run.export.reload()
    assert items(summed(tmp_path)) == {("acme", TRACES): 3}


@needs_fork
def test_a_forked_child_is_a_stream_of_its_own(tmp_path: Path, clock: FakeClock) -> None:
    run = Billed(tmp_path, clock)
    run.spans("acme", 3)
    child = os.fork()
    if child == 0:
        try:
            run.spans("acme", 20)
            run.export.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert items(summed(tmp_path)) == {("acme", TRACES): 20}
    run.spans("acme", 100)
    run.export.close()
    found = summed(tmp_path)
    assert items(found) == {("acme", TRACES): 123}
    assert (found.repeated, found.contradicting, found.unreadable) == (0, 0, 0)


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="/path: cannot be used"):
        UsageExport(UsageConfig(path=str(tmp_path / "file")), runtime=Runtime())


class Billing:
    """A server that takes CloudEvents over HTTP, and answers as it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], dict[str, Any], int]] = []
        self.answers: list[int] = []
        billing = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = billing.answers.pop(0) if billing.answers else 204
                billing.requests.append((dict(self.headers), body, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/usage"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def taken(self) -> UsageSum:
        found = UsageSum()
        for _, event, status in self.requests:
            if status < 300:
                found.add(event)
        return found

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def billing() -> Iterator[Billing]:
    server = Billing()
    yield server
    server.stop()


def test_events_are_posted_in_structured_mode_and_again_after_a_failure(
    tmp_path: Path, clock: FakeClock, billing: Billing
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    run = Billed(tmp_path / "usage", clock, url=billing.url, token_file=str(tmp_path / "token"))
    billing.answers = [503, 204, 500, 400]
    for tenant, count in (("acme", 3), ("globex", 2), ("initech", 1)):
        run.spans(tenant, count)
    clock.advance(3600)
    for _ in range(4):  # 503; taken and 500; refused for good, and taken
        run.export.reload()
        clock.advance(10)
    assert [status for _, _, status in billing.requests] == [503, 204, 500, 400, 204]
    assert items(billing.taken) == {("acme", TRACES): 3, ("initech", TRACES): 1}
    errors = run.runtime.error_counts()["quota"]
    assert errors == {"usage:DeliveryError": 2, "usage:RefusedEventError": 1}
    for headers, event, _ in billing.requests:
        assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
        assert headers["Authorization"] == "Bearer s3cret"
        assert event["specversion"] == "1.0"
    run.export.close()
    assert list((tmp_path / "usage").iterdir()) == []


def test_what_a_server_that_is_gone_did_not_take_the_next_process_delivers(
    tmp_path: Path, clock: FakeClock, billing: Billing
) -> None:
    run = Billed(tmp_path, clock, url="http://127.0.0.1:1/usage", timeout=1)
    run.spans("acme", 3)
    run.export.close()
    heir = Billed(tmp_path, clock, url=billing.url)
    heir.spans("acme", 4)
    heir.export.reload()
    assert items(billing.taken) == {("acme", TRACES): 3}
    heir.export.close()
    assert items(billing.taken) == {("acme", TRACES): 7}
    assert billing.taken.contradicting == 0


def test_processes_that_are_killed_are_billed_to_the_item(tmp_path: Path) -> None:
    file = tmp_path / "otelwarden.yaml"
    document = {
        "processors": {
            "tenancy": {"unknown": "pass"},
            "quota": {"usage": {"period": "1s", "checkpoint": "100ms", "source": "${env:SOURCE}"}},
        },
        "exporters": {"failover": {"endpoints": ["http://127.0.0.1:1"]}},
        "service": {
            "logging_handler": False,
            "pipelines": {"traces": {"processors": ["tenancy", "quota"], "exporters": ["failover"]}},
        },
    }
    file.write_text(yaml.safe_dump(document))

    def app(*arguments: str) -> list[str]:
        return [sys.executable, str(APP), str(file), *arguments]

    killed = []
    for count in (50, 70):
        process = subprocess.Popen(app(f"/shop/{count}", str(count), "wait"), stdout=subprocess.PIPE)
        killed.append(process)
    try:
        for process in killed:
            assert process.stdout is not None
            assert process.stdout.readline() == b"written down\n"
    finally:
        for process in killed:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]
    subprocess.run(app("/shop/30", "30", "end"), check=True, timeout=60)
    usage = tmp_path / "usage"
    found = summed(usage)
    assert items(found) == {(tenant, TRACES): 150 for tenant in ("acme", "globex", "initech")}
    assert (found.contradicting, found.unreadable) == (0, 0)
    assert not list(usage.glob("*.events"))
    assert not list(usage.glob("*.lock"))
    sources = {json.loads(line)["source"] for line in read_usage_events(usage)}
    assert sources == {"/shop/50", "/shop/70", "/shop/30"}
