"""`otelwarden controls`: what people say of controls."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from otelwarden.cli.compliance import actor_of, add_common, assessor_of
from otelwarden.cli.table import table
from otelwarden.compliance.reports.words import moment

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def _list_controls(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        known, said = assessor.controls(), assessor.store.controls()
    if arguments.json:
        print(json.dumps({name: {"title": control.title, **(said[name]._asdict() if name in said else {})}
                          for name, control in known.items()}, indent=2))  # fmt: skip
        return 0
    rows: list[Sequence[str]] = [("CONTROL", "STATUS", "SAID BY", "SINCE", "WHAT IT IS")]
    for name, control in known.items():
        state = said.get(name)
        word = (state.status, state.actor, moment(state.time_ns)[:16]) if state is not None else ("-", "", "")
        rows.append((name, *word, control.title))
    print(table(rows), end="")
    return 0


def _set_control(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        assessor.set_control(
            arguments.control, arguments.status, evidence=arguments.evidence or "", actor=actor_of(arguments)
        )
    print(f"{arguments.control}: {arguments.status}")
    return 0


def add_commands(commands: Any) -> None:
    """Adds `controls` and what is under it to the command line."""
    controls = commands.add_parser("controls", help="what people say of controls", description="States of controls.")
    under: Commands = controls.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = under.add_parser("ls", help="list controls", description="Lists every control and what was said of it.")
    add_common(listing, _list_controls, as_json=True)
    setting_ = under.add_parser(
        "set",
        help="say how far a control is implemented",
        description="Keeps what somebody says of a control, and records it in the audit trail.",
    )
    add_common(setting_, _set_control)
    setting_.add_argument("control", metavar="CONTROL", help="id of the control")
    setting_.add_argument("status", choices=("not", "partially", "fully", "verified"))
    setting_.add_argument("--evidence", metavar="TEXT", help="where it can be seen; needed for `verified`")
