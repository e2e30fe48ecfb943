"""Each name of the SDK that has no public name and that `core/_sdk.py` touches: this fails when one moves."""

from __future__ import annotations

import contextvars
import inspect
import json
import subprocess
import sys
from collections import deque
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry._logs import LogRecord
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    InMemoryMetricReader,
    MetricReader,
)
from opentelemetry.sdk.metrics.view import DropAggregation
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.util import BoundedList

from otelwarden.core import (
    FairBatchLogRecordProcessor,
    _sdk,
    bare_spans,
    events_of,
    fields_of,
    is_instrumentation_suppressed,
    item_attributes,
    links_of,
    plain_attributes,
    raised_cardinality_limits,
    sampler_of_environment,
    suppress_instrumentation_in_this_thread,
    tag_log,
    tag_span,
    with_attributes,
)
from otelwarden.testing import RecordingLogRecordExporter, RecordingSpanProcessor


@pytest.fixture
def finished(provider: TracerProvider) -> ReadableSpan:
    last = RecordingSpanProcessor()
    provider.add_span_processor(last)
    link = trace.Link(trace.SpanContext(1, 1, True), {"key": 1})
    span = provider.get_tracer("test").start_span("a", attributes={"key": "value"}, links=[link])
    span.add_event("event", {"key": "value"})
    span.end()
    return last.ended[0]


def test_the_key_of_the_current_span() -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(1, 1, True))
    held = trace.set_span_in_context(span)
    assert held[_sdk.SPAN_KEY] is span
    assert trace.get_current_span(held) is span


def test_the_key_of_the_baggage_and_that_its_mapping_is_replaced_not_changed() -> None:
    first = baggage.set_baggage("a", "1")
    second = baggage.set_baggage("b", "2", first)
    assert dict(first[_sdk.BAGGAGE_KEY]) == {"a": "1"}  # type: ignore[call-overload]
    assert dict(second[_sdk.BAGGAGE_KEY]) == {"a": "1", "b": "2"}  # type: ignore[call-overload]
    assert first[_sdk.BAGGAGE_KEY] is not second[_sdk.BAGGAGE_KEY]
    assert context.set_value("other", 1, first)[_sdk.BAGGAGE_KEY] is first[_sdk.BAGGAGE_KEY]


def test_the_attributes_of_a_span(finished: ReadableSpan) -> None:
    assert type(finished._attributes) is BoundedAttributes
    assert type(finished._attributes._dict) is dict
    found = item_attributes(finished)
    assert found is finished._attributes._dict
    assert found == dict(finished.attributes or {}) == {"key": "value"}


