"""Items kept as they came: in files, encrypted and bounded, and through processors of the SDK."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import ConfigError, Runtime
from otelwarden.redaction import (
    FileArchive,
    FixedKeyRing,
    Keys,
    ProcessorArchive,
    RedactionLogRecordExporter,
    RedactionMetricReader,
    RedactionOptions,
    RedactionPolicy,
    RedactionSpanExporter,
    Revelation,
)

MAIL = "jane@example.com"
KEYS = Keys(FixedKeyRing({"k1": bytes(range(32))}))


@pytest.fixture
def policy(tmp_path: Path) -> RedactionPolicy:
    rules = [
        {"id": "keep", "match": {"entities": ["EMAIL"]}, "action": {"archive": {"to": "vault"}}},
        {"id": "hide", "match": {"entities": ["EMAIL"]}, "action": {"replace": {"text": "X"}}},
    ]
    (tmp_path / "own.yaml").write_text(json.dumps({"rules": rules}))
    return RedactionPolicy.load(tmp_path / "own.yaml")


def send(policy: RedactionPolicy, archive: Any, runtime: Runtime) -> list[str]:
    """One clean and one dirty item of each signal; the texts of those that left the usual way."""
    options = RedactionOptions(archives={"vault": archive})
    spans, logs, metrics = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
    provider, records = TracerProvider(), LoggerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(RedactionSpanExporter(spans, policy=policy, runtime=runtime, options=options))
    )
    records.add_log_record_processor(
        SimpleLogRecordProcessor(RedactionLogRecordExporter(logs, policy=policy, runtime=runtime, options=options))
    )
    reader = RedactionMetricReader(metrics, policy=policy, runtime=runtime, options=options)
    counter = MeterProvider([reader]).get_meter("m").create_counter("c")
    for text in ("fine", MAIL):
        provider.get_tracer("t").start_span("x", attributes={"a": text}).end()
        records.get_logger("t").emit(LogRecord(timestamp=1, body=text))
        counter.add(1, {"a": text})
    data = metrics.get_metrics_data()
    assert data is not None
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    return [
        *(str(dict(span.attributes or {})["a"]) for span in spans.get_finished_spans()),
        *(str(record.log_record.body) for record in logs.get_finished_logs()),
        *sorted(str(dict(point.attributes or {})["a"]) for point in points),
    ]


LEFT = ["fine", "X", "fine", "X", "X", "fine"]


def test_files_keep_items_encrypted_as_they_came(tmp_path: Path, policy: RedactionPolicy) -> None:
    runtime = Runtime()
    assert send(policy, FileArchive(tmp_path / "vault", keys=KEYS), runtime) == LEFT
    (file,) = (tmp_path / "vault").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text(encoding="ascii")
    assert MAIL not in text
    items = [json.loads(line) for line in Revelation(KEYS).text(text).splitlines()]
    assert [next(iter(item)) for item in items] == ["resourceSpans", "resourceLogs", "resourceMetrics"]
    assert all(json.dumps(item).count(MAIL) == 1 and "fine" not in json.dumps(item) for item in items)
    assert {(d.action, d.signal, n) for d, n in runtime.decisions().items() if d.action == "archive"} == {
        ("archive", signal, 1) for signal in ("traces", "logs", "metrics")
    }


def test_files_in_clear_by_request_alone(tmp_path: Path, policy: RedactionPolicy) -> None:
    send(policy, FileArchive(tmp_path / "vault"), Runtime())
    (file,) = (tmp_path / "vault").iterdir()
    assert file.read_text(encoding="utf-8").count(MAIL) == 3
    with pytest.raises(ConfigError, match="no key"):
        FileArchive(tmp_path / "vault", keys=Keys())
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="nothing can be archived here"):
        FileArchive(tmp_path / "file")


def test_files_are_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    archive = FileArchive(tmp_path / "vault", max_bytes=64 << 10)
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(300):
        provider.get_tracer("t").start_span(f"span-{number}", attributes={"a": "x" * 500}).end()
        archive.keep("traces", memory.get_finished_spans()[-1])
        files = list((tmp_path / "vault").iterdir())
        assert sum(file.stat().st_size for file in files) <= 64 << 10
    kept = "".join(file.read_text() for file in (tmp_path / "vault").iterdir())
    assert '"span-299"' in kept
    assert '"span-0"' not in kept


def test_processors_get_items_as_they_came(policy: RedactionPolicy) -> None:
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    collections: list[Any] = []
    archive = ProcessorArchive(
        spans=SimpleSpanProcessor(spans), logs=SimpleLogRecordProcessor(logs), metrics=collections.append
    )
    assert send(policy, archive, Runtime()) == LEFT
    assert [dict(span.attributes or {}) for span in spans.get_finished_spans()] == [{"a": MAIL}]
    assert [record.log_record.body for record in logs.get_finished_logs()] == [MAIL]
    (data,) = collections
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert dict(point.attributes) == {"a": MAIL}


def test_an_archive_that_fails_is_counted_and_the_item_goes_its_way(policy: RedactionPolicy) -> None:
    runtime = Runtime()
    assert send(policy, ProcessorArchive(), runtime) == LEFT
    assert runtime.error_counts() == {"redaction": {"archive:LookupError": 3}}
