"""`otelwarden erase`: making what was encrypted for one person unreadable for good."""

from __future__ import annotations

import argparse
from typing import Any

from otelwarden.cli.reveal import add_key_arguments, keys_of, write_down
from otelwarden.core import UNATTRIBUTED


def _erase(arguments: argparse.Namespace) -> int:
    subjects = keys_of(arguments).subjects
    assert subjects is not None  # a required argument
    key = subjects.key_id(arguments.tenant, arguments.subject)
    if key is None:
        print("there is no key of this person")
        return 1
    write_down(arguments, "erase", count=1, target=key)
    subjects.destroy(arguments.tenant, arguments.subject)
    print(f"key {key} is destroyed: what was encrypted with it cannot be read any more")
    return 0


def add_commands(commands: Any) -> None:
    """Adds `erase` to the command line."""
    parser = commands.add_parser(
        "erase",
        help="destroy the key of a person",
        description="Destroys the key of a person, so that nothing that was encrypted with it can be read any more, "
        "wherever it is. Who does it and why is written to the audit trail before. Exit code: 0 done, 1 there is no "
        "such key, 2 it could not be done.",
    )
    parser.add_argument("--subject", required=True, metavar="ID", help="the person, as items name it")
    parser.add_argument(
        "--tenant", default=UNATTRIBUTED, metavar="ID", help="whose telemetry it is (default: %(default)s)"
    )
    parser.set_defaults(run=_erase)
    add_key_arguments(parser, subjects_required=True)
