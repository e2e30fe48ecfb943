from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from otelwarden.schemas import Violation, json_pointer, load_schema, schema_names, violations


def told(document: Any, name: str) -> list[tuple[str, str, Any, str]]:
    return [tuple(violation) for violation in violations(document, name)]


# --- the schemas themselves


def test_there_are_schemas_and_their_names_are_sorted() -> None:
    names = schema_names()
    assert {"config", "quota", "tenancy", "tenants", "redaction"} <= set(names)
    assert names == sorted(names)


@pytest.mark.parametrize("name", schema_names())
def test_each_is_a_schema_that_says_what_it_is_for(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] or schema["description"]
    json.dumps(schema)


@pytest.mark.parametrize("name", schema_names())
@pytest.mark.parametrize("document", [7, "text", [1], True])
def test_each_refuses_what_is_no_mapping(name: str, document: Any) -> None:
    (found,) = violations(document, name)
    assert found.pointer == ""
    assert (found.message, found.given) == ("wrong type", document)
    assert "object" in found.allowed


def nodes(schema: Any, path: str = "") -> list[tuple[str, Any]]:
    found = []
    if isinstance(schema, dict):
        found.append((path, schema))
        for key, value in schema.items():
            if key not in ("default", "examples", "const", "enum"):
                found += nodes(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            found += nodes(value, f"{path}/{number}")
    return found


@pytest.mark.parametrize("name", schema_names())
def test_in_each_an_unknown_key_is_an_error(name: str) -> None:
    """A mapping either lists its keys and refuses others, or says what any key may hold."""
    open_ = [
        path
        for path, node in nodes(load_schema(name))
        if "properties" in node
        and node.get("additionalProperties") is None
        and node.get("unevaluatedProperties") is None
        and not path.rstrip("0123456789/").endswith(("/if", "/then", "/else", "/allOf", "/anyOf", "/oneOf", "/not"))
    ]
    assert open_ == []


@pytest.mark.parametrize("name", schema_names())
def test_in_each_a_default_is_allowed(name: str) -> None:
    for path, node in nodes(load_schema(name)):
        if "default" in node and "$ref" not in json.dumps(node):
            assert list(Draft202012Validator(node).iter_errors(node["default"])) == [], path


def test_there_is_no_other_schema() -> None:
    with pytest.raises(FileNotFoundError):
        load_schema("nothing")


# --- pointers


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ([], ""),
        (["a", "b"], "/a/b"),
        ([0, 1], "/0/1"),
        (["a/b", "c~d", "~1", ""], "/a~1b/c~0d/~01/"),
        (["ä", " "], "/ä/ "),
    ],
    ids=repr,
)
def test_a_pointer_is_written_as_rfc_6901_says(path: list[Any], pointer: str) -> None:
    assert json_pointer(path) == pointer


# --- explanations


def test_what_is_allowed_is_no_violation() -> None:
    assert violations({}, "tenancy") == []
    assert violations({"sources": ["context"], "attribute": "tenant.id"}, "tenancy") == []


def test_an_unknown_key_is_named_beside_those_that_are_known() -> None:
    (found,) = violations({"a/b~c": 1}, "tenancy")
    assert (found.pointer, found.message, found.given) == ("/a~1b~0c", "unknown key", "a/b~c")
    assert {"sources", "statuses"} <= set(found.allowed.split(", "))


def test_a_value_that_is_none_of_several() -> None:
    assert told({"missing": "maybe"}, "tenancy") == [
        ("/missing", "not one of the allowed values", "maybe", "default, reject")
    ]


def test_a_wrong_type() -> None:
    assert told({"sources": "context"}, "tenancy") == [("/sources", "wrong type", "context", "array")]


def test_a_missing_key_is_told_once() -> None:
    """There is one error for each missing key, and each named all of them."""
    document = {"tenants": [{"name": "no id"}]}
    found = [violation for violation in violations(document, "tenants") if violation.message.startswith("missing")]
    assert found == [Violation("/tenants/0", "missing key `id`", None, "")]


def test_a_text_that_does_not_match_is_told_what_would() -> None:
    (found,) = violations({"default_tenant": "no spaces"}, "tenancy")
    assert (found.pointer, found.message, found.given) == ("/default_tenant", "malformed", "no spaces")
    assert found.allowed


@pytest.mark.parametrize(
    ("document", "pointer", "allowed"),
    [
        ({"sources": []}, "/sources", "minItems 1"),
        ({"sources": ["context", "context"]}, "/sources", "uniqueItems True"),
    ],
)
def test_a_limit_is_told(document: Any, pointer: str, allowed: str) -> None:
    (found,) = violations(document, "tenancy")
    assert (found.pointer, found.given, found.allowed) == (pointer, document["sources"], allowed)


def test_everything_is_told_at_once_and_items_of_a_list_in_their_order() -> None:
    document = {"sources": ["context"] + ["moon"] * 11, "missing": 7, "zzz": 1, "aaa": 1}
    found = [violation.pointer for violation in violations(document, "tenancy")]
    assert [pointer for pointer in found if pointer.startswith("/sources/")] == [f"/sources/{n}" for n in range(1, 12)]
    assert set(found) == {"/missing", "/zzz", "/aaa", "/sources", *(f"/sources/{n}" for n in range(1, 12))}


@pytest.mark.parametrize(
    ("document", "name", "expected"),
    [
        (
            {"endpoints": [{"url": "http://a", "timeout": [1]}]},
            "failover",
            ("/endpoints/0/timeout", "wrong type", [1], "number or string"),
        ),
        (
            {"endpoints": [{"url": "http://a", "timeout": "soon"}]},
            "failover",
            ("/endpoints/0/timeout", "malformed", "soon", "a number of seconds, or one with a unit: ms, s, m, h, d"),
        ),
        ({"endpoints": [7]}, "failover", ("/endpoints/0", "wrong type", 7, "object or string")),
        (
            {"default": {"traces": {"rate": [1]}}},
            "quota",
            ("/default/traces/rate", "wrong type", [1], "string or number or null"),
        ),
    ],
    ids=["no alternative has the type", "the alternative of the type", "the types of a $ref", "several types"],
)
def test_of_alternatives_the_closest_is_explained(document: Any, name: str, expected: tuple[Any, ...]) -> None:
    assert expected in told(document, name)


def test_keys_that_a_pattern_allows_are_no_unknown_keys() -> None:
    found = violations({"processors": {"quota/strict": {}, "nonsense": {}}, "service": {}}, "config")
    unknown = [violation.pointer for violation in found if violation.message == "unknown key"]
    assert unknown == ["/processors/nonsense"]


HOSTILE = [
    {},
    {"": {}},
    {"\ud800": "\x00"},
    {"a": {"b": {"c": {"d": []}}}},
    {"a": float("nan")},
    {"a": 10**400},
    {str(number): number for number in range(2000)},
    None,
]


@pytest.mark.parametrize("name", schema_names())
@pytest.mark.parametrize("document", HOSTILE, ids=range(len(HOSTILE)))
def test_anything_at_all_is_explained(name: str, document: Any) -> None:
    for violation in violations(document, name):
        assert violation.message
        assert str(violation)
