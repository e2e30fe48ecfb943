from __future__ import annotations

import io
import json
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status, StatusCode

from otelwarden.core import (
    FairBatchLogRecordProcessor,
    ItemState,
    copy_event,
    copy_link,
    copy_log,
    copy_span,
    events_of,
    item_attributes,
    links_of,
    set_state,
    state_of,
)
from otelwarden.testing import RecordingLogRecordExporter, RecordingSpanProcessor

SECRET = "hunter2"

pytestmark = pytest.mark.filterwarnings("ignore:Log record attributes")


@pytest.fixture
def span() -> ReadableSpan:
    """A span that is full of a secret, and over its limits."""
    last = RecordingSpanProcessor()
    provider = TracerProvider(
        resource=Resource({"secret": SECRET}),
        span_limits=SpanLimits(
            max_span_attributes=2, max_events=1, max_links=1, max_event_attributes=1, max_link_attributes=1
        ),
    )
    provider.add_span_processor(last)
    tracer = provider.get_tracer(SECRET, SECRET)
    with tracer.start_as_current_span("parent") as parent:
        links = [trace.Link(parent.get_span_context(), {"x": SECRET, "secret": SECRET}) for _ in range(3)]
        live = tracer.start_span(SECRET, attributes={f"{SECRET}{n}": SECRET for n in range(5)}, links=links)
    for _ in range(4):
        live.add_event(SECRET, {"x": SECRET, "secret": SECRET}, timestamp=7)
    live.set_status(Status(StatusCode.ERROR, SECRET))
    live.end()
    set_state(last.ended[-1], ItemState("acme", "token", "restricted"))
    return last.ended[-1]


@pytest.fixture
def clean(span: ReadableSpan) -> ReadableSpan:
    return copy_span(
        span,
        name="clean",
        attributes={"key": "clean"},
        events=[copy_event(event, name="clean", attributes={"key": "clean"}) for event in span.events],
        links=[copy_link(link, attributes={"key": "clean"}) for link in span.links],
        status=Status(StatusCode.ERROR, "clean"),
        resource=Resource({"key": "clean"}),
        scope=InstrumentationScope("clean"),
    )


def test_nothing_of_the_original_is_shown(span: ReadableSpan, clean: ReadableSpan) -> None:
    out = io.StringIO()
    ConsoleSpanExporter(out=out).export([clean])
    shown = out.getvalue() + clean.to_json() + repr(clean) + repr(clean.resource) + repr(clean.instrumentation_scope)
    assert SECRET not in shown
    assert SECRET in span.to_json()
    assert json.loads(clean.to_json())["name"] == "clean"


def test_what_is_not_given_is_kept(span: ReadableSpan) -> None:
    copy = copy_span(span)
    assert isinstance(copy, ReadableSpan)
    assert copy is not span
    assert copy.to_json() == span.to_json()
    for name in ("context", "parent", "kind", "start_time", "end_time", "resource", "instrumentation_scope", "status"):
        assert getattr(copy, name) is getattr(span, name) or getattr(copy, name) == getattr(span, name)
    assert dict(item_attributes(copy)) == dict(item_attributes(span))
    assert tuple(events_of(copy)) == tuple(events_of(span))
    assert tuple(links_of(copy)) == tuple(links_of(span))


def test_counts_of_what_was_dropped_are_kept_through_copies_of_copies(span: ReadableSpan, clean: ReadableSpan) -> None:
    for copy in (copy_span(span), clean, copy_span(clean, name="again")):
        assert (copy.dropped_attributes, copy.dropped_events, copy.dropped_links) == (3, 3, 2)
    assert [event.dropped_attributes for event in clean.events] == [1]
    assert [link.dropped_attributes for link in clean.links] == [1]
    assert copy_event(clean.events[0]).dropped_attributes == copy_link(clean.links[0]).dropped_attributes == 1


def test_the_state_is_carried(clean: ReadableSpan) -> None:
    assert (state_of(clean).tenant, state_of(clean).classification) == ("acme", "restricted")


