"""`configure()` and the `Warden`: global providers, logging, self-metrics, failures undone, deadlines, forks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otelwarden.core import ConfigError, use_tenant
from otelwarden.pipeline import configure
from otelwarden.testing import FaultyReceiver


@pytest.fixture(scope="module")
def running() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(running: FaultyReceiver) -> FaultyReceiver:
    running.clear_fault()
    running.forget()
    return running


def document(url: str, **service: Any) -> dict[str, Any]:
    pipeline = {"processors": ["tenancy", "quota", "redaction"], "exporters": ["failover"]}
    return {
        "processors": {"tenancy": {"unknown": "pass"}, "quota": {}, "redaction": {}},
        "exporters": {"failover": {"endpoints": [{"url": url}], "shutdown_patience": "0.5s"}},
        "service": {"pipelines": {"traces": pipeline, "logs": pipeline, "metrics": pipeline}, **service},
    }


def script(text: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own: global providers can be set once in a process."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(env or {})},
    )


def test_the_global_providers_are_set(receiver: FaultyReceiver) -> None:
    run = script(
        """
        import json, logging, sys
        from opentelemetry import metrics, trace
        from otelwarden.pipeline import configure
        from otelwarden.tenancy import use_tenant

        warden = configure(json.loads(sys.argv[1]))
        with use_tenant("acme"), trace.get_tracer("t").start_as_current_span("work"):
            logging.getLogger("app").warning("hello")
            metrics.get_meter("m").create_counter("orders").add(3)
        # No shutdown: it is done at exit.
        """,
        json.dumps(document(receiver.grpc_endpoint)),
    )
    assert run.returncode == 0, run.stderr
    (span,) = receiver.wait_for_spans(1)
    (record,) = [each for each in receiver.wait_for_log_records(1) if each.body == "hello"]
    assert span.attributes["tenant.id"] == record.attributes["tenant.id"] == "acme"
    assert record.trace_id == span.trace_id
    (point,) = [point for point in receiver.metrics() if point.name == "orders"]
    assert (point.value, point.attributes["tenant.id"]) == (3, "acme")


def test_without_a_file(receiver: FaultyReceiver) -> None:
    run = script(
        """
        from opentelemetry import trace
        from otelwarden.pipeline import configure

        configure()
        with trace.get_tracer("t").start_as_current_span("work") as span:
            span.set_attribute("note", "write to ada@example.com")
        """,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    )
    assert run.returncode == 0, run.stderr
    (span,) = receiver.wait_for_spans(1)
    assert "ada@example.com" not in span.attributes["note"]
    assert span.attributes["tenant.id"] == "unattributed"


def test_a_second_configuration_is_refused(receiver: FaultyReceiver) -> None:
    run = script(
        """
        import json, sys
        from otelwarden.core import ConfigError
        from otelwarden.pipeline import configure

        configure(json.loads(sys.argv[1]))
        try:
            configure(json.loads(sys.argv[1]))
        except ConfigError as error:
            print(error)
        """,
        json.dumps(document(receiver.grpc_endpoint)),
    )
    assert run.returncode == 0, run.stderr
    assert "global providers already" in run.stdout
    assert "TracerProvider, LoggerProvider, MeterProvider" in run.stdout


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(("otelwarden", "Otel"))}


def test_a_failure_half_way_is_undone(tmp_path: Path, receiver: FaultyReceiver) -> None:
    # The trail's directory is a file: found out only when it is opened, after the metrics pipeline was begun.
    (tmp_path / "audit").write_text("in the way", encoding="utf-8")
    config = document(receiver.grpc_endpoint)
    config["processors"]["audit"] = {"path": str(tmp_path / "audit")}
    config["service"]["pipelines"]["traces"] = {
        "processors": ["tenancy", "audit"],
        "exporters": ["failover"],
    }
    before, handlers = threads(), list(logging.getLogger().handlers)
    with pytest.raises(ConfigError, match="cannot be used"):
        configure(config, set_global=False)
    assert threads() == before
    assert logging.getLogger().handlers == handlers


def test_the_logging_handler_neither_raises_nor_chases_itself(receiver: FaultyReceiver) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    warden = configure(document(receiver.grpc_endpoint), set_global=False)
    logger = logging.getLogger("test.hostile")
    logger.propagate = True
    logging.raiseExceptions, before = False, logging.raiseExceptions
    try:
        logger.error("%d", "not a number")
        logger.error(Hostile())
        logger.error("fine")
    finally:
        logging.raiseExceptions = before
        warden.shutdown(60)
    assert [record.body for record in receiver.log_records() if record.scope == "test.hostile"] == ["fine"]
    assert sum(warden.stats().errors["pipeline"].values()) == 2
    assert not any("WardenHandler" in repr(handler) for handler in logging.getLogger().handlers)


def test_self_metrics_leave_with_the_rest(receiver: FaultyReceiver) -> None:
    warden = configure(document(receiver.grpc_endpoint, logging_handler=False), set_global=False)
    assert warden.tracer_provider is not None
    with use_tenant("acme"):
        warden.tracer_provider.get_tracer("t").start_span("work").end()
    assert warden.force_flush(60)
    warden.shutdown(60)
    received = {
        (point.attributes["otelwarden.signal"], point.attributes["otelwarden.tenant"]): point.value
        for point in receiver.metrics()
        if point.name == "otelwarden.tenancy.received"
    }
    assert received["traces", "acme"] == 1


def test_no_self_metrics(receiver: FaultyReceiver) -> None:
    config = document(receiver.grpc_endpoint, logging_handler=False, self_metrics=False)
    configure(config, set_global=False).shutdown(60)
    assert receiver.metrics() == []


def test_shutdown_keeps_its_deadline(receiver: FaultyReceiver) -> None:
    receiver.freeze()
    try:
        config = document(receiver.grpc_endpoint, logging_handler=False)
        config["exporters"]["failover"]["endpoints"] = [{"url": receiver.grpc_endpoint, "timeout": "300s"}]
        warden = configure(config, set_global=False)
        assert warden.tracer_provider is not None
        warden.tracer_provider.get_tracer("t").start_span("work").end()
        began = time.monotonic()
        assert not warden.force_flush(0.5)
        warden.shutdown(2)
        assert time.monotonic() - began < 60  # beside an attempt of 300
    finally:
        receiver.thaw()
    stats = warden.stats()
    assert stats.unaccounted == 0
    (lost,) = [b for b in stats.balances if b.component == "failover" and b.signal == "traces"]
    assert lost.dropped == {"shutdown": 1}


def test_a_dead_endpoint_is_seen_in_the_stats(receiver: FaultyReceiver) -> None:
    config = document("http://127.0.0.1:1", logging_handler=False)
    config["exporters"]["failover"]["endpoints"].append({"url": receiver.grpc_endpoint})
    warden = configure(config, set_global=False)
    assert warden.tracer_provider is not None
    warden.tracer_provider.get_tracer("t").start_span("work").end()
    assert warden.force_flush(60)
    warden.shutdown(60)
    assert len(receiver.spans()) == 1
    first, second = warden.stats().endpoints
    assert first.url == "http://127.0.0.1:1"
    assert (first.delivered, second.delivered >= 1) == (0, True)
    assert any(decision.action == "failover" for decision in warden.stats().decisions)


def test_a_forked_child_sends_its_own(receiver: FaultyReceiver) -> None:
    warden = configure(document(receiver.http_endpoint, logging_handler=False) | {}, set_global=False)
    warden.shutdown(60)
    config = document(receiver.grpc_endpoint, logging_handler=False)
    warden = configure(config, set_global=False)
    assert warden.tracer_provider is not None
    tracer = warden.tracer_provider.get_tracer("t")
    tracer.start_span("of the parent").end()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            tracer.start_span("of the child").end()
            flushed = warden.force_flush(60)
            counts = {b.component: b.received for b in warden.stats().balances if b.signal == "traces"}
            code = 0 if flushed and set(counts.values()) == {1} else 2
        finally:
            os._exit(code)
    assert warden.force_flush(60)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    warden.shutdown(60)
    assert sorted(span.name for span in receiver.spans()) == ["of the child", "of the parent"]
