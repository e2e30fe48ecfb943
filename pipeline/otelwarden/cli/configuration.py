"""`otelwarden validate` and `otelwarden schema`: configuration files, for people and their editors."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from otelwarden.cli.schema import bundled_schema_text
from otelwarden.pipeline import validate
from otelwarden.schemas import schema_names


def _validate(arguments: argparse.Namespace) -> int:
    failed = False
    for file in arguments.files:
        faults = validate(file)
        for fault in faults:
            print(fault, file=sys.stderr)
        if faults:
            failed = True
            print(f"{file}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", file=sys.stderr)
        else:
            print(f"{file}: good")
    return 1 if failed else 0


def _schema(arguments: argparse.Namespace) -> int:
    print(bundled_schema_text(arguments.name))
    return 0


def add_configuration_commands(commands: Any) -> None:
    """Adds `validate` and `schema` to the command line."""
    check = commands.add_parser(
        "validate",
        help="say what is wrong with a configuration",
        description="Says everything that is wrong with configuration files, and starts nothing. "
        "Exit code: 0 all good, 1 faults were found.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.set_defaults(run=_validate)

    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of a file format, for editors",
        description="Prints a JSON Schema (draft 2020-12) that stands on its own.",
    )
    schema.add_argument("name", nargs="?", default="config", choices=schema_names(), metavar="NAME",
                        help="one of: %(choices)s (default: config)")  # fmt: skip
    schema.set_defaults(run=_schema)