def test_a_live_span_and_its_finished_one_share_attributes(provider: TracerProvider) -> None:
    seen: list[Span] = []

    class Starting(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:
            span.set_attribute("at", "start")
            seen.append(span)

    provider.add_span_processor(Starting())
    provider.get_tracer("test").start_span("a").end()
    assert item_attributes(seen[0]) == {"at": "start"}


@pytest.mark.parametrize("limit", [None, 0, 1, 3])
def test_a_tag_is_an_attribute_and_keeps_the_limits(limit: int | None) -> None:
    found: list[tuple[dict[str, Any], int]] = []
    for tag in (tag_span, Span.set_attribute):
        last = RecordingSpanProcessor()
        limits = SpanLimits(max_span_attributes=SpanLimits.UNSET if limit is None else limit)
        provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
        provider.add_span_processor(last)
        span = provider.get_tracer("test").start_span("a", attributes={"first": 1})
        assert isinstance(span, Span)
        tag(span, "tag", "value")
        tag(span, "tag", "again")
        span.set_attribute("last", 2)
        span.end()
        found.append((dict(last.ended[0].attributes or {}), last.ended[0].dropped_attributes))
    assert found[0] == found[1]


@pytest.mark.parametrize(("limit", "set_"), [(None, True), (0, False), (1, False), (2, True)])
def test_a_log_record_is_tagged_where_no_other_attribute_has_to_go(limit: int | None, set_: bool) -> None:
    record = ReadWriteLogRecord(LogRecord())
    record.log_record.attributes = BoundedAttributes(limit, {"first": 1}, immutable=False, max_value_len=3)
    before = dict(record.log_record.attributes)
    for value in ("value", "again"):
        assert tag_log(record, "tag", value) is set_
    assert dict(record.log_record.attributes) == (before | {"tag": "again"} if set_ else before)


@pytest.mark.parametrize("attributes", [None, {"a": 1}, BoundedAttributes(attributes={"a": 1})], ids=repr)
def test_a_log_record_with_other_attributes_is_not_tagged_in_place(attributes: Any) -> None:
    record = ReadWriteLogRecord(LogRecord())
    record.log_record.attributes = attributes
    assert not tag_log(record, "tag", "value")
    assert item_attributes(record) == dict(attributes or {})


def test_the_attributes_of_a_log_record() -> None:
    record = ReadWriteLogRecord(LogRecord(attributes={"key": "value"}))
    assert type(record.log_record.attributes) is BoundedAttributes
    assert item_attributes(record) == {"key": "value"}


@pytest.mark.parametrize("attributes", [None, {}, {"a": 1}, MappingProxyType({"a": 1})], ids=repr)
def test_any_other_mapping_will_do(attributes: Any) -> None:
    assert plain_attributes(attributes) == dict(attributes or {})
    assert item_attributes(ReadableSpan("by hand", attributes=attributes)) == dict(attributes or {})


def test_attributes_are_copied_with_what_was_dropped() -> None:
    bounded = BoundedAttributes(1, {"a": 1, "b": {"c": 2}}, immutable=False)
    copy = _sdk.copy_attributes(bounded)
    assert isinstance(copy, BoundedAttributes)
    assert (dict(copy), copy.dropped) == ({"b": {"c": 2}}, 1)
    bounded["b"] = 3
    assert dict(copy) == {"b": {"c": 2}}
    copy["d"] = 4
    assert dict(copy) == {"b": {"c": 2}, "d": 4}
    whole = _sdk.copy_attributes(BoundedAttributes(attributes={"a": 1}))
    assert whole == {"a": 1}
    assert _sdk.copy_attributes(MappingProxyType({"a": 1})) == {"a": 1}


def test_events_and_links_of_a_span(finished: ReadableSpan, provider: TracerProvider) -> None:
    for held, public in ((finished._events, finished.events), (finished._links, finished.links)):
        assert type(held) is BoundedList
        assert type(held._dq) is deque
        assert tuple(held) == tuple(public)
    assert [event.name for event in events_of(finished)] == ["event"]
    assert len(links_of(finished)) == 1
    bare = ReadableSpan("by hand")
    assert (events_of(bare), links_of(bare)) == ((), ())
    empty = RecordingSpanProcessor()
    provider.add_span_processor(empty)
    provider.get_tracer("test").start_span("a").end()
    assert (events_of(empty.ended[0]), links_of(empty.ended[0])) == ((), ())


def test_a_bare_span_has_text_in_its_attributes_only(provider: TracerProvider) -> None:
    last = RecordingSpanProcessor()
    provider.add_span_processor(last)
    tracer = provider.get_tracer("test")
    state = trace.TraceState([("vendor", "x")])
    remote = trace.NonRecordingSpan(trace.SpanContext(1, 2, True, trace.TraceFlags(1), state))
    for kind in ("bare", "event", "status", "link"):
        span = tracer.start_span(
            "a", attributes={"key": 1}, links=[trace.Link(remote.get_span_context())] * (kind == "link")
        )
        if kind == "event":
            span.add_event("event")
        if kind == "status":
            span.set_status(trace.Status(trace.StatusCode.ERROR, "no"))
        span.end()
    tracer.start_span("a", context=trace.set_span_in_context(remote)).end()
    plain = last.ended[0]
    items, envelopes = bare_spans(last.ended)
    assert items == [(("a",), {"key": 1}), None, None, None, None]
    assert envelopes == [(plain.resource, plain.instrumentation_scope)] * 5
    by_hand = [ReadableSpan("b", trace.SpanContext(1, 2, False), attributes={"a": 1}), ReadableSpan("c")]
    assert bare_spans(by_hand)[0] == [(("b",), {"a": 1}), None]


def test_the_fields_of_a_span(finished: ReadableSpan, provider: TracerProvider) -> None:
    last = RecordingSpanProcessor()
    provider.add_span_processor(last)
    provider.get_tracer("test").start_span("plain", attributes={"key": 1}).end()
    by_hand = ReadableSpan("by hand", trace.SpanContext(1, 2, False), attributes={"a": 1})
    limited = TracerProvider(span_limits=SpanLimits(max_span_attributes=1), shutdown_on_exit=False)
    limited.add_span_processor(last)
    limited.get_tracer("test").start_span("cut", attributes={"key": 1, "other": 2}).end()
    plain, cut = last.ended
    for span in (finished, plain, by_hand, cut):
        public = (span.context, span.parent, span.name, span.kind, span.start_time, span.end_time, span.status)
        assert fields_of(span)[:8] == (*public, dict(span.attributes or {}))
    # Whether that is all: the first has an event and a link, the third is not of the SDK's own types.
    assert [fields_of(span)[8] for span in (finished, plain, by_hand, cut)] == [False, True, False, False]


def test_a_copy_with_other_attributes_shares_the_rest() -> None:
    last = RecordingSpanProcessor()
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=1, max_events=1), shutdown_on_exit=False)
    provider.add_span_processor(last)
    span = provider.get_tracer("test").start_span("a", attributes={"key": "value", "other": 1})
    span.add_event("one")
    span.add_event("two")
    span.end()
    old = last.ended[0]
    changes = {"name": "b", "resource": old.resource, "scope": old.instrumentation_scope}
    copy = with_attributes(old, {"key": "new"}, **changes)
    assert type(copy) is ReadableSpan
    expected = {**json.loads(old.to_json()), "name": "b", "attributes": {"key": "new"}}
    assert json.loads(copy.to_json()) == expected
    counts = ("dropped_attributes", "dropped_events", "dropped_links", "kind", "instrumentation_scope")
    assert [getattr(copy, name) for name in counts] == [getattr(old, name) for name in counts]
    assert (old.dropped_attributes, old.dropped_events, dict(old.attributes or {})) == (1, 1, {"other": 1})

    class Other(ReadableSpan):
        pass

    assert with_attributes(Other("a"), {}, **changes) is None


