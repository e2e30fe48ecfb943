"""The `otelwarden` command: one function for each subcommand, each of which answers its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from otelwarden.core import ConfigError

_ADD: Final[Mapping[str, tuple[str, ...]]] = {
    "configuration:add_configuration_commands": ("validate", "schema"),
    "audit:add_audit_commands": ("audit",),
    "spool:add_spool_commands": ("spool",),
    "scan:add_scan_command": ("scan",),
    "redact:add_redact_command": ("redact",),
    "reveal:add_reveal_commands": ("reveal", "erase"),
}
"""What adds which commands, as `module:function`."""


def _parser(word: str) -> argparse.ArgumentParser:
    """The parser of the command line.

    Args:
        word: the first one. Only what knows it is loaded, if anything does: a filter must start fast.
    """
    parser = argparse.ArgumentParser(prog="otelwarden", description="Governance inside the OpenTelemetry SDK.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    wanted = [place for place, names in _ADD.items() if word in names] or list(_ADD)
    for place in wanted:
        module, _, function = place.partition(":")
        add: Callable[[Any], None] = getattr(import_module(f"otelwarden.cli.{module}"), function)
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: the words after `otelwarden`; None for those of this process.

    Returns:
        The exit code: 0 done and good, 1 done and found something wrong, 2 could not be done.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser(words[0] if words else "").parse_args(words)
    try:
        code: int = parsed.run(parsed)
    except ConfigError as error:
        print(f"otelwarden: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"otelwarden: {error.filename}: cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    return code
