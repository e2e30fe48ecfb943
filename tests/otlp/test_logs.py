"""Log records on the wire, byte for byte those of the public encoder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as public_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otelwarden.core import copy_log
from otelwarden.otlp import encode_logs

TEXTS = st.text(st.characters(codec="utf-8"), max_size=140)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXTS | st.binary(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXTS, children, max_size=3),
    max_leaves=5,
)
PLAIN_ATTRIBUTES = st.dictionaries(TEXTS, VALUES, max_size=6)
ATTRIBUTES = (
    st.none()
    | PLAIN_ATTRIBUTES
    | st.builds(BoundedAttributes, st.none() | st.integers(0, 3), PLAIN_ATTRIBUTES, st.booleans())
)
TIMES = st.none() | st.just(0) | st.integers(0, 2**64 - 1)
CONTEXTS = st.none() | st.builds(
    lambda *ids: set_span_in_context(NonRecordingSpan(SpanContext(*ids))),
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.builds(TraceFlags, st.integers(0, 255)),
)
RECORDS = st.builds(
    LogRecord,
    timestamp=TIMES,
    observed_timestamp=TIMES,
    context=CONTEXTS,
    severity_text=st.none() | TEXTS,
    severity_number=st.none() | st.sampled_from(SeverityNumber),
    body=VALUES,
    attributes=ATTRIBUTES,
    event_name=st.none() | TEXTS,
)
LOGS = st.builds(
    ReadableLogRecord,
    RECORDS,
    st.builds(Resource, st.dictionaries(TEXTS, st.integers(0, 2), max_size=1), st.none() | TEXTS),
    st.none() | st.builds(InstrumentationScope, st.sampled_from(["", "a"]), st.none() | TEXTS, st.none() | TEXTS),
)


def assert_as_public(records: Sequence[ReadableLogRecord]) -> None:
    encoded = encode_logs(records)
    assert encoded.body == public_logs(records).SerializeToString()
    assert (encoded.repaired, encoded.dropped) == (0, ())


def decoded(records: Sequence[ReadableLogRecord]) -> list[Any]:
    request = ExportLogsServiceRequest.FromString(encode_logs(records).body)
    return [log for resource in request.resource_logs for scope in resource.scope_logs for log in scope.log_records]


@settings(max_examples=120, deadline=None)
@given(st.lists(LOGS, max_size=4))
def test_any_log_records(records: list[ReadableLogRecord]) -> None:
    assert_as_public(records)


@settings(max_examples=60, deadline=None)
@given(LOGS, PLAIN_ATTRIBUTES, VALUES)
def test_any_copies(record: ReadableLogRecord, attributes: dict[str, Any], body: Any) -> None:
    assert_as_public([copy_log(record, attributes=attributes), copy_log(record, body=body), copy_log(record)])


def test_log_records_of_the_sdk_at_its_limits() -> None:
    memory = InMemoryLogRecordExporter()
    limits = LogRecordLimits(max_attributes=2, max_attribute_length=3)
    provider = LoggerProvider(
        Resource({"service.name": "shop"}, "https://schema"), shutdown_on_exit=False, log_record_limits=limits
    )
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    context = set_span_in_context(NonRecordingSpan(SpanContext(1, 2, False, TraceFlags(1))))
    logger = provider.get_logger("a", "1", "https://scope", {"scope": True})
    with pytest.warns(UserWarning, match="dropped"):
        logger.emit(timestamp=1, body={"a": [1]}, attributes={"a": 1, "b": 2, "c": "long"}, context=context)
        provider.get_logger("b").emit(exception=ValueError("x"), body=None)
    logger.emit(severity_number=SeverityNumber.ERROR4, severity_text="CRITICAL", body="text", event_name="event")
    records = memory.get_finished_logs()
    assert_as_public(records)
    assert decoded(records)[0].dropped_attributes_count == 1


def log_of(**fields: Any) -> ReadableLogRecord:
    return ReadableLogRecord(LogRecord(**({"observed_timestamp": 1} | fields)), Resource({}))


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": 0, "observed_timestamp": 0},
        {"timestamp": 2**64 - 1},
        {"severity_number": SeverityNumber.UNSPECIFIED},
        {"severity_number": SeverityNumber.FATAL4},
        {"severity_number": logging.ERROR},  # not the enumeration's: not sent
        {"severity_text": ""},
        {"severity_text": b"bytes"},
        {"event_name": ""},
        {"event_name": "event"},
        {"body": ""},
        {"body": {}},
        {"attributes": {}},
        {"attributes": {"k": None}},
        {"attributes": BoundedAttributes(1, {"a": 1, "b": 2}, immutable=False)},
    ],
    ids=lambda fields: f"{fields!r:.60}",
)
def test_log_records_that_the_public_encoder_takes(fields: dict[str, Any]) -> None:
    assert_as_public([log_of(**fields)])


def test_texts_are_repaired() -> None:
    records = [log_of(severity_text="\ud800", event_name="\ud801", body="\ud802", attributes={"\ud803": "\ud804"})]
    assert encode_logs(records).repaired == 5
    (record,) = decoded(records)
    assert record.severity_text == record.event_name == record.body.string_value == "\ufffd"
    assert (record.attributes[0].key, record.attributes[0].value.string_value) == ("\ufffd", "\ufffd")


def test_a_record_without_resource_is_kept() -> None:
    record = replace(log_of(body="x"), resource=None)  # type: ignore[arg-type]
    assert encode_logs([record]).body == public_logs([log_of(body="x")]).SerializeToString()


@pytest.mark.parametrize("fields", [{"timestamp": -1}, {"observed_timestamp": "now"}, {"attributes": [1]}], ids=repr)
def test_a_record_that_cannot_be_encoded_is_dropped_alone(fields: dict[str, Any]) -> None:
    bad, good = log_of(**fields), log_of(body="good")
    encoded = encode_logs([bad, good])
    assert len(encoded.dropped) == 1
    assert encoded.dropped[0] is bad
    assert encoded.body == public_logs([good]).SerializeToString()