def test_the_original_is_left_alone(span: ReadableSpan, clean: ReadableSpan) -> None:
    assert span.name == SECRET
    assert set((span.attributes or {}).values()) == {SECRET}
    assert span.events[0].name == SECRET
    assert span.events[0].timestamp == clean.events[0].timestamp == 7


def test_a_name_or_description_may_be_emptied(span: ReadableSpan) -> None:
    assert copy_span(span, name="").name == ""
    assert copy_span(span, scope=None).instrumentation_scope is None
    assert copy_event(span.events[0], attributes=None).attributes is None


# --- log records


def record_of(kind: str) -> Any:
    record = ReadWriteLogRecord(
        LogRecord(
            timestamp=1,
            observed_timestamp=2,
            severity_text=SECRET,
            severity_number=SeverityNumber.WARN,
            body={"text": SECRET},
            attributes={"a": SECRET, "secret": {"nested": SECRET}},
            event_name=SECRET,
        ),
        resource=Resource({"secret": SECRET}),
        instrumentation_scope=InstrumentationScope(SECRET),
        limits=LogRecordLimits(max_log_record_attributes=1),
    )
    set_state(record, ItemState("acme", "token"))
    if kind == "readable":
        exporter = RecordingLogRecordExporter()
        processor = FairBatchLogRecordProcessor(exporter)
        processor.on_emit(record)
        processor.shutdown()
        return exporter.records[0]
    return record


@pytest.fixture(params=["in the pipeline", "readable"])
def record(request: pytest.FixtureRequest) -> Any:
    return record_of(request.param)


def changed(record: Any) -> Any:
    return copy_log(
        record,
        body="clean",
        attributes={"key": {"nested": ("clean", None, b"x")}},
        event_name="clean",
        severity_text="clean",
        resource=Resource({"key": "clean"}),
        scope=InstrumentationScope("clean"),
    )


def test_a_copy_of_a_log_record_shows_nothing_of_the_original(record: Any) -> None:
    copy = changed(record)
    assert type(copy) is type(record)
    assert SECRET not in repr(copy.log_record.__dict__) + repr(copy.resource) + repr(copy.instrumentation_scope)
    if isinstance(copy, ReadableLogRecord):
        out = io.StringIO()
        ConsoleLogRecordExporter(out=out).export([copy])
        assert SECRET not in out.getvalue() + copy.to_json()
    assert record.log_record.body == {"text": SECRET}
    assert dict(record.log_record.attributes) == {"secret": {"nested": SECRET}}


def test_a_copy_of_a_log_record_keeps_the_rest(record: Any) -> None:
    copy = changed(record)
    for name in ("timestamp", "observed_timestamp", "severity_number", "trace_id", "span_id", "trace_flags"):
        assert getattr(copy.log_record, name) == getattr(record.log_record, name)
    assert record.dropped_attributes == copy.dropped_attributes == copy_log(copy, body="again").dropped_attributes == 1
    assert dict(copy.log_record.attributes) == {"key": {"nested": ("clean", None, b"x")}}
    assert state_of(copy) is state_of(record)


def test_what_is_not_given_of_a_log_record_is_kept(record: Any) -> None:
    copy = copy_log(record)
    assert copy is not record
    assert copy.log_record.__dict__ == record.log_record.__dict__


def test_a_copy_in_the_pipeline_can_be_changed_and_leaves_the_original_alone(logger_provider: LoggerProvider) -> None:
    record = ReadWriteLogRecord(LogRecord(body="b", attributes={"a": 1}))
    copy = copy_log(record, attributes={"a": 2})
    copy.log_record.body = "c"
    copy.log_record.attributes["b"] = 3  # type: ignore[index]
    assert (record.log_record.body, dict(record.log_record.attributes or {})) == ("b", {"a": 1})
    assert dict(copy.log_record.attributes or {}) == {"a": 2, "b": 3}
