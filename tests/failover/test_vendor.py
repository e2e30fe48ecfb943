"""Exporters of the SDK as endpoints, beside those that take bytes."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

from otelwarden.core import ConfigError, Runtime, total
from otelwarden.failover import (
    Endpoint,
    FailoverConfig,
    FailoverMetricExporter,
    FailoverSpanExporter,
    SpoolConfig,
    Status,
)
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, FAST, Rig


class Vendor(SpanExporter):
    """An exporter of somebody else's, which keeps what it was given, and fails, raises or hangs when told to."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.answer: Callable[[], SpanExportResult] = lambda: SpanExportResult.SUCCESS
        self.flushed = self.shut_down = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self.answer()
        if result is SpanExportResult.SUCCESS:
            self.names += [span.name for span in spans]
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.flushed += 1
        return True

    def shutdown(self) -> None:
        self.shut_down += 1


def out_of_order() -> SpanExportResult:
    raise RuntimeError("out of order")


def with_exporter(vendor: SpanExporter, receivers: list[FaultyReceiver], *, first: bool) -> list[Endpoint]:
    ours = Endpoint(exporter=vendor, name="vendor", timeout=2.0)
    theirs = [Endpoint(url=each.http_endpoint, protocol="http/protobuf", timeout=ATTEMPT) for each in receivers]
    return [ours, *theirs] if first else [*theirs, ours]


@pytest.mark.parametrize("how", ["fails", "raises", "hangs"])
def test_an_exporter_that_fails_moves_telemetry_to_the_next_and_is_taken_back(
    make_rig: Callable[..., Rig], pair: list[FaultyReceiver], how: str
) -> None:
    vendor, gate = Vendor(), threading.Event()
    rig = make_rig(with_exporter(vendor, pair[:1], first=True))
    rig.send(2)
    assert rig.flush()
    assert vendor.names == ["span", "span"]
    answers = {
        "fails": lambda: SpanExportResult.FAILURE,
        "raises": out_of_order,
        "hangs": lambda: SpanExportResult.FAILURE if gate.wait(ATTEMPT) else SpanExportResult.SUCCESS,
    }
    vendor.answer = answers[how]
    rig.send(3)
    assert rig.flush()
    assert len(pair[0].spans()) == 3
    stats = rig.exporter.pool.stats()[0]
    assert (stats.name, stats.url, stats.failed_attempts, stats.active) == ("vendor", "", 1, False)
    vendor.answer = lambda: SpanExportResult.SUCCESS
    gate.set()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].status is Status.HEALTHY)
    rig.send()
    assert rig.flush()
    assert (len(vendor.names), len(pair[0].spans())) == (3, 3)
    assert rig.account.forwarded == 6
    assert [action for action, _ in rig.actions("failover", "failback")] == ["failover", "failback"]


def test_bytes_are_made_only_for_those_that_take_bytes(
    make_rig: Callable[..., Rig], pair: list[FaultyReceiver]
) -> None:
    vendor = Vendor()
    rig = make_rig(with_exporter(vendor, pair[:1], first=True))
    rig.send(1, text="\ud800")  # encoding it is told
    assert rig.flush()
    assert not rig.actions("repair")
    vendor.answer = lambda: SpanExportResult.FAILURE
    rig.send(1, text="\ud800")
    assert rig.flush()
    assert len(rig.actions("repair")) == 1
    assert pair[0].spans()[0].attributes["text"] == "\ufffd"


def test_an_exporter_takes_over_from_endpoints_that_are_dead(
    make_rig: Callable[..., Rig], pair: list[FaultyReceiver]
) -> None:
    vendor = Vendor()
    rig = make_rig(with_exporter(vendor, pair, first=False))
    rig.send()
    assert rig.flush()
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    rig.send(4)
    assert rig.flush()
    assert (len(pair[0].spans()), len(vendor.names)) == (1, 4)


