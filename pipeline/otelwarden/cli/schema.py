"""`otelwarden schema`: schemas that stand on their own, for editors that complete and check while one types."""

from __future__ import annotations

import argparse
import json
from typing import Any

from otelwarden.schemas import load_schema, schema_names

_SUFFIX = ".schema.json"


def bundled_schema_text(name: str) -> str:
    """The schema called `name` with every schema it refers to inside, as JSON text."""
    definitions: dict[str, Any] = {}
    schema = _inline(load_schema(name), definitions, root=True)
    schema["$defs"] = {**schema.get("$defs", {}), **definitions}
    if not schema["$defs"]:
        del schema["$defs"]
    return json.dumps(schema, indent=2)


def _inline(node: Any, definitions: dict[str, Any], *, root: bool = False, prefix: str = "") -> Any:
    """A copy of a schema in which references to other files point into `definitions`.

    Args:
        prefix: where the definitions of this schema stand in the bundle: empty for those of the root.
    """
    if isinstance(node, list):
        return [_inline(each, definitions, prefix=prefix) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {
        key: _inline(value, definitions, prefix=prefix)
        for key, value in node.items()
        if root or key not in ("$id", "$schema") or not isinstance(value, str)
    }
    reference = node.get("$ref")
    if isinstance(reference, str):
        copy["$ref"] = _target(reference, definitions, prefix)
    return copy


def _target(reference: str, definitions: dict[str, Any], prefix: str) -> str:
    file, _, fragment = reference.partition("#")
    if not file:
        return "#" + prefix + fragment
    name = "file:" + file.removesuffix(_SUFFIX)
    if name not in definitions:
        definitions[name] = {}  # first, so that schemas which refer to each other end
        definitions[name] = _inline(load_schema(file.removesuffix(_SUFFIX)), definitions, prefix=f"/$defs/{name}")
    return f"#/$defs/{name}{fragment}"


def _schema(arguments: argparse.Namespace) -> int:
    print(bundled_schema_text(arguments.name))
    return 0


def add_commands(commands: Any) -> None:
    """Adds `schema` to the command line."""
    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of a file format, for editors",
        description="Prints a JSON Schema (draft 2020-12) that stands on its own.",
    )
    schema.add_argument(
        "name",
        nargs="?",
        default="config",
        choices=schema_names(),
        metavar="NAME",
        help="one of: %(choices)s (default: config)",
    )
    schema.set_defaults(run=_schema)
