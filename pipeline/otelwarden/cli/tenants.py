"""`otelwarden tenants`: who is known, and their life cycle, for people."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otelwarden.cli import tenantsbill, tenantsusage
from otelwarden.cli.table import Style, table
from otelwarden.tenancy import Tenant, TenantRegistry, TenantStatus, tenant_to_mapping

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_COLOURS: Final = {"active": "green", "suspended": "red", "inactive": "blue", "pending": "yellow"}
_CHANGES: Final[dict[str, tuple[Callable[..., Tenant], str]]] = {
    "suspend": (TenantRegistry.suspend, "stop what a tenant sends, in every process that reads the file"),
    "activate": (TenantRegistry.activate, "let a tenant send"),
    "deactivate": (TenantRegistry.deactivate, "end a tenant's time, but keep what is known about it"),
}


def _list(arguments: argparse.Namespace) -> int:
    status = TenantStatus(arguments.status) if arguments.status else None
    tenants = TenantRegistry(arguments.path).list(status)
    if arguments.json:
        print(json.dumps([tenant_to_mapping(tenant) for tenant in tenants], indent=2))
        return 0
    style = Style(sys.stdout)
    rows = [tuple(map(style.bold, ("TENANT", "STATUS", "REASON", "PLAN", "REGION", "NAME")))]
    for tenant in tenants:
        known = tenant.settings
        word = style.paint(tenant.status.value, _COLOURS[tenant.status.value])
        rows.append((tenant.id, word, tenant.status_reason, known.plan or "", known.region or "", tenant.name))
    print(table(rows) if tenants else "no tenants\n", end="")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    entry = tenant_to_mapping(TenantRegistry(arguments.path).get(arguments.tenant))
    if arguments.json:
        print(json.dumps(entry, indent=2))
        return 0
    settings = entry.pop("settings", {})
    print(table([(f"{key}:", _shown(value)) for key, value in {**entry, **settings}.items()]), end="")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_shown(inner)}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _change(arguments: argparse.Namespace) -> int:
    change, _ = _CHANGES[arguments.command]
    actor = arguments.actor or f"user:{getpass.getuser()}"
    tenant = change(TenantRegistry(arguments.path), arguments.tenant, arguments.reason, actor=actor)
    if arguments.json:
        print(json.dumps(tenant_to_mapping(tenant), indent=2))
    else:
        reason = f" ({tenant.status_reason})" if tenant.status_reason else ""
        print(
            f"{tenant.id} is {tenant.status.value}{reason}, in force within a second wherever {arguments.path} is read"
        )
    return 0


def add_commands(commands: Any) -> None:
    """Adds `tenants` and what is under it to the command line."""
    tenants = commands.add_parser(
        "tenants", help="list tenants and what they used, suspend and activate them", description="Tenants."
    )
    under: Commands = tenants.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = under.add_parser("ls", help="list the tenants", description="Lists the tenants of a file.")
    listing.add_argument("--status", choices=[status.value for status in TenantStatus], help="those of one status only")
    listing.set_defaults(run=_list)

    showing = under.add_parser("show", help="show all that is known about one", description="Shows one tenant.")
    showing.set_defaults(run=_show)

    tenantsusage.add_command(under)
    tenantsbill.add_command(under)

    parsers = [listing, showing]
    for command, (_, what) in _CHANGES.items():
        parser = under.add_parser(
            command,
            help=what,
            description=f"{what[0].upper()}{what[1:]}. Rewrites the file: comments are lost, variables are replaced by "
            "their values.",
        )
        parser.set_defaults(run=_change, command=command)
        parsers.append(parser)
    for parser in parsers:
        parser.add_argument("path", type=Path, metavar="PATH", help="the tenants file")
        parser.add_argument("--json", action="store_true", help="print it as JSON")
    for parser in parsers[1:]:
        parser.add_argument("tenant", metavar="TENANT", help="its id")
    for parser in parsers[2:]:
        needed = parser.prog.endswith(" suspend")
        parser.add_argument("--reason", default="", required=needed, metavar="WORD", help="why, such as `unpaid`")
        parser.add_argument("--actor", metavar="WHO", help="user:<id> or service:<id>, you unless given")