def test_the_hook_that_is_called_while_a_span_ends(provider: TracerProvider) -> None:
    assert list(inspect.signature(SpanProcessor._on_ending).parameters) == ["self", "span"]
    seen: list[tuple[str, bool]] = []

    class Ending(SpanProcessor):
        def _on_ending(self, span: Span) -> None:
            seen.append((span.name, span.is_recording()))

    class Decorator(_sdk.EndingHook):
        def __init__(self, next_processor: SpanProcessor) -> None:
            self._next = next_processor

    provider.add_span_processor(Decorator(Ending()))
    provider.get_tracer("test").start_span("a").end()
    assert seen == [("a", False)]


def test_a_reader_is_handed_the_function_that_collects() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    provider.get_meter("test").create_counter("c").add(1)
    _sdk.set_collect_callback(reader, lambda *args, **kwargs: None)
    assert reader.get_metrics_data() is None
    provider.shutdown()


def test_instrumentation_is_told_to_leave_a_context_alone() -> None:
    assert not is_instrumentation_suppressed()

    def suppressed() -> tuple[bool, object]:
        suppress_instrumentation_in_this_thread()
        return is_instrumentation_suppressed(), is_instrumentation_enabled()

    assert contextvars.copy_context().run(suppressed) == (True, False)
    assert not is_instrumentation_suppressed()


GLOBALS = """
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from otelwarden.core import global_providers_set

assert global_providers_set() == []
trace.set_tracer_provider(TracerProvider())
assert global_providers_set() == ["TracerProvider"]
_logs.set_logger_provider(LoggerProvider())
metrics.set_meter_provider(MeterProvider())
assert global_providers_set() == ["TracerProvider", "LoggerProvider", "MeterProvider"]
"""


def test_global_providers_are_seen_once_they_are_set() -> None:
    """In a process of its own, as they can be set once."""
    subprocess.run([sys.executable, "-c", GLOBALS], check=True, timeout=30)


@pytest.mark.parametrize(
    ("name", "sampler"), [("", None), ("always_off", "AlwaysOffSampler"), ("traceidratio", "TraceIdRatioBased{0.25}")]
)
def test_the_sampler_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, sampler: str | None) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    found = sampler_of_environment()
    assert (found and found.get_description()) == sampler


def test_log_records_are_made_of_what_copies_expect() -> None:
    """`copy_log` and the batch copy them by their `__dict__`."""
    record = ReadWriteLogRecord(LogRecord(body="b"))
    assert set(vars(record)) == {"log_record", "resource", "instrumentation_scope", "limits"}
    assert {"body", "attributes", "event_name", "severity_text", "context", "trace_id", "span_id"} <= set(
        vars(record.log_record)
    )
    exporter = RecordingLogRecordExporter()
    processor = FairBatchLogRecordProcessor(exporter)
    processor.on_emit(record)
    processor.shutdown()
    assert vars(exporter.records[0].log_record).keys() == vars(record.log_record).keys()


