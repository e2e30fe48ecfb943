from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from otelwarden.core import probability_of, randomness_of, threshold_of, with_threshold

ALL = 1 << 56


def state(value: str) -> TraceState:
    return TraceState([("ot", value)])


@pytest.mark.parametrize(
    ("th", "probability"),
    [
        ("0", 1.0),
        ("8", 0.5),
        ("c", 0.25),
        ("4", 0.75),
        ("e", 0.125),
        ("fd70a3d70a3d71", 0.01),
        ("ffffffffffffff", 2**-56),
    ],
)
def test_the_examples_of_the_specification(th: str, probability: float) -> None:
    found = probability_of(state(f"th:{th}"))
    assert found == pytest.approx(probability, rel=1e-9)
    assert with_threshold(None, threshold_of(probability)).get("ot") == f"th:{th}"


@pytest.mark.parametrize(
    "value",
    ["", "rv:1", "th:", "th:xyz", "th:-8", "th:+8", "th: 8", "th:000000000000000", "th8", "TH:8", "th:8_0", "xth:8"],
)
def test_a_threshold_that_makes_no_sense_tells_nothing(value: str) -> None:
    assert probability_of(TraceState([("ot", value)] if value else [("other", "th:8")])) is None
    assert probability_of(TraceState()) is None
    assert probability_of(None) is None


def test_the_threshold_is_found_among_others() -> None:
    assert probability_of(state("rv:7f;th:c;x:y")) == 0.25


@given(st.integers(0, ALL - 1))
def test_what_is_written_is_read_back(threshold: int) -> None:
    probability = probability_of(with_threshold(None, threshold))
    assert probability is not None
    assert 0 < probability <= 1
    assert probability == (ALL - threshold) / ALL
    assert abs(threshold_of(probability) - threshold) <= 4  # a float has 53 bits


@given(st.floats(0, 1))
def test_a_threshold_keeps_the_share_it_is_asked_for(probability: float) -> None:
    threshold = threshold_of(probability)
    assert 0 <= threshold <= ALL
    assert (ALL - threshold) / ALL == pytest.approx(probability, abs=1 / ALL)


@pytest.mark.parametrize(
    ("probability", "threshold"), [(-1.0, ALL), (0.0, ALL), (1.0, 0), (2.0, 0), (float("nan"), ALL)]
)
def test_a_probability_out_of_range_is_cut(probability: float, threshold: int) -> None:
    assert threshold_of(probability) == threshold


@given(st.integers(0, 2**128 - 1))
def test_randomness_is_the_last_56_bits_of_the_trace_id(trace_id: int) -> None:
    assert randomness_of(trace_id) == int(f"{trace_id:032x}"[-14:], 16)


def test_a_share_of_the_traces_is_kept() -> None:
    ids = [number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % (1 << 128) for number in range(1, 4001)]
    for probability in (0.1, 0.5, 0.9):
        kept = sum(randomness_of(trace_id) >= threshold_of(probability) for trace_id in ids)
        assert kept / len(ids) == pytest.approx(probability, abs=0.03)


def test_the_rest_of_the_trace_state_is_left_alone() -> None:
    before = TraceState([("vendor", "x"), ("ot", "rv:6e6d1a75832a2f;th:8;p:1"), ("other", "y")])
    after = with_threshold(before, threshold_of(0.25))
    assert dict(after) == {"vendor": "x", "ot": "th:c;rv:6e6d1a75832a2f;p:1", "other": "y"}
    assert next(iter(after)) == "ot"  # W3C: who changes an entry moves it to the front
    erased = with_threshold(after, None)
    assert dict(erased) == {"vendor": "x", "ot": "rv:6e6d1a75832a2f;p:1", "other": "y"}
    assert dict(before)["ot"] == "rv:6e6d1a75832a2f;th:8;p:1"


def test_an_entry_that_is_empty_without_its_threshold_goes() -> None:
    assert dict(with_threshold(TraceState([("ot", "th:8"), ("a", "b")]), None)) == {"a": "b"}
    assert dict(with_threshold(None, None)) == {}


def test_it_travels_in_a_header() -> None:
    header = with_threshold(TraceState([("a", "b")]), threshold_of(0.5)).to_header()
    assert header == "ot=th:8,a=b"
    assert probability_of(TraceState.from_header([header])) == 0.5


def test_an_explicit_randomness_stands_above_the_trace_id() -> None:
    assert randomness_of(5, TraceState([("ot", "th:8;rv:6e6d1a75832a2f")])) == 0x6E6D1A75832A2F


@pytest.mark.parametrize(
    "entry", ["rv:", "rv:6e6d", "rv:6e6d1a75832a2g", "rv:6e6d1a75832a2f0", "rv:+e6d1a75832a2f", "th:8", ""]
)
def test_a_randomness_that_makes_no_sense_is_ignored(entry: str) -> None:
    assert randomness_of(5, TraceState([("ot", entry)])) == 5
