"""The wire format against protobuf's own serializer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, HistogramDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.metrics.export import AggregationTemporality

from otelwarden.otlp import wire

INT32 = st.integers(-(2**31), 2**31 - 1)
UINT64 = st.integers(0, 2**64 - 1)


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_varints(number: int) -> None:
    assert b"\x18" + wire.signed_varint(number) == AnyValue(int_value=number).SerializeToString()


@given(st.integers(0, 2**32 - 1))
def test_unsigned_numbers(number: int) -> None:
    assert wire.uint32(b"\x50", number) == Span(dropped_attributes_count=number).SerializeToString()


@given(INT32)
def test_zigzag_numbers(number: int) -> None:
    assert wire.sint32(b"\x30", number) == ExponentialHistogramDataPoint(scale=number).SerializeToString()


@given(INT32)
def test_enumerations(number: int) -> None:
    message = LogRecord(severity_number=number)  # type: ignore[arg-type]  # open, as in proto3
    assert wire.enumeration(b"\x10", number) == message.SerializeToString()


@given(st.none() | UINT64)
def test_fixed_numbers(number: int | None) -> None:
    message = Span() if number is None else Span(start_time_unix_nano=number)
    assert wire.fixed64(b"\x39", number) == message.SerializeToString()


@given(st.lists(UINT64), st.lists(st.floats(allow_nan=False)))
def test_packed_numbers(counts: list[int], bounds: list[float]) -> None:
    message = HistogramDataPoint(bucket_counts=counts, explicit_bounds=bounds)
    assert wire.packed(b"\x32", "Q", counts) + wire.packed(b"\x3a", "d", bounds) == message.SerializeToString()
    buckets = ExponentialHistogramDataPoint.Buckets(bucket_counts=counts)
    assert wire.packed_varints(b"\x12", counts) == buckets.SerializeToString()


@given(st.none() | st.floats(allow_nan=False))
def test_doubles_have_a_presence(number: float | None) -> None:
    assert wire.double(b"\x29", number) == HistogramDataPoint(sum=number).SerializeToString()


@given(st.binary(max_size=200))
def test_bytes(body: bytes) -> None:
    assert wire.delimited(b"\x3a", body) == AnyValue(bytes_value=body).SerializeToString()
    assert wire.optional(b"\x0a", body) == Span(trace_id=body).SerializeToString()


@pytest.mark.parametrize(
    ("encode", "number"),
    [
        (wire.uint32, -1),
        (wire.uint32, 2**32),
        (wire.sint32, 2**31),
        (wire.sint32, -(2**31) - 1),
        (wire.enumeration, 2**31),
        (wire.packed_varints, [0, -1]),
        (wire.packed_varints, [2**64]),
    ],
)
def test_numbers_that_do_not_fit(encode: Callable[[bytes, Any], bytes], number: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        encode(b"\x10", number)


def test_numbers_of_subclasses_take_no_longer() -> None:
    assert wire.enumeration(b"\x10", AggregationTemporality.CUMULATIVE) == b"\x10\x02"