def test_the_limit_on_series_is_raised_where_there_is_one() -> None:
    arguments = raised_cardinality_limits(InMemoryMetricReader)
    assert bool(arguments) == ("cardinality_limits" in inspect.signature(MetricReader.__init__).parameters)
    reader = InMemoryMetricReader(**arguments)
    counter = MeterProvider([reader]).get_meter("tests").create_counter("c")
    for number in range(2100):
        counter.add(1, {"n": number})
    data = reader.get_metrics_data()
    assert data is not None
    assert len(data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points) == 2100


def test_the_short_ways_lead_to_the_same() -> None:
    assert _sdk.current_context() is context.get_current()
    attached = context.attach(context.set_value("key", 1))
    assert _sdk.current_context() is context.get_current()
    context.detach(attached)
    span = TracerProvider().get_tracer("tests").start_span("work")
    span_context: Any = _sdk.span_context_of(span)
    assert span_context is span.get_span_context()
    assert span_context[_sdk.TRACE_ID] == span.get_span_context().trace_id
    assert span_context[_sdk.SPAN_ID] == span.get_span_context().span_id
    assert span_context[_sdk.TRACE_FLAGS] is span.get_span_context().trace_flags
    assert span_context[_sdk.TRACE_STATE] is span.get_span_context().trace_state
    for remote, valid in ((True, True), (False, False)):
        made: Any = trace.SpanContext(int(valid), 1, remote)
        assert (made[_sdk.IS_REMOTE], made[_sdk.IS_VALID]) == (made.is_remote, made.is_valid) == (remote, valid)


class Foreign(trace.NonRecordingSpan):
    """A span that keeps its context elsewhere."""

    def __init__(self, context: trace.SpanContext) -> None:
        self.elsewhere = context

    def get_span_context(self) -> trace.SpanContext:
        return self.elsewhere


def test_the_context_of_whatever_is_current(provider: TracerProvider) -> None:
    remote = trace.SpanContext(1, 1, True)
    for span in (
        trace.INVALID_SPAN,
        trace.NonRecordingSpan(remote),
        Foreign(remote),
        provider.get_tracer("t").start_span("a"),
    ):
        held = trace.set_span_in_context(span)
        assert _sdk.parent_context_of(held) is trace.get_current_span(held).get_span_context()
    for nothing in (context.Context(), context.Context({_sdk.SPAN_KEY: "no span"})):
        assert _sdk.parent_context_of(nothing) is trace.get_current_span(nothing).get_span_context()


def test_a_state_left_on_a_live_span_is_seen_by_its_children_and_at_its_end(provider: TracerProvider) -> None:
    last, mine = RecordingSpanProcessor(), object()
    provider.add_span_processor(last)
    tracer = provider.get_tracer("test")
    parent, child = tracer.start_span("parent"), tracer.start_span("child")
    place, inherited, flags = _sdk.lineage_of(parent, None)
    assert (inherited, flags) == (None, parent.get_span_context().trace_flags)
    setattr(place, _sdk.STATE, mine)
    for _ in range(2):  # a child may start after its parent ended
        assert _sdk.lineage_of(child, parent)[1] is mine
        parent.end()
    assert _sdk.lineage_of(child, trace.NonRecordingSpan(trace.SpanContext(1, 1, True)))[1] is None
    assert last.ended[0] is not parent
    assert _sdk.state_left_on(last.ended[0]) is mine
    for nobody in (child, trace.INVALID_SPAN, ReadableSpan("by hand", attributes={}), None):
        assert _sdk.state_left_on(nobody) is None


def test_the_preferences_of_a_metric_exporter_are_those_it_was_made_with() -> None:
    temporality = {Counter: AggregationTemporality.DELTA}
    aggregation = {Counter: DropAggregation()}
    exporter = ConsoleMetricExporter(preferred_temporality=temporality, preferred_aggregation=aggregation)
    wanted = {"preferred_temporality": temporality, "preferred_aggregation": aggregation}
    assert _sdk.preferences_of(exporter) == wanted
    assert _sdk.preferences_of(ConsoleMetricExporter(**wanted)) == wanted
