"""`otelwarden approve`: somebody has looked at a configuration that somebody else wrote."""

from __future__ import annotations

import argparse
from typing import Any

from otelwarden.cli.compliance import actor_of, add_common, assessor_of


def _approve(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        approval = assessor.approve(
            author=arguments.author, approver=actor_of(arguments), reference=arguments.reference or ""
        )
    print(f"{arguments.config}: configuration {approval.digest} is approved")
    return 0


def add_commands(commands: Any) -> None:
    """Adds `approve` to the command line."""
    approve = commands.add_parser(
        "approve",
        help="record that somebody approved a configuration",
        description="Records in the audit trail that the configuration, as it stands now, was approved by another than "
        "its author.",
    )
    add_common(approve, _approve)
    approve.add_argument("--author", required=True, metavar="NAME", help="who wrote it")
    approve.add_argument("--reference", metavar="TEXT", help="where the approval is filed, a ticket for instance")
