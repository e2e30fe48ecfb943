"""The `otelwarden` command: finds the module of the subcommand that is meant, and runs what that says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final

from otelwarden.core import OtelwardenError

COMMANDS: Final = (
    "validate",
    "run",
    "assess",
    "findings",
    "controls",
    "approve",
    "report",
    "schema",
    "audit",
    "spool",
    "tenants",
    "scan",
    "redact",
    "reveal",
    "erase",
)
"""Each is a module beside this one, whose `add_commands` adds it; its `run` answers the exit code. Only the module of
the command that is meant is imported: all of them take a second."""


def _parser(commands: Iterable[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="otelwarden", description="Governance inside the OpenTelemetry SDK.")
    under = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in commands:
        import_module(f"otelwarden.cli.{command}").add_commands(under)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: the words after `otelwarden`; None for those of this process.

    Returns:
        The exit code: 0 done and good, 1 done and found something wrong, 2 could not be done.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    meant = [words[0]] if words and words[0] in COMMANDS else COMMANDS
    parsed = _parser(meant).parse_args(words)
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
