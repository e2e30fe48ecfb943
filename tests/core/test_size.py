from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import Status, StatusCode

from otelwarden.core import copy_span, size_of, size_of_attributes, size_of_value
from otelwarden.testing import RecordingSpanProcessor


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("", 0),
        ("äöü", 3),
        ("\ud800", 1),
        (b"\xff\xfe", 2),
        (bytearray(5), 5),
        (1, 8),
        (2**70, 8),
        (1.5, 8),
        (math.nan, 8),
        (True, 8),
        (None, 8),
        ((), 8),
        ([], 8),
        ({}, 8),
        (("ab", "c"), 8 + 2 + 1),
        ([1, None, "abc"], 8 + 8 + 8 + 3),
        ({"a": "xy", "b": 1}, 8 + 32 + 2 + 32 + 8),
        ({"a": ["x", {"b": b"yz"}]}, 8 + 32 + (8 + 1 + (8 + 32 + 2))),
        (object(), 8),
        (range(3), 8 + 3 * 8),
        ({1, 2}, 8),
    ],
    ids=repr,
)
def test_the_size_of_a_value(value: Any, size: int) -> None:
    assert size_of_value(value) == size


def test_subclasses_are_measured_as_what_they_are() -> None:
    class Text(str):
        __slots__ = ()

    class List(list[Any]):
        pass

    assert size_of_value(Text("abc")) == 3
    assert size_of_value(List([Text("abc")])) == 11


def test_attributes_count_their_framing() -> None:
    assert size_of_attributes({}) == 0
    assert size_of_attributes({"a very long key": "abc", "b": [1, 2]}) == 32 + 3 + 32 + 24


def by_the_formula(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return 8 + sum(32 + by_the_formula(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return 8 + sum(by_the_formula(each) for each in value)
    return 8


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.tuples(inner, inner), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_the_size_of_any_value_is_that_of_the_formula(value: Any) -> None:
    assert size_of_value(value) == by_the_formula(value)


def nested(levels: int) -> Any:
    value: Any = "x" * 100
    for _ in range(levels):
        value = [value]
    return value


def test_what_lies_deeper_than_64_levels_is_not_looked_into() -> None:
    assert size_of_value(nested(64)) == 64 * 8 + 100
    assert size_of_value(nested(65)) == 65 * 8
    assert size_of_value(nested(10_000)) == 65 * 8


def endless() -> Any:
    value: list[Any] = []
    value += [value, value]
    return value


def exploding() -> Any:
    value: Any = "x"
    for _ in range(40):
        value = [value] * 10
    return value


@pytest.mark.parametrize("value", [endless(), exploding(), range(10**12), [[]] * 10**6], ids=range(4))
def test_a_value_is_measured_in_bounded_time(value: Any) -> None:
    began = time.process_time()
    assert size_of_value(value) > 65_536
    assert time.process_time() - began < 60  # milliseconds, where it took 2^64 steps


def finished(**options: Any) -> ReadableSpan:
    last, provider = RecordingSpanProcessor(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(last)
    span = provider.get_tracer("test").start_span("name", **options)
    span.add_event("event", {"key": "value"})
    span.set_status(Status(StatusCode.ERROR, "description"))
    span.end()
    return last.ended[0]


def test_the_size_of_a_span() -> None:
    link = trace.Link(trace.SpanContext(1, 1, True), {"key": 1})
    span = finished(attributes={"key": "abc"}, links=[link])
    expected = 96 + len("name") + (32 + 3) + (24 + len("event") + 32 + 5) + (40 + 32 + 8) + len("description")
    assert size_of(span) == size_of(copy_span(span)) == expected


def test_the_size_of_the_least_span() -> None:
    assert size_of(ReadableSpan("")) == 96


def test_the_size_of_a_log_record() -> None:
    record = ReadWriteLogRecord(LogRecord(body={"a": "b"}, attributes={"key": b"abc"}))
    assert size_of(record) == 64 + (8 + 32 + 1) + (32 + 3)
    assert size_of(ReadWriteLogRecord(LogRecord())) == 64 + 8
