"""Log records and metric points on the short path come to the same as on the long one, through the real SDK."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otelwarden.core import Runtime
from otelwarden.redaction import (
    ClassificationConfig,
    RedactionLogRecordExporter,
    RedactionLogRecordProcessor,
    RedactionMetricReader,
    RedactionOptions,
    RedactionPolicy,
    catalogue,
)

POLICY = RedactionPolicy.load("pii", "secrets")
SAMPLES = [sample for d in catalogue() for sample in (*d.examples, *d.near_misses) if isinstance(sample, str)]
TEXTS = st.sampled_from([*SAMPLES, "jane%40example.com", "café jane@example.com", "clean", "", "a\0jane@example.com"])
VALUES = st.one_of(TEXTS, st.integers(0, 10**19), st.booleans(), st.just(["x", "jane@example.com"]))
KEYS = ["a", "b", "http.route", "server.port", "password"]
RECORDS = st.lists(
    st.tuples(
        st.one_of(TEXTS, st.none(), st.just({"to": "jane@example.com"}), st.just(4242424242424242)),
        st.sampled_from([None, "login", "login of jane@example.com"]),
        st.sampled_from([None, "INFO", "jane@example.com"]),
        st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    ),
    max_size=12,
)
LONG_WAY = RedactionOptions(evidence_attribute="evidence")
ALSO_LONG = RedactionOptions(classification=ClassificationConfig(stamp=True))


def emit(provider: LoggerProvider, records: list[Any]) -> None:
    logger = provider.get_logger("shop")
    for body, event_name, severity_text, attributes in records:
        logger.emit(LogRecord(body=body, event_name=event_name, severity_text=severity_text, attributes=attributes))


def left_of(record: ReadableLogRecord) -> Any:
    log = record.log_record
    attributes = {key: value for key, value in (log.attributes or {}).items() if key != "evidence"}
    return log.body, log.event_name, log.severity_text, attributes


@settings(max_examples=60, deadline=None)
@given(records=RECORDS)
def test_log_records_come_to_the_same_on_both_ways(records: list[Any]) -> None:
    came = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(came))
    emit(provider, records)
    both = []
    for options in (RedactionOptions(), LONG_WAY):
        sink = InMemoryLogRecordExporter()
        exporter = RedactionLogRecordExporter(sink, policy=POLICY, runtime=Runtime(), options=options)
        for _ in range(2):  # the first batch teaches which keys are plain
            exporter.export(came.get_finished_logs())
        both.append([left_of(record) for record in sink.get_finished_logs()])
    assert both[0] == both[1]
    assert "jane@example.com" not in repr(both[0])


def test_a_log_record_keeps_its_limits_and_what_was_dropped() -> None:
    sink = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    runtime = Runtime()
    provider.add_log_record_processor(
        RedactionLogRecordProcessor(SimpleLogRecordProcessor(sink), policy=POLICY, runtime=runtime)
    )
    attributes = {f"key.{number}": "clean" for number in range(129)} | {"nested": {"list": [1, {"deep": "kept"}]}}
    for _ in range(2):
        emit(provider, [("mail jane@example.com", None, None, attributes | {"to": "jane@example.com"})])
    first, second = sink.get_finished_logs()
    assert left_of(first) == left_of(second)
    assert first.log_record.body == "mail [REDACTED]"
    left = first.log_record.attributes or {}
    assert first.dropped_attributes == second.dropped_attributes == 3
    assert left["to"] == "[REDACTED]"
    assert left["nested"] == {"list": (1, {"deep": "kept"})}
    assert {decision.action for decision in runtime.decisions()} == {"replace"}


SERIES = st.lists(st.dictionaries(st.sampled_from(KEYS[:4]), VALUES, max_size=4), max_size=12)


@settings(max_examples=60, deadline=None)
@given(series=SERIES, name=st.sampled_from(["requests", "of.jane"]))
def test_points_come_to_the_same_on_both_ways(series: list[dict[str, Any]], name: str) -> None:
    both = []
    for options in (RedactionOptions(), ALSO_LONG):
        reader = InMemoryMetricReader()
        redacted = RedactionMetricReader(reader, policy=POLICY, runtime=Runtime(), options=options)
        meter = MeterProvider([redacted], shutdown_on_exit=False).get_meter("shop")
        counter = meter.create_counter(name, description="written by jane@example.com", unit="1")
        collected = []
        for _ in range(2):
            for attributes in series:
                counter.add(1, attributes)
            data = reader.get_metrics_data()
            metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
            collected.append(
                [
                    (metric.name, metric.description, sorted((repr(point.attributes), point.value) for point in points))  # type: ignore[union-attr]
                    for metric in metrics
                    for points in [metric.data.data_points]
                ]
            )
        both.append(collected)
    assert both[0] == both[1]
    assert "jane@example.com" not in repr(both[0])
