"""`otelwarden spool`: what waits on disk, for people."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otelwarden.cli.table import table
from otelwarden.failover import Endpoint, FailoverConfig, SpoolConfig, StreamReport, drain, inspect

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def _list(arguments: argparse.Namespace) -> int:
    reports = inspect(arguments.path)
    if arguments.json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
        return 0
    if not reports:
        print("nothing waits")
        return 0
    head = ("STREAM", "OWNER", "BATCHES", "ITEMS", "BYTES", "OLDEST", "TENANTS")
    print(table([head, *(_row(report) for report in reports)]), end="")
    return 0


def _row(report: StreamReport) -> tuple[str, ...]:
    return (
        report.stream,
        "alive" if report.alive else "gone",
        str(report.waiting),
        str(report.items),
        str(report.bytes),
        f"{report.oldest_age:.0f}s",
        str(len(report.tenants)),
    )


def _verify(arguments: argparse.Namespace) -> int:
    reports = inspect(arguments.path)
    damaged = [report for report in reports if not report.intact]
    if arguments.json:
        print(json.dumps([{**asdict(report), "intact": report.intact} for report in reports], indent=2))
        return 1 if damaged else 0
    for report in reports:
        checked = report.waiting + report.settled + report.corrupt
        print(f"{report.stream}: {'DAMAGED' if report in damaged else 'OK'}, {checked} batches checked")
        if report.corrupt:
            print(f"  {report.corrupt} damaged, {report.corrupt_items} items lost")
        if report.damaged:
            print(f"  {report.damaged} so damaged that nothing tells what was lost")
    if not reports:
        print("nothing to check")
    return 1 if damaged else 0


def _drain(arguments: argparse.Namespace) -> int:
    inspect(arguments.path)  # a directory that is no spool is not made one
    config = FailoverConfig(
        endpoints=(Endpoint(url=arguments.endpoint, protocol=arguments.protocol),),
        spool=SpoolConfig(path=str(arguments.path), key_file=arguments.key_file),
    )
    balances = drain(config, timeout=arguments.timeout)
    left = sum(balance.dropped.get("left_in_spool", 0) for balance in balances.values())
    lost = sum(sum(balance.dropped.values()) for balance in balances.values()) - left
    if arguments.json:
        print(json.dumps({signal: asdict(balance) for signal, balance in balances.items()}, indent=2))
    else:
        rows = [("SIGNAL", "FOUND", "DELIVERED", "DROPPED", "LEFT")]
        for signal, balance in balances.items():
            here = balance.dropped.get("left_in_spool", 0)
            dropped = sum(balance.dropped.values()) - here
            rows.append((signal, str(balance.received), str(balance.forwarded), str(dropped), str(here)))
        print(table(rows), end="")
    return 1 if left or lost else 0


def add_commands(commands: Any) -> None:
    """Adds `spool` and what is under it to the command line."""
    spool = commands.add_parser("spool", help="look into a spool, or empty it", description="What waits on disk.")
    under: Commands = spool.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = under.add_parser(
        "ls",
        help="list the streams",
        description="Lists what each process left or still has. Writes nothing.",
    )
    listing.set_defaults(run=_list)

    check = under.add_parser(
        "verify",
        help="verify every checksum",
        description="Verifies the checksum of every batch. Writes nothing. Exit code: 0 all is well, 1 something is "
        "damaged, 2 it could not be read.",
    )
    check.set_defaults(run=_verify)

    emptying = under.add_parser(
        "drain",
        help="deliver what dead processes left",
        description="Sends what dead processes left to an endpoint; what it takes is removed. Streams of living "
        "processes are left to them. Exit code: 0 all was delivered, 1 something was dropped or is left, 2 it could "
        "not be read.",
    )
    emptying.add_argument("--endpoint", required=True, metavar="URL", help="where to send it")
    emptying.add_argument(
        "--protocol", default="grpc", choices=("grpc", "http/protobuf"), help="what the endpoint speaks (default: grpc)"
    )
    emptying.add_argument("--key-file", metavar="FILE", help="the key that batches are encrypted with")
    emptying.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="for each signal (default: %(default)g)"
    )
    emptying.set_defaults(run=_drain)

    for parser in (listing, check, emptying):
        parser.add_argument("path", type=Path, metavar="PATH", help="directory of the spool")
        parser.add_argument("--json", action="store_true", help="print it as JSON")
