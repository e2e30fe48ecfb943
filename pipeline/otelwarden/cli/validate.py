"""`otelwarden validate`: what is wrong with a configuration."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from otelwarden.pipeline import validate


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


def add_commands(commands: Any) -> None:
    """Adds `validate` to the command line."""
    check = commands.add_parser(
        "validate",
        help="say what is wrong with a configuration",
        description="Says everything that is wrong with configuration files, and starts nothing. "
        "Exit code: 0 all good, 1 faults were found.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.set_defaults(run=_validate)
