"""Values that break scanners: the item is dropped and counted, and nothing is raised into the application."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from otelwarden.core import OnError, Runtime, total
from otelwarden.redaction import (
    RedactionLogRecordProcessor,
    RedactionMetricReader,
    RedactionOptions,
    RedactionPolicy,
    RedactionSpanExporter,
    Redactor,
)
from otelwarden.redaction.validators.addresses import MAX_HASHED


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("secret jane@example.com")

    __repr__ = __str__


class Liar(str):
    """A text that says it is another."""

    def __str__(self) -> str:
        return "nothing here"

    def encode(self, *args: Any) -> bytes:
        return b"nothing here"


class LyingNumber(int):
    def __str__(self) -> str:
        return "7"


def cyclic_list() -> list[Any]:
    value: list[Any] = ["x"]
    value.append(value)
    return value


def cyclic_mapping() -> dict[str, Any]:
    value: dict[str, Any] = {"x": "y"}
    value["self"] = value
    return value


def deep(levels: int) -> Any:
    value: Any = "jane@example.com"
    for _ in range(levels):
        value = [value]
    return value


def bomb() -> Any:
    value: Any = ["x"] * 10
    for _ in range(20):
        value = [value] * 10
    return value


DROPPED = {
    "cyclic list": (cyclic_list, "too_deep"),
    "cyclic mapping": (cyclic_mapping, "too_deep"),
    "10,000 levels": (lambda: deep(10_000), "too_deep"),
    "ten to the twenty": (bomb, "too_many_values"),
    "too long": (lambda: "x" * ((1 << 20) + 1), "value_too_long"),
    "str() raises": (Unprintable, "error"),
    "an integer too long to print": (lambda: 10**5000, "error"),
}


@pytest.mark.parametrize(("make", "reason"), DROPPED.values(), ids=DROPPED.keys())
def test_what_cannot_be_scanned_does_not_leave(policy: RedactionPolicy, make: Any, reason: str) -> None:
    memory, runtime = InMemorySpanExporter(), Runtime()
    exporter = RedactionSpanExporter(memory, policy=policy, runtime=runtime)
    exporter.export([ReadableSpan("x", SpanContext(1, 2, False), attributes={"value": make()})])
    assert memory.get_finished_spans() == ()
    balance = total(runtime.balances(), "redaction")
    assert (balance.received, balance.forwarded, dict(balance.dropped)) == (1, 0, {reason: 1})
    assert balance.unaccounted == 0


@pytest.mark.parametrize("make", [cyclic_list, lambda: deep(10_000), lambda: "x" * ((1 << 20) + 1)])
def test_failing_open_is_for_errors_not_for_what_was_not_scanned(policy: RedactionPolicy, make: Any) -> None:
    memory, runtime = InMemorySpanExporter(), Runtime()
    exporter = RedactionSpanExporter(memory, policy=policy, runtime=runtime, on_error="pass")
    exporter.export([ReadableSpan("x", SpanContext(1, 2, False), attributes={"value": make()})])
    assert memory.get_finished_spans() == ()


@pytest.mark.parametrize("on_error", ["drop", "pass"])
def test_a_resource_that_cannot_be_scanned_lets_nothing_out(policy: RedactionPolicy, on_error: OnError) -> None:
    resource = Resource({"command": "x" * 2000})
    options: dict[str, Any] = {
        "policy": policy,
        "on_error": on_error,
        "options": RedactionOptions(max_value_length=1024),
    }
    spans, logs, metrics, runtime = (
        InMemorySpanExporter(),
        InMemoryLogRecordExporter(),
        InMemoryMetricReader(),
        Runtime(),
    )
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(SimpleSpanProcessor(RedactionSpanExporter(spans, runtime=runtime, **options)))
    traces.get_tracer("t").start_span("x").end()
    records = LoggerProvider(resource=resource)
    records.add_log_record_processor(
        RedactionLogRecordProcessor(SimpleLogRecordProcessor(logs), runtime=runtime, **options)
    )
    records.get_logger("t").emit(LogRecord(body="x"))
    reader = RedactionMetricReader(metrics, runtime=runtime, **options)
    MeterProvider(metric_readers=[reader], resource=resource).get_meter("m").create_counter("c").add(1)
    assert metrics.get_metrics_data() is None
    assert (spans.get_finished_spans(), logs.get_finished_logs()) == ((), ())
    assert dict(total(runtime.balances(), "redaction").dropped) == {"value_too_long": 3}


def test_failing_open_lets_an_item_out_that_redaction_failed_on(policy: RedactionPolicy) -> None:
    memory, runtime = InMemorySpanExporter(), Runtime()
    exporter = RedactionSpanExporter(memory, policy=policy, runtime=runtime, on_error="pass")
    exporter.export([ReadableSpan("x", SpanContext(1, 2, False), attributes={"value": Unprintable()})])  # type: ignore[dict-item]
    assert len(memory.get_finished_spans()) == 1
    assert runtime.error_counts() == {"redaction": {"transform:RuntimeError": 1}}


def test_the_application_does_not_notice(policy: RedactionPolicy) -> None:
    memory, runtime = InMemoryLogRecordExporter(), Runtime()
    provider = LoggerProvider()
    provider.add_log_record_processor(
        RedactionLogRecordProcessor(SimpleLogRecordProcessor(memory), policy=policy, runtime=runtime)
    )
    provider.get_logger("t").emit(LogRecord(body=cyclic_mapping()))
    provider.get_logger("t").emit(LogRecord(body=deep(60)))
    (left,) = memory.get_finished_logs()
    assert "jane" not in repr(left.log_record.body)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (Liar("jane@example.com"), "[REDACTED]"),
        (LyingNumber(4242424242424242), "[REDACTED]"),
        ("\ud800 jane@example.com", "� [REDACTED]"),
        (b"\xff\xfe jane@example.com", b"\xff\xfe [REDACTED]"),
        (bytearray(b"jane@example.com"), b"[REDACTED]"),
        (("a", "jane@example.com"), ("a", "[REDACTED]")),
        ({"a": {1: "jane@example.com"}}, {"a": {1: "[REDACTED]"}}),
        ({"password": {"value": "opensesame"}}, {"password": {"value": "[REDACTED]"}}),
        ([None, True, 3, 2.5, "jane@example.com"], [None, True, 3, 2.5, "[REDACTED]"]),
    ],
    ids=str,
)
def test_values_of_odd_types(policy: RedactionPolicy, value: Any, left: Any) -> None:
    memory = InMemorySpanExporter()
    exporter = RedactionSpanExporter(memory, policy=policy, runtime=Runtime())
    exporter.export([ReadableSpan("x", SpanContext(1, 2, False), attributes={"value": value, "other": 1})])
    assert (memory.get_finished_spans()[0].attributes or {})["value"] == left


def test_no_value_is_in_what_is_logged(policy: RedactionPolicy, caplog: pytest.LogCaptureFixture) -> None:
    runtime = Runtime()
    exporter = RedactionSpanExporter(InMemorySpanExporter(), policy=policy, runtime=runtime)
    exporter.export([ReadableSpan("x", SpanContext(1, 2, False), attributes={"v": Unprintable()})])  # type: ignore[dict-item]
    assert caplog.records
    assert "jane" not in caplog.text


def test_keys_without_end_are_forgotten(policy: RedactionPolicy) -> None:
    redactor = Redactor(policy)
    for number in range(20_000):
        redactor.document().fields({f"key.{number}": "x"})
    assert len(redactor.keys.plain) <= 8192


def test_threads_share_a_redactor(policy: RedactionPolicy) -> None:
    redactor = Redactor(policy)
    wrong: list[str] = []

    def work(number: int) -> None:
        until = time.monotonic() + 0.5
        step = 0
        while time.monotonic() < until:
            step += 1
            document = redactor.document()
            fields = document.fields({f"k{number}.{step}": f"user{number}.{step}@example.com", "n": "fine"})
            redaction = redactor.redact(document, "traces", f"tenant-{number}")
            left = fields.rebuild(redaction.edits) if redaction else {}
            if left != {f"k{number}.{step}": "[REDACTED]", "n": "fine"}:
                wrong.append(repr(left))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_text_full_of_addresses_is_not_hashed_address_by_address(redactor: Redactor) -> None:
    wrong = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"
    assert redactor.redact_text(wrong) == wrong
    text = " ".join([wrong] * 10)
    once = redactor.redact_text(text)
    assert once == " ".join([wrong] * MAX_HASHED + ["[REDACTED]"] * (10 - MAX_HASHED))
    assert redactor.redact_text(text) == once
    assert redactor.redact_text(wrong) == wrong
