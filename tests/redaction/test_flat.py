"""The short path answers as the long one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.redaction import DELETED, RedactionPolicy, Redactor, Scanner, catalogue
from otelwarden.redaction.flat import NOT_FLAT, SMALL, FlatHits, FlatItems
from otelwarden.redaction.joined import join_texts

SAMPLES = [sample for d in catalogue() for sample in (*d.examples, *d.near_misses) if isinstance(sample, str)]
VALUES = st.one_of(
    st.sampled_from([*SAMPLES, "jane%40example.com", "café jane@example.com"]),
    st.integers(-(10**19), 10**19),
    st.floats(),
    st.booleans(),
    st.sampled_from([4242424242424242, 4000056655665556.0]),
)
KEYS = ["a", "b", "c", "d", "http.route", "server.port"]
REDACTOR = Redactor(RedactionPolicy.load("pii", "secrets"))
FLAT = FlatItems(REDACTOR, ("span.name",))
SHIPPED = Scanner(catalogue())


def by_the_long_way(name: str, attributes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    document = REDACTOR.document()
    document.text("span.name", name)
    fields = document.fields(attributes)
    redaction = REDACTOR.redact(document, "traces", "")
    if redaction is None:
        return name, attributes
    return redaction.edits.texts.get(0, name), fields.rebuild(redaction.edits)


def by_the_short_way(name: str, attributes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return what_becomes_of(FLAT, name, attributes, FLAT.look([((name,), attributes)]).get(0))


def what_becomes_of(
    flat: FlatItems, name: str, attributes: dict[str, Any], found: object
) -> tuple[Any, dict[str, Any]]:
    if found is None:
        return name, attributes
    assert isinstance(found, FlatHits)
    result = flat.redact(found, "traces", "")
    return (name, attributes) if result is None else (result[0].edits.texts.get(0, name), result[1])


ITEMS = st.tuples(
    st.sampled_from(["GET /", "for jane@example.com"]), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
)


@settings(max_examples=400, deadline=None)
@given(item=ITEMS)
def test_both_ways_lead_to_the_same(item: tuple[str, dict[str, Any]]) -> None:
    # The long way goes first, as it learns which keys are plain. By their text, as NaN does not equal itself.
    assert repr(by_the_long_way(*item)) == repr(by_the_short_way(*item))


@settings(max_examples=100, deadline=None)
@given(items=st.lists(st.one_of(ITEMS, st.just(("GET /", {"a": "clean"}))), max_size=40))
def test_items_joined_for_one_pass_are_told_apart(items: list[tuple[str, dict[str, Any]]]) -> None:
    by_the_long_way("x", dict.fromkeys(KEYS, "x"))
    flat = FlatItems(REDACTOR, ("span.name",))  # a new one joins as many as it can
    seen = flat.look([((name,), attributes) for name, attributes in items])
    for number, (name, attributes) in enumerate(items):
        found = what_becomes_of(flat, name, attributes, seen.get(number))
        assert repr(found) == repr(by_the_long_way(name, attributes))


@settings(max_examples=500, deadline=None)
@given(
    number=st.one_of(st.integers(1 - SMALL, SMALL - 1), st.floats(-SMALL, SMALL, exclude_min=True, exclude_max=True))
)
def test_no_shipped_detector_finds_anything_in_a_small_number(number: float) -> None:
    assert SHIPPED.scan(join_texts([repr(number)])) == []


@pytest.mark.parametrize("value", [["x"], b"x", {"a": "b"}, "\ud800", "x" * ((1 << 20) + 1)], ids=lambda v: repr(v)[:9])
def test_what_is_not_flat_goes_the_long_way(value: Any) -> None:
    by_the_long_way("x", {"a": "x"})
    items = [(("x",), {"a": value}), (("x",), {"a": "clean"}), (("x",), {"password": "x"}), None]
    assert FlatItems(REDACTOR, ("span.name",)).look(items) == {0: NOT_FLAT, 2: NOT_FLAT, 3: NOT_FLAT}


def test_a_detector_of_ones_own_sees_small_numbers(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        """
        rules: [{id: own, match: {detectors: [own]}, action: {delete: {}}}]
        detectors: [{id: own, entity: OWN, group: pii, classification: internal, pattern: "4711"}]
        """,
        encoding="utf-8",
    )
    redactor = Redactor(RedactionPolicy.load(path, "pii"))
    redactor.document().fields({"a": 1, "b": "x", "c": 1.5})
    flat = FlatItems(redactor, ("span.name",))
    items: list[Any] = [
        (("x",), {"a": 1, "b": "x"}),
        (("x 4711",), {"a": 4711, "b": "x", "c": 0.4711, "d": True}),
        (("x 4711",), {"a": 4711, "b": "x", "c": 0.4711}),
    ]
    seen = flat.look(items)
    assert seen.keys() == {1, 2}
    assert seen[1] is NOT_FLAT  # `d` is not known yet
    assert what_becomes_of(flat, *items[2], seen[2]) == (DELETED, {"b": "x"})
