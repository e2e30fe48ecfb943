"""The `otelwarden` command: one function for each subcommand, each of which answers its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from otelwarden.cli.audit import add_audit_commands
from otelwarden.cli.compliance import add_compliance_commands
from otelwarden.cli.schema import bundled_schema_text
from otelwarden.cli.spool import add_spool_commands
from otelwarden.core import OtelwardenError
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="otelwarden", description="Governance inside the OpenTelemetry SDK.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

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

    add_compliance_commands(commands)
    add_audit_commands(commands)
    add_spool_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: the words after `otelwarden`; None for those of this process.

    Returns:
        The exit code: 0 done and good, 1 done and found something wrong, 2 could not be done.
    """
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except OtelwardenError as error:
        print(f"otelwarden: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"otelwarden: {error.filename}: cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    return code
