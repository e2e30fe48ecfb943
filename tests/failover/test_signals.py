"""Drop-in for the three signals, over both protocols, beside and through a real agent."""

from __future__ import annotations

import logging
import os
import signal as signals
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rotel
import urllib3
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.core import ConfigError, Runtime, total
from otelwarden.failover import (
    Endpoint,
    EndpointPool,
    FailoverLogRecordExporter,
    FailoverMetricExporter,
    FailoverSpanExporter,
)
from otelwarden.testing import EventRecorder, Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, PATIENCE

RESOURCE = Resource({"service.name": "shop"})


class Application:
    """An application that uses all three signals; its exporters share one pool."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.runtime, self.events = Runtime(), EventRecorder()
        self.runtime.observe(self.events)
        self.pool = pool = EndpointPool(endpoints, runtime=self.runtime)
        settings: dict[str, Any] = {"pool": pool, "runtime": self.runtime}
        self.exporters = (
            FailoverSpanExporter(**settings),
            FailoverLogRecordExporter(**settings),
            FailoverMetricExporter(**settings),
        )
        self.traces = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
        self.traces.add_span_processor(BatchSpanProcessor(self.exporters[0]))
        self.logs = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(self.exporters[1]))
        reader = PeriodicExportingMetricReader(self.exporters[2], export_interval_millis=60_000)
        self.metrics = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)

    def work(self) -> None:
        with self.traces.get_tracer("t").start_as_current_span("order", attributes={"n": 1}):
            self.logs.get_logger("l").emit(body={"text": "sold", "lines": [1, 2]}, severity_number=SeverityNumber.INFO)
        self.metrics.get_meter("m").create_counter("orders").add(1, {"shop": "x"})

    def flush(self) -> None:
        for provider in (self.traces, self.logs, self.metrics):
            assert provider.force_flush()
        for exporter in self.exporters:
            assert exporter.force_flush(60_000)

    def shutdown(self) -> None:
        for provider in (self.traces, self.logs, self.metrics):
            provider.shutdown()


@pytest.fixture
def application(endpoints_of: Any, pair: list[FaultyReceiver]) -> Iterator[Application]:
    application = Application(endpoints_of(pair))
    yield application
    application.shutdown()
    assert all(balance.unaccounted == 0 and balance.held == 0 for balance in application.runtime.balances())


def test_three_signals_arrive(application: Application, pair: list[FaultyReceiver]) -> None:
    application.work()
    application.flush()
    (span,), (record,), (point,) = pair[0].spans(), pair[0].log_records(), pair[0].metrics()
    assert (span.name, span.attributes, span.resource) == ("order", {"n": 1}, dict(RESOURCE.attributes))
    assert (record.body, record.trace_id) == ({"text": "sold", "lines": [1, 2]}, span.trace_id)
    assert (point.name, point.value, point.attributes) == ("orders", 1, {"shop": "x"})
    assert span.request.headers["user-agent"].startswith("otelwarden/")
    for signal in ("traces", "logs", "metrics"):
        assert total(application.runtime.balances(), "failover", signal).forwarded == 1  # type: ignore[arg-type]


def test_one_outage_of_three_signals_is_one_failover(application: Application, pair: list[FaultyReceiver]) -> None:
    application.work()
    application.flush()
    pair[0].set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    application.work()
    application.flush()
    assert (len(pair[1].spans()), len(pair[1].log_records()), len(pair[1].metrics())) == (1, 1, 1)
    assert [event.action for event in application.events.events].count("failover") == 1


def test_headers_and_compression_of_an_endpoint_are_obeyed(protocol: str, pair: list[FaultyReceiver]) -> None:
    url = pair[0].grpc_endpoint if protocol == "grpc" else pair[0].http_endpoint
    endpoint = Endpoint(url=url, protocol=protocol, headers={"X-Key": "k1"}, compression="gzip")  # type: ignore[arg-type]
    exporter = FailoverSpanExporter([endpoint], runtime=Runtime())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("t").start_span("x", attributes={"text": "a" * 10_000}).end()
    provider.force_flush()
    assert exporter.force_flush(60_000)
    provider.shutdown()
    (span,) = pair[0].spans()
    assert span.request.headers["x-key"] == "k1"
    assert span.attributes["text"] == "a" * 10_000
    encoding = "grpc-encoding" if protocol == "grpc" else "content-encoding"
    if protocol != "grpc":  # gRPC's server keeps the header to itself
        assert span.request.headers[encoding] == "gzip"


def test_urls_of_signals_are_taken_as_they_are(pair: list[FaultyReceiver]) -> None:
    base = pair[0].http_endpoint
    endpoint = Endpoint(url="http://127.0.0.1:9", protocol="http/protobuf", traces_url=f"{base}/v1/traces")
    exporter = FailoverSpanExporter([endpoint], runtime=Runtime())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    provider.get_tracer("t").start_span("x").end()
    provider.force_flush()
    assert exporter.force_flush(60_000)
    provider.shutdown()
    assert len(pair[0].spans()) == 1


@pytest.mark.parametrize(
    ("preference", "expected"),
    [("", AggregationTemporality.CUMULATIVE), ("delta", AggregationTemporality.DELTA)],
)
def test_the_temporality_of_the_environment_is_honoured(
    monkeypatch: pytest.MonkeyPatch, pair: list[FaultyReceiver], preference: str, expected: AggregationTemporality
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
    exporter = FailoverMetricExporter([pair[0].grpc_endpoint], runtime=Runtime())
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    provider.force_flush()
    assert exporter.force_flush(60_000)
    point = pair[0].metrics()[0]
    provider.shutdown()
    assert point.message.sum.aggregation_temporality == expected.value


def test_a_bad_preference_of_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes")
    with pytest.raises(ConfigError, match="cumulative, delta, lowmemory"):
        FailoverMetricExporter(runtime=Runtime())


def test_an_exporter_is_told_once_where_to_go(pair: list[FaultyReceiver]) -> None:
    pool = EndpointPool([Endpoint(url=pair[0].grpc_endpoint)], runtime=Runtime())
    with pytest.raises(ConfigError):
        FailoverSpanExporter([pair[0].grpc_endpoint], pool=pool)


@pytest.fixture
def agents(pair: list[FaultyReceiver], tmp_path: Path) -> Iterator[list[Any]]:
    """Two rotel agents in front of one receiver: [(process, grpc port, http port, what holds them)]."""
    binary = Path(rotel.__file__).with_name("rotel-agent")
    agents = [_start_agent(binary, pair[0], tmp_path / f"agent-{number}.log") for number in range(2)]
    yield agents
    for process, _, _, holders in agents:
        process.kill()
        process.wait()
        for holder in holders:
            holder.close()


def _start_agent(binary: Path, behind: FaultyReceiver, log: Path) -> Any:
    holders = [_port_held(), _port_held()]
    grpc_port, http_port = (holder.getsockname()[1] for holder in holders)
    process = subprocess.Popen(
        [
            binary, "start",
            "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}",
            "--otlp-http-endpoint", f"127.0.0.1:{http_port}",
            "--exporter", "otlp",
            "--otlp-exporter-endpoint", behind.grpc_endpoint,
            "--batch-timeout", "20ms",
        ],
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    probe = urllib3.HTTPConnectionPool("127.0.0.1", http_port, retries=False)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() == 127:  # the agent is linked against the library of this very Python
            pytest.skip(f"rotel-agent cannot run here: {log.read_text().strip()}")
        assert process.poll() is None, log.read_text()
        try:
            headers = {"Content-Type": "application/x-protobuf"}
            if probe.request("POST", "/v1/traces", b"", headers=headers).status == 200:
                return process, grpc_port, http_port, holders
        except urllib3.exceptions.HTTPError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())


def _port_held() -> socket.socket:
    """A port that nobody else is given, and on which one who says so may listen all the same."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def test_through_a_real_agent_that_is_killed(agents: list[Any], pair: list[FaultyReceiver], protocol: str) -> None:
    endpoints = [
        Endpoint(url=f"http://127.0.0.1:{grpc if protocol == 'grpc' else http}", protocol=protocol, timeout=ATTEMPT)  # type: ignore[arg-type]
        for _, grpc, http, _ in agents
    ]
    application = Application(endpoints)
    for _ in range(5):
        application.work()
        application.flush()
    # An agent acknowledges before it delivers, so what it holds dies with it: let it hand over first.
    pair[0].wait_for(lambda receiver: len(receiver.spans()) >= 5 and len(receiver.log_records()) >= 5)
    agents[0][0].send_signal(signals.SIGKILL)
    agents[0][0].wait()
    for _ in range(5):
        application.work()
        application.flush()
    pair[0].wait_for(lambda receiver: len(receiver.spans()) >= 10 and len(receiver.log_records()) >= 10)
    application.shutdown()
    assert [event.action for event in application.events.events].count("failover") == 1
    balance = total(application.runtime.balances(), "failover")
    assert (balance.unaccounted, balance.dropped) == (0, {})


