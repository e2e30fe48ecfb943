"""`otelwarden audit`: the trail, for people."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otelwarden.audit import exit_code, render, verify

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def _verify(arguments: argparse.Namespace) -> int:
    verdict = verify(arguments.path, public_key=arguments.public_key, against=arguments.against)
    if arguments.json:
        document = {**asdict(verdict), "status": verdict.status}
        print(json.dumps(document, indent=2, default=lambda value: value.value))
    else:
        print(render(verdict), end="")
    return exit_code(verdict)


def add_audit_commands(commands: Any) -> None:
    """Adds `audit` and what is under it to the command line."""
    audit = commands.add_parser("audit", help="judge an audit trail", description="Judges an audit trail.")
    under: Commands = audit.add_subparsers(title="commands", required=True, metavar="COMMAND")
    check = under.add_parser(
        "verify",
        help="say whether a trail is what was written",
        description="Judges every stream of a trail: OK, UNSEALED_TAIL, INCOMPLETE, KEY_UNKNOWN, TRUNCATED, FORKED or "
        "TAMPERED, with the first bad record. Writes nothing. Exit code: 0 all is well, 1 it is not, 2 it could not be "
        "judged.",
    )
    check.add_argument("path", type=Path, metavar="PATH", help="directory of the trail, or of one stream")
    check.add_argument(
        "--against", type=Path, metavar="FILE", help="checkpoints kept outside; only with them a rollback shows"
    )
    check.add_argument(
        "--public-key", metavar="KEY", help="the key that must have signed: a verifier key, or a file with it or PEM"
    )
    check.add_argument("--json", action="store_true", help="print the verdict as JSON")
    check.set_defaults(run=_verify)
