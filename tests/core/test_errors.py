from __future__ import annotations

import pickle

import pytest

from otelwarden.core import ConfigError, Fault, OtelwardenError


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(message="bad"), "bad"),
        (Fault(message="bad", file="x.yaml"), "x.yaml:/: bad"),
        (Fault(message="bad", pointer="/a/b"), "/a/b: bad"),
        (Fault(message="bad", file="x", pointer="/a", given=7, allowed="1"), "x:/a: bad; given 7; allowed: 1"),
        (Fault(message="bad", given=0), "bad; given 0"),
        (Fault(message="bad", given=""), "bad; given ''"),
        (Fault(message="bad", given="\ud800"), "bad; given '\\ud800'"),
    ],
    ids=range(7),
)  # fmt: skip
def test_a_fault_says_where_what_and_what_instead(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_what_was_given_is_shortened() -> None:
    assert len(str(Fault(message="bad", given="x" * 10_000))) < 200


def test_an_error_lists_every_fault() -> None:
    error = ConfigError([Fault(message="one", pointer="/a"), Fault(message="two")])
    assert str(error) == "2 faults:\n  - /a: one\n  - two"
    assert isinstance(error, OtelwardenError)


def test_an_error_may_be_a_sentence() -> None:
    error = ConfigError("nothing works")
    assert str(error) == "nothing works"
    assert error.faults == (Fault(message="nothing works"),)


def test_an_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(ConfigError([Fault(message="one"), Fault(message="two", given=[1])])))
    assert [fault.message for fault in error.faults] == ["one", "two"]
