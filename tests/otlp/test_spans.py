"""Spans on the wire, byte for byte those of the public encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as public_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otelwarden.core import copy_event, copy_link, copy_span
from otelwarden.otlp import encode_spans

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
STATES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), st.just("v1"), max_size=3).map(
    lambda entries: TraceState(list(entries.items()))
)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    trace_state=st.none() | STATES,
)
EVENTS = st.builds(Event, TEXTS, ATTRIBUTES, TIMES)
LINKS = st.builds(Link, CONTEXTS, ATTRIBUTES)
STATUSES = st.none() | st.builds(Status, st.sampled_from(StatusCode), st.none() | TEXTS)
FEW = st.dictionaries(TEXTS, st.integers(0, 2) | st.booleans(), max_size=1)
RESOURCES = st.builds(Resource, FEW, st.none() | TEXTS)
SCOPES = st.none() | st.builds(
    InstrumentationScope,
    st.sampled_from(["", "a", "b"]),
    st.sampled_from([None, "", "1"]),
    st.sampled_from([None, "", "https://schema"]),
    st.none() | FEW,
)
SPANS = st.builds(
    ReadableSpan,
    name=TEXTS,
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=RESOURCES,
    attributes=ATTRIBUTES,
    events=st.lists(EVENTS, max_size=2),
    links=st.lists(LINKS, max_size=2),
    kind=st.sampled_from(SpanKind),
    status=STATUSES,
    start_time=TIMES,
    end_time=TIMES,
    instrumentation_scope=SCOPES,
)


def assert_as_public(spans: Sequence[ReadableSpan]) -> None:
    encoded = encode_spans(spans)
    assert encoded.body == public_spans(spans).SerializeToString()
    assert (encoded.repaired, encoded.dropped) == (0, ())


def decoded(spans: Sequence[ReadableSpan]) -> list[Any]:
    request = ExportTraceServiceRequest.FromString(encode_spans(spans).body)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


@settings(max_examples=120, deadline=None)
@given(st.lists(SPANS, max_size=4))
def test_any_spans(spans: list[ReadableSpan]) -> None:
    assert_as_public(spans)


@settings(max_examples=60, deadline=None)
@given(SPANS, PLAIN_ATTRIBUTES)
def test_any_copies(span: ReadableSpan, attributes: dict[str, Any]) -> None:
    events = [copy_event(event, attributes=attributes) for event in span.events]
    links = [copy_link(link, attributes=attributes) for link in span.links]
    assert_as_public([copy_span(span, attributes=attributes, events=events, links=links), copy_span(span)])


@dataclass
class Tracing:
    memory: InMemorySpanExporter
    provider: TracerProvider

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        return self.memory.get_finished_spans()


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    memory = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=4, max_events=2, max_links=2, max_event_attributes=1, max_link_attributes=1)
    provider = TracerProvider(resource=Resource({"service.name": "shop"}, "https://schema"), span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    yield Tracing(memory, provider)
    provider.shutdown()


def test_spans_of_the_sdk_at_its_limits(tracing: Tracing) -> None:
    tracer = tracing.provider.get_tracer("a", "1", "https://scope", {"scope": (1, 2)})
    remote = SpanContext(1, 2, True, TraceFlags(1), TraceState([("k", "v"), ("ot", "th:8")]))
    links = [Link(remote, {"a": 1, "b": 2}), Link(SpanContext(3, 4, False)), Link(remote)]
    with tracer.start_as_current_span(
        "parent", set_span_in_context(NonRecordingSpan(remote)), SpanKind.SERVER, {str(n): n for n in range(7)}, links
    ) as span:
        for number in range(4):
            span.add_event(f"event {number}", {"a": "x", "b": number})
        with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
            child.set_status(StatusCode.ERROR, "broke")
            child.record_exception(ValueError("x"))
        with tracing.provider.get_tracer("b").start_as_current_span("other") as other:
            other.set_status(StatusCode.OK)
    assert_as_public(tracing.finished)
    parent = next(span for span in decoded(tracing.finished) if span.name == "parent")
    assert parent.dropped_attributes_count == 3
    assert (parent.dropped_events_count, parent.dropped_links_count) == (2, 1)
    assert (parent.events[0].dropped_attributes_count, parent.trace_state) == (1, "k=v,ot=th:8")
    governed = [copy_span(span, attributes={"only": "this"}) for span in tracing.finished]
    assert_as_public(governed)
    assert max(span.dropped_attributes_count for span in decoded(governed)) == 3


CONTEXT = SpanContext(0x0102, 0x03, False)
RESOURCE = Resource({})


def span_of(**fields: Any) -> ReadableSpan:
    return ReadableSpan(**({"name": "x", "context": CONTEXT, "resource": RESOURCE} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": None},
        {"name": b"bytes"},
        {"status": None},
        {"status": Status(StatusCode.UNSET)},
        {"status": Status(StatusCode.OK)},
        {"status": Status(StatusCode.ERROR)},
        {"status": Status(StatusCode.ERROR, "")},
        {"status": Status(StatusCode.ERROR, "broke")},
        *({"kind": kind} for kind in SpanKind),
        {"parent": SpanContext(1, 2, False)},
        {"parent": SpanContext(1, 2, True)},
        {"parent": SpanContext(0, 0, True)},
        {"context": SpanContext(0, 0, True)},
        {"context": SpanContext(1, 2, False, trace_state=TraceState([("a", "b"), ("c", "d=e")]))},
        {"start_time": 0, "end_time": 1},
        {"start_time": 2**64 - 1, "end_time": 2**64 - 1},
        {"start_time": 1},
        {"attributes": {}},
        {"attributes": {"": ""}},
        {"attributes": {b"bytes": b"bytes", None: None}},
        {"attributes": {"k" * 500: "v" * 70_000, "k": "v" * 128, "l": "v" * 127}},
        {"attributes": BoundedAttributes(1, {"a": 1, "b": 2})},
        {"events": [Event("", {}, 0), Event("e", None, 1), Event("f", BoundedAttributes(0, {"a": 1}), 2)]},
        {"links": [Link(CONTEXT), Link(SpanContext(1, 2, True, trace_state=TraceState([("not", "sent")])), {"a": 1})]},
        {"links": [Link(CONTEXT, BoundedAttributes(1, {"a": 1, "b": 2}))]},
    ],
    ids=lambda fields: f"{fields!r:.60}",
)
def test_spans_that_the_public_encoder_takes(fields: dict[str, Any]) -> None:
    assert_as_public([span_of(**fields)])


def test_values_that_are_equal_are_not_the_same() -> None:
    values: list[Any] = [1, True, 1.0, "1", b"1", 0, False, 0.0, -0.0, "", None]
    assert_as_public([span_of(attributes={"k": value}) for value in values * 2])


class CaseInsensitive(str):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


def test_keys_that_are_equal_are_not_the_same() -> None:
    keys: list[Any] = ["key", CaseInsensitive("KEY"), b"key", "KEY", CaseInsensitive("Key")]
    assert_as_public([span_of(attributes={key: "v"}) for key in keys * 2])


@pytest.mark.parametrize(
    ("key", "expected"),
    [("\ud800", "\ufffd"), (3, "3"), (b"\xff", "b'\\xff'"), ((1,), "(1,)"), (CaseInsensitive("\udc00"), "\ufffd")],
    ids=ascii,
)
@pytest.mark.parametrize("place", ["attributes", "events", "links"])
def test_keys_are_repaired(key: Any, expected: str, place: str) -> None:
    attributes = {key: 1, "good": 2}
    fields = {"attributes": attributes, "events": [Event("e", attributes)], "links": [Link(CONTEXT, attributes)]}
    spans = [span_of(**{place: fields[place]})] * 2
    assert encode_spans(spans).repaired == 2
    for span in decoded(spans):
        found = {"attributes": [span], "events": span.events, "links": span.links}[place][0].attributes
        assert [(each.key, each.value.int_value) for each in found] == [(expected, 1), ("good", 2)]


def test_keys_that_a_repair_made_equal_are_kept_apart() -> None:
    spans = [span_of(attributes=dict.fromkeys(["\ud800", "\ud801", "\ufffd", 1, "1"]))]
    assert [each.key for each in decoded(spans)[0].attributes] == [
        "\ufffd\ufffd",
        "\ufffd\ufffd\ufffd",
        "\ufffd",
        "1\ufffd",
        "1",
    ]
    assert encode_spans(spans).repaired == 3


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "\ud800"}, {"name": "\ufffd"}),
        ({"name": 5}, {"name": "5"}),
        ({"name": b"\xff"}, {"name": "b'\\xff'"}),
        ({"status": Status(StatusCode.ERROR, "a\ud800")}, {"status.message": "a\ufffd"}),
        ({"events": [Event("\ud800")]}, {"events.name": "\ufffd"}),
        (
            {"context": SpanContext(1, 2, False, trace_state={"k": "\ud800"})},  # type: ignore[arg-type]
            {"trace_state": "k=\ufffd"},
        ),
    ],
    ids=ascii,
)
def test_texts_are_repaired(fields: dict[str, Any], expected: dict[str, str]) -> None:
    spans = [span_of(**fields)]
    encoded = encode_spans(spans)
    assert (encoded.repaired, encoded.dropped) == (1, ())
    (span,) = decoded(spans)
    found = {"name": span.name, "trace_state": span.trace_state, "status.message": span.status.message}
    if span.events:
        found["events.name"] = span.events[0].name
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"start_time": -1},
        {"end_time": 2**64},
        {"start_time": "now", "end_time": 1},
        {"kind": None},
        {"context": None},
        {"context": SpanContext(2**128, 1, False)},
        {"parent": SpanContext(1, -1, False)},
        {"links": [Link(None)]},  # type: ignore[arg-type]
        {"events": [Event("e", timestamp=-1)]},
        {"attributes": [1]},
    ],
    ids=repr,
)
def test_a_span_that_cannot_be_encoded_is_dropped_alone(fields: dict[str, Any]) -> None:
    bad, good = span_of(**fields), span_of(name="good")
    encoded = encode_spans([good, bad, good])
    assert encoded.dropped == (bad,)
    assert encoded.body == public_spans([good, good]).SerializeToString()
    assert encode_spans([bad]).body == b""
