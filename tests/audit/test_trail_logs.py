"""The trail as log records: a copy that can be held against it, and that can do it no harm."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from otelwarden.audit import AuditTrail, Status, TrailLogs, read_records, verify
from otelwarden.core import Runtime
from otelwarden.testing import FaultyReceiver, RecordingLogRecordExporter

from .conftest import event

OpenTrail = Callable[..., AuditTrail]


@pytest.fixture
def receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as running:
        yield running


def lines_of(trail: AuditTrail) -> list[str]:
    return [line for file in sorted(trail.path.glob("*/records-*")) for line in file.read_text().splitlines()]


def test_every_record_arrives_and_can_be_matched_to_the_trail(
    open_trail: OpenTrail, runtime: Runtime, receiver: FaultyReceiver
) -> None:
    """By the plain OTLP exporter, into a real receiver; segments, windows, accounts and both ends are in it."""
    exporter = OTLPLogExporter(endpoint=f"{receiver.http_endpoint}/v1/logs")
    logs = TrailLogs(exporter, resource=Resource({"service.name": "shop"}), runtime=runtime)
    trail = open_trail(listener=logs, segment_bytes=4096)
    runtime.ledger("quota", "traces").account("acme").received.tick()
    for number in range(20):
        trail(event("mask", f"rule-{number}", trace_id=1 << 100, span_id=7))
        trail(event("drop", "rate", count=2))
    assert trail.append_sync(event("failover", "refused", component="failover", target="a:1"), actor="user:alice")
    trail.append_sync(event("reload_failed", "failed", component="quota", tenant="", signal=""))
    assert trail.checkpoint() and trail.close() and logs.close(20)

    received = receiver.log_records()
    assert [each.body for each in received] == lines_of(trail)
    for each, stored in zip(received, read_records(trail.path), strict=True):
        attributes = each.attributes
        assert attributes["audit.sequence.number"] == stored["sequence"]
        assert attributes["audit.sequence.stream_id"] == stored["stream"]
        assert attributes["audit.record.id"] == f"{stored['stream']}/{stored['sequence']}"
        assert attributes["audit.integrity.value"] == hashlib.sha256(b"\0" + each.body.encode()).hexdigest()
        assert f"{attributes['audit.actor.type']}:{attributes['audit.actor.id']}" == stored["actor"]
        assert (attributes["audit.action"], attributes["audit.outcome"]) == (stored["action"], stored["outcome"])
        assert attributes["otelwarden.count"] == stored["count"]
        assert attributes.get("tenant.id") == stored.get("tenant")
        assert each.message.time_unix_nano == int(stored["time"])
        assert (each.event_name, each.scope) == ("otelwarden.audit.record", "otelwarden.audit")
        assert each.resource["service.name"] == "shop"
        assert each.severity_text == ("WARN" if stored["outcome"] == "failure" else "INFO")
    by_action: dict[str, Any] = {each.attributes["audit.action"]: each for each in received}
    assert by_action["mask"].trace_id == (1 << 100).to_bytes(16, "big")
    assert by_action["mask"].span_id == (7).to_bytes(8, "big")
    assert by_action["drop"].attributes["otelwarden.window"] == ["1700000000000000000"] * 2
    assert by_action["failover"].attributes["audit.target.id"] == "a:1"
    assert by_action["failover"].attributes["audit.actor.id"] == "alice"
    assert by_action["reload_failed"].severity_text == "WARN"
    assert {each.attributes["audit.action"] for each in received if "audit.sequence.end" in each.attributes} == {
        "close"
    }
    assert {"open", "account", "close"} <= set(by_action)
    assert logs.stats().exported == len(received) and not logs.stats().lost


@pytest.mark.parametrize(
    "exporter",
    [
        pytest.param(lambda: RecordingLogRecordExporter(result=LogRecordExportResult.FAILURE), id="refuses"),
        pytest.param(lambda: RecordingLogRecordExporter(error=ConnectionError("secret")), id="raises"),
    ],
)
def test_what_is_lost_is_counted_and_the_trail_is_whole(
    open_trail: OpenTrail, runtime: Runtime, exporter: Callable[[], RecordingLogRecordExporter]
) -> None:
    logs = TrailLogs(exporter(), runtime=runtime)
    trail = open_trail(listener=logs)
    for number in range(10):
        assert trail.append_sync(event("reload", f"r{number}"))
    assert logs.flush(20) is True
    assert logs.stats().lost == {"not_exported": 11}
    # Nobody tells the trail of it, or there would be a record of each record that did not leave.
    assert [each["action"] for each in read_records(trail.path)] == ["open", *["reload"] * 10]
    assert runtime.error_counts()["audit"]["logs:TrailLogsLost"] > 0
    assert trail.close() and logs.close(20)
    assert verify(trail.path).status is Status.OK
    assert not trail.stats().lost


def test_an_exporter_that_hangs_holds_nothing_up(open_trail: OpenTrail, runtime: Runtime) -> None:
    gate = threading.Event()
    sink = RecordingLogRecordExporter(gate=gate)
    logs = TrailLogs(sink, max_bytes=65_536, runtime=runtime)
    trail = open_trail(listener=logs, coalesce_window=0, max_pending=100_000)
    for number in range(5_000):
        trail(event("mask", f"rule-{number % 7}"))
    assert trail.flush(60.0)
    assert trail.append_sync(event("reload", "r"))
    stats = logs.stats()
    assert stats.lost["queue_full"] > 0
    assert stats.waiting_bytes < 4_000_000
    assert not logs.flush(0.0)
    gate.set()
    assert trail.close() and logs.close(60)
    stored, lost = len(lines_of(trail)), logs.stats().lost["queue_full"]
    assert stored == 5_003
    assert len(sink.records) == logs.stats().exported == stored - lost
    assert verify(trail.path).status is Status.OK


def test_after_the_end(runtime: Runtime) -> None:
    sink = RecordingLogRecordExporter()
    logs = TrailLogs(sink, runtime=runtime)
    assert logs.close() and logs.close()
    logs(b"{}\n{}\n")
    assert logs.stats().lost == {"closed": 2}
    assert not sink.records


def test_what_is_no_record(runtime: Runtime) -> None:
    logs = TrailLogs(RecordingLogRecordExporter(), runtime=runtime)
    logs(b'not json\n[]\n{"sequence":1}\n')
    assert logs.close(20)
    assert logs.stats().lost == {"malformed": 3}


def test_a_listener_that_raises(open_trail: OpenTrail, runtime: Runtime) -> None:
    def fails(_lines: bytes) -> None:
        raise OSError("on purpose")

    trail = open_trail(listener=fails)
    assert trail.append_sync(event("reload", "r")) and trail.close()
    assert verify(trail.path).status is Status.OK
    assert runtime.error_counts()["audit"]["listener:OSError"] == 3  # open, reload, close


def test_a_forked_child_sends_its_own(open_trail: OpenTrail, runtime: Runtime, receiver: FaultyReceiver) -> None:
    exporter = OTLPLogExporter(endpoint=f"{receiver.http_endpoint}/v1/logs")
    logs = TrailLogs(exporter, runtime=runtime)
    trail = open_trail(listener=logs)
    assert trail.append_sync(event("reload", "parent"))
    child = os.fork()
    if not child:
        done = trail.append_sync(event("reload", "child")) and trail.close() and logs.close(20)
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert trail.close() and logs.close(20)
    streams: dict[str, list[str]] = {}
    for each in receiver.log_records():
        record = json.loads(each.body)
        streams.setdefault(record["stream"], []).append(record["reason"])
    assert sorted(streams.values()) == [["start", "child", "stop"], ["start", "parent", "stop"]]


def test_a_failed_write_is_not_told(open_trail: OpenTrail, runtime: Runtime) -> None:
    """What was written and taken back has never been: the copy has what the trail has, and no more."""
    child = os.fork()
    if not child:
        os._exit(_fill_the_disk(open_trail))
    assert os.waitpid(child, 0)[1] == 0


def _fill_the_disk(open_trail: OpenTrail) -> int:
    heard: list[bytes] = []
    trail = open_trail(listener=heard.append, coalesce_window=0, max_pending=100_000)
    done = trail.append_sync(event("reload", "before"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # in this child only: stands for a full disk
    for _ in range(3_000):
        trail(event())
    trail.flush(60.0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = done and bool(trail.stats().lost)
    done = done and trail.append_sync(event("reload", "after")) and trail.close()
    return 0 if done and b"".join(heard).decode().splitlines() == lines_of(trail) else 1
