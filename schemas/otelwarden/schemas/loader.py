"""Loads the JSON Schemas of otelwarden's files and says what is wrong with a document, all of it at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import fastjsonschema
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

_SUFFIX = ".schema.json"


class Violation(NamedTuple):
    """One place where a document breaks its schema."""

    pointer: str
    """Where, as a JSON pointer (RFC 6901); empty for the whole document."""
    message: str
    given: Any
    """The value that was refused; None when something is missing."""
    allowed: str
    """What would have been accepted, as text."""


def schema_names() -> list[str]:
    """The names of all schemas, sorted."""
    files = resources.files("otelwarden.schemas").iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


@cache
def load_schema(name: str) -> dict[str, Any]:
    """The schema called `name`, for instance `config`.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    text = resources.files("otelwarden.schemas").joinpath(name + _SUFFIX).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resources(
        (name + _SUFFIX, Resource.from_contents(load_schema(name))) for name in schema_names()
    )


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(name), registry=_registry())


def acceptor(name: str, definition: str) -> Callable[[Any], bool]:
    """Tells whether a value is as `definition` of the schema called `name` says, ten times faster than `violations`.

    That one says what is wrong; where there are thousands of values, nearly all of them right, this is asked first.
    """
    whole = load_schema(name)
    check = fastjsonschema.compile(
        {"$defs": whole["$defs"], "$ref": f"#/$defs/{definition}"},
        handlers={"": lambda uri: load_schema(uri.removesuffix(_SUFFIX))},
        use_default=False,
    )

    def accepts(value: Any) -> bool:
        try:
            check(value)
        except fastjsonschema.JsonSchemaException:
            return False
        return True

    return accepts


def violations(document: Any, name: str) -> list[Violation]:
    """Everything in `document` that the schema called `name` does not allow; keys come in alphabetical order."""
    errors = sorted(_validator(name).iter_errors(document), key=_place)
    return [violation for error in _distinct(errors) for violation in _explain(error)]


def _place(error: ValidationError) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, str(part)) for part in error.absolute_path]


def _distinct(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Leaves out what was said: there is one error for each missing key, and each names all that are required."""
    said = set()
    for error in errors:
        where = (tuple(error.absolute_path), tuple(error.absolute_schema_path))
        if error.validator != "required" or where not in said:
            said.add(where)
            yield error


def json_pointer(path: Any) -> str:
    """The JSON pointer of a path of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _explain(error: ValidationError) -> Iterator[Violation]:
    pointer = json_pointer(error.absolute_path)
    expected: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        patterns = schema.get("patternProperties", {})
        known = sorted([*schema.get("properties", {}), *(pattern.strip("^$") for pattern in patterns)])
        for key in instance:
            if key in known or any(re.search(pattern, key) for pattern in patterns):
                continue
            yield Violation(f"{pointer}{json_pointer([key])}", "unknown key", key, ", ".join(known))
    elif error.validator == "required":
        missing = [key for key in expected if key not in instance]
        for key in missing:
            yield Violation(pointer, f"missing key `{key}`", None, "")
    elif error.validator in ("oneOf", "anyOf") and error.context:
        yield from _explain_alternatives(error, pointer)
    elif error.validator == "enum":
        yield Violation(pointer, "not one of the allowed values", error.instance, ", ".join(map(str, expected)))
    elif error.validator == "type":
        names = expected if isinstance(expected, str) else " or ".join(expected)
        yield Violation(pointer, "wrong type", error.instance, names)
    elif error.validator == "pattern":
        allowed = schema.get("description") or f"text like {expected}"
        yield Violation(pointer, "malformed", error.instance, str(allowed))
    else:
        limit = "" if isinstance(expected, (dict, list)) else f"{error.validator} {expected}"
        yield Violation(pointer, error.message, error.instance, limit)


def _explain_alternatives(error: ValidationError, pointer: str) -> Iterator[Violation]:
    """Explains the alternative that the document came closest to: the one that fails deepest, then least often."""
    by_alternative: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        by_alternative.setdefault(inner.schema_path[0], []).append(inner)
    of_this_shape = [e for e in by_alternative.values() if not any(x.validator == "type" and not x.path for x in e)]
    if of_this_shape:
        closest = min(of_this_shape, key=lambda errors: (-max(len(e.path) for e in errors), len(errors)))
        for inner in _distinct(closest):
            yield from _explain(inner)
    else:
        wanted: list[Any] = [e.validator_value for e in error.context or () if e.validator == "type" and not e.path]
        types = sorted({name for value in wanted for name in ([value] if isinstance(value, str) else value)})
        yield Violation(pointer, "wrong type", error.instance, " or ".join(types))
