from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import ConfigError, check_document, digest_of, parse_document, read_document, schema_faults
from otelwarden.core.documents import MAX_DOCUMENT


def parse(text: str, **environment: str) -> Any:
    return parse_document(text, environment=environment)


def faults(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, **environment)
    return [fault.message for fault in refused.value.faults]


# --- substitution


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${env:X}", "value"),
        ("a: ${X}", "value"),
        ("a: before ${X} between ${env:X} after", "before value between value after"),
        ("a: ${MISSING:-default}", "default"),
        ("a: ${MISSING:-}", None),
        ("a: ${EMPTY:-default}", "default"),
        ("a: ${X:-default}", "value"),
        ("a: '${MISSING:-with: colon and {brace}'", "with: colon and {brace"),
        ("a: $$", "$"),
        ("a: $${X}", "${X}"),
        ("a: $$$${X}", "$${X}"),
        ("a: $$${X}", "$value"),
        ("a: cost $5, $X", "cost $5, $X"),
        ("a: '${X}'", "value"),
        ("a: |\n  ${X}\n", "value\n"),
    ],
)
def test_a_variable_is_replaced(text: str, expected: object) -> None:
    assert parse(text, X="value", EMPTY="") == {"a": expected}


@pytest.mark.parametrize(
    ("value", "typed"),
    [("8080", 8080), ("1.5", 1.5), ("true", True), ("null", None), ("0x10", 16), ("text", "text"), ("'q'", "'q'")],
)
def test_a_plain_scalar_is_typed_after_substitution_and_a_quoted_one_is_text(value: str, typed: object) -> None:
    assert parse("a: ${X}", X=value) == {"a": typed}
    for quoted in ("'${X}'", '"${X}"', "!!str ${X}", "|-\n  ${X}"):
        assert parse(f"a: {quoted}", X=value) == {"a": value}


def test_a_plain_scalar_without_variables_is_typed_as_yaml_does() -> None:
    assert parse("[8080, 1.5, true, null, text, '8080']") == [8080, 1.5, True, None, "text", "8080"]


def test_two_variables_make_one_number() -> None:
    assert parse("a: ${X}${Y}", X="80", Y="80") == {"a": 8080}


def test_keys_are_scalars_too() -> None:
    assert parse("${X}: 1", X="name") == {"name": 1}
    assert faults("a: 1\n${X}: 2", X="a") == ["key `a` is given twice (line 2)"]
    assert faults("${X}: 2", X="7") == ["key 7 is not text (line 1)"]


HOSTILE = [
    "a: 1\nb: 2",
    "{a: 1}",
    "[1, 2]",
    "- 1\n- 2",
    "&anchor x",
    "*alias",
    "!!python/object/apply:os.system [id]",
    "!tag",
    "x # comment",
    "---\nother: document",
    "'",
    '"',
    "<<",
    "=",
    "${X}",
    "${env:OTHER}",
    "$$",
    "\ud800",
    "\x00",
    "? ",
    "| ",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("text", ["a: ${X}\nb: 1", "{a: '${X}', b: 1}", "a: '${X}'\nb: 1", "a: |-\n  ${X}\nb: 1"])
def test_no_value_of_a_variable_injects_a_structure(text: str, value: str) -> None:
    assert parse(text, X=value, OTHER="other") == {"a": value, "b": 1}


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1))
def test_no_text_at_all_injects_a_structure(value: str) -> None:
    found = parse("a: ${X}\nb: ['${X}']\nc: 1", X=value)
    assert found.keys() == {"a", "b", "c"}
    assert not isinstance(found["a"], (list, dict))
    assert found["b"] == [value]


@pytest.mark.parametrize("text", ["a: ${MISSING}", "a: ${env:MISSING}", "a: '${EMPTY}'", "- ${MISSING}"])
def test_a_variable_that_is_missing_or_empty_is_a_fault(text: str) -> None:
    (message,) = faults(text, EMPTY="")
    assert "is not set and has no default (line 1)" in message


@pytest.mark.parametrize("text", ["a: ${", "a: ${1X}", "a: ${env:}", "a: '${X Y}'", "a: ${X:default}", "a: ${file:x}"])
def test_what_only_looks_like_a_variable_is_a_fault(text: str) -> None:
    assert faults(text, X="value") == ["malformed variable, write ${env:NAME} or ${env:NAME:-default} (line 1)"]


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTELWARDEN_TEST", "value")
    assert parse_document("a: ${OTELWARDEN_TEST}") == {"a": "value"}


# --- documents


@pytest.mark.parametrize("text", ['{"a": [1, null, true]}', "a: [1, null, true]", "\ufeffa: [1, ~, yes]"])
def test_json_and_yaml_are_read_alike(text: str) -> None:
    assert parse(text) == {"a": [1, None, True]}


def test_an_empty_document_is_none() -> None:
    assert parse("") is None