def test_through_a_real_agent_that_freezes(agents: list[Any], pair: list[FaultyReceiver], protocol: str) -> None:
    endpoints = [
        Endpoint(url=f"http://127.0.0.1:{grpc if protocol == 'grpc' else http}", protocol=protocol, timeout=timeout)  # type: ignore[arg-type]
        for (_, grpc, http, _), timeout in zip(agents, (2.0, ATTEMPT), strict=True)
    ]
    application = Application(endpoints)
    application.work()
    application.flush()
    frozen = agents[0][0]
    frozen.send_signal(signals.SIGSTOP)
    for _ in range(5):
        application.work()
        application.flush()
    pair[0].wait_for(lambda receiver: len(receiver.spans()) >= 5 and len(receiver.log_records()) >= 5)
    frozen.send_signal(signals.SIGCONT)
    pair[0].wait_for(lambda receiver: len(receiver.spans()) >= 6 and len(receiver.log_records()) >= 6)
    application.shutdown()
    assert [event.action for event in application.events.events].count("failover") == 1
    balance = total(application.runtime.balances(), "failover")
    assert (balance.unaccounted, balance.dropped) == (0, {})


def test_failed_attempts_are_logged_once_a_period(pair: list[FaultyReceiver], caplog: Any) -> None:
    """Log lines of our own while an endpoint is down must not become telemetry that goes to it without end."""
    application = Application([Endpoint(url=pair[0].grpc_endpoint)])
    with caplog.at_level(logging.WARNING, "otelwarden"):
        pair[0].set_fault(Fault(mode=FaultMode.UNAVAILABLE, count=3))
        application.work()
        application.flush()
    lines = [record for record in caplog.records if "did not take traces" in record.message]
    assert len(lines) <= 1  # once a period, not once an attempt
    application.shutdown()