def test_with_a_spool_an_exporter_takes_what_is_new_and_not_what_is_replayed(
    make_rig: Callable[..., Rig], pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    vendor = Vendor()
    vendor.answer = lambda: SpanExportResult.FAILURE
    config = FailoverConfig(spool=SpoolConfig(path=str(tmp_path / "s")), initial_backoff=0.1, max_backoff=0.2)
    rig = make_rig(with_exporter(vendor, pair[:1], first=False), config)
    pair[0].set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    rig.send(2)
    rig.provider.force_flush()
    rig.wait_until(lambda: rig.exporter.pool.stats()[1].failed_attempts)
    assert rig.account.held == 2
    vendor.answer = lambda: SpanExportResult.SUCCESS
    rig.wait_until(lambda: rig.exporter.pool.stats()[1].status is Status.HEALTHY)
    assert rig.account.held == 2
    pair[0].clear_fault()
    assert rig.flush()
    assert (len(pair[0].spans()), vendor.names) == (2, [])
    pair[0].set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    rig.send()
    assert rig.flush()
    assert vendor.names == ["span"]


def test_flush_and_shutdown_reach_it_once(make_rig: Callable[..., Rig], pair: list[FaultyReceiver]) -> None:
    vendor = Vendor()
    rig = make_rig(with_exporter(vendor, pair, first=True), replace(FAST, shutdown_patience=ATTEMPT))
    rig.send(3)
    assert rig.flush()
    assert vendor.flushed
    rig.send(2)
    rig.provider.shutdown()
    assert (len(vendor.names), vendor.shut_down) == (5, 1)


def test_an_exporter_that_hangs_does_not_hold_up_a_shutdown(make_rig: Callable[..., Rig]) -> None:
    vendor, gate = Vendor(), threading.Event()
    vendor.answer = lambda: SpanExportResult.SUCCESS if gate.wait(ATTEMPT) else SpanExportResult.FAILURE
    rig = make_rig([Endpoint(exporter=vendor, timeout=ATTEMPT)])
    rig.send(3)
    rig.provider.force_flush()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].in_flight)
    rig.provider.shutdown()
    assert rig.account.dropped == {"shutdown": 3}
    gate.set()


def test_the_plain_otlp_exporter_can_be_one(make_rig: Callable[..., Rig], pair: list[FaultyReceiver]) -> None:
    plain = OTLPSpanExporter(endpoint=pair[0].http_endpoint + "/v1/traces", timeout=ATTEMPT)
    rig = make_rig(with_exporter(plain, pair[1:], first=True))
    rig.send(3)
    assert rig.flush()
    pair[0].set_fault(Fault(mode=FaultMode.BAD_REQUEST))  # the plain one says no more than FAILURE
    rig.send(2)
    assert rig.flush()
    assert [len(each.spans()) for each in pair] == [3, 2]


def test_the_consoles_of_the_sdk_can_be_one() -> None:
    out, runtime = io.StringIO(), Runtime()
    endpoint = Endpoint(exporter=ConsoleMetricExporter(out=out))
    assert (endpoint.label, endpoint.capabilities) == ("ConsoleMetricExporter", ("metrics",))
    exporter = FailoverMetricExporter([endpoint], config=FAST, runtime=runtime)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("orders").add(3)
    provider.force_flush()
    assert exporter.force_flush()
    provider.shutdown()
    first, _ = json.JSONDecoder().raw_decode(out.getvalue())  # another one comes with the shutdown
    assert first["resource_metrics"][0]["scope_metrics"][0]["metrics"][0]["name"] == "orders"
    assert total(runtime.balances(), "failover").forwarded == 2


@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ({"exporter": object()}, ["/exporter"]),
        ({"exporter": ConsoleSpanExporter, "url": "http://a"}, ["/exporter", "/url"]),
        ({"exporter": ConsoleSpanExporter(), "headers": {"a": "b"}, "timeout": 0}, ["/headers", "/timeout"]),
    ],
    ids=["no exporter", "a class", "what is for a url"],
)
def test_what_cannot_be_an_exporter_is_refused(settings: dict[str, Any], at: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        Endpoint(**settings)
    assert [fault.pointer for fault in refused.value.faults] == at


def test_exporters_alone_need_no_spool_and_their_own_signal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a spool holds bytes"):
        config = FailoverConfig(spool=SpoolConfig(path=str(tmp_path)))
        FailoverSpanExporter([Endpoint(exporter=ConsoleSpanExporter())], config=config, runtime=Runtime())
    with pytest.raises(ConfigError, match="no endpoint accepts traces"):
        FailoverSpanExporter([Endpoint(exporter=ConsoleLogRecordExporter())], runtime=Runtime())
    with pytest.raises(ConfigError, match="listed twice"):
        FailoverSpanExporter([Endpoint(exporter=ConsoleSpanExporter()) for _ in range(2)], runtime=Runtime())