def test_all_faults_are_told_at_once() -> None:
    assert faults("a: ${MISSING}\nb: &x 1\nc: &y [*x]\na: 2\n7: 3\nd: ${") == [
        "environment variable MISSING is not set and has no default (line 1)",
        "an alias within what an anchor names is not allowed (line 3)",
        "malformed variable, write ${env:NAME} or ${env:NAME:-default} (line 6)",
        "key `a` is given twice (line 4)",
        "key 7 is not text (line 5)",
    ]


def test_a_key_may_stand_once_at_any_depth() -> None:
    assert faults("a:\n  - {b: 1, c: 2, b: 3}") == ["key `b` is given twice (line 2)"]
    assert faults('{"a": 1, "a": 1}') == ["key `a` is given twice (line 1)"]


@pytest.mark.parametrize("key", ["1", "null", "true", "1.5", "2024-01-01", "[a]", "{a: 1}", "? [a]\n"])
def test_a_key_must_be_text(key: str) -> None:
    with pytest.raises(ConfigError, match=r"is not text|not YAML"):
        parse(f"{key}: x")


BILLION = "k0: &a0 [x, x]\n" + "\n".join(f"k{n + 1}: &a{n + 1} [*a{n}, *a{n}]" for n in range(30))


def test_an_alias_repeats_what_an_anchor_names() -> None:
    assert parse("a: &p {x: [1, '$$2']}\nb: *p\nc: *p") == {name: {"x": [1, "$2"]} for name in "abc"}
    assert parse("a: &t $$${X}\nb: *t", X="1") == {"a": "$1", "b": "$1"}


def test_aliases_are_bounded() -> None:
    assert len(parse("a: &x 1\nb: [" + ", ".join(["*x"] * 64) + "]")["b"]) == 64
    assert faults("a: &x 1\nb: [" + ", ".join(["*x"] * 70) + "]") == ["more than 64 aliases are not allowed (line 2)"]


@pytest.mark.parametrize("text", [BILLION, "a: &a [*a]", "a: &a {x: 1}\nb:\n  <<: *a"], ids=["laughs", "loop", "merge"])
def test_aliases_that_nest_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: b: c",
        "\tx",
        "--- 1\n--- 2",
        "!!python/object/apply:os.system ['true']",
        "!unknown x",
        "*undefined",
        "!!bool x",
        "!!int x",
        "!!int ''",
        "!!float x",
        "!!timestamp x",
        "2024-99-99",
        "<<: {a: 1}",
        "a: \x00",
        "[" * 1_000,
        "{a: " * 1_000,
        "- " * 1_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not YAML"):
        parse_document(text, file="x.yaml", environment={})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a1:-[]{}#&*!|>'\"%@`,?<=~$ \n\t", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_document(text, environment={})
    except ConfigError as error:
        assert error.faults


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_what_yaml_writes_is_read_back(document: object) -> None:
    text = yaml.safe_dump(document, allow_unicode=False).replace("$", "$$")
    if "&id" not in text:  # an alias for an object that stands twice
        assert parse_document(text, environment={}) == document


# --- files


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_document(path)
    (fault,) = refused.value.faults
    assert fault.file == str(path)
    return fault.message


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: ${X} äöü", encoding="utf-8")
    assert read_document(path, environment={"X": "1"}) == {"a": "1 äöü"}
    assert read_document(str(path), environment={"X": "1"}) == {"a": "1 äöü"}


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing") == "cannot be read: No such file or directory"
    assert refusal(tmp_path) == "cannot be read: Is a directory"


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff")
    assert refusal(path) == "is no UTF-8 at byte 3"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_DOCUMENT + 1)
    assert refusal(path) == "too large"


def test_a_device_without_end_is_refused() -> None:
    """Its size is said to be 0."""
    assert refusal(Path("/dev/zero")) == "too large"


# --- schemas


def test_faults_are_placed_in_the_file() -> None:
    document: Mapping[str, Any] = {"sources": ["moon"], "statuses": {"active": "no"}, "a/b~c": 1}
    found = schema_faults(document, "tenancy", file="x.yaml", pointer="/processors/tenancy")
    assert [fault.pointer for fault in found] == [
        "/processors/tenancy/a~1b~0c",
        "/processors/tenancy/sources/0",
        "/processors/tenancy/statuses/active",
    ]
    assert {fault.file for fault in found} == {"x.yaml"}


def test_a_document_is_checked() -> None:
    check_document({}, "tenancy")
    with pytest.raises(ConfigError, match=r"x.yaml:/missing: not one of the allowed values; given 7"):
        check_document({"missing": 7}, "tenancy", file="x.yaml")


# --- digests


def test_a_digest_depends_on_what_is_said_and_not_on_how() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2}) != digest_of({"a": "2"})
    assert digest_of([1, 2]) != digest_of([2, 1])
    assert len(digest_of("\ud800")) == 16
    assert digest_of(parse("2024-01-01")) == digest_of("2024-01-01")
