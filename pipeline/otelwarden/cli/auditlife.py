"""`otelwarden audit retire|hold`: what of a trail may go, and what must stay."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from otelwarden.audit import (
    AuditConfig,
    AuditTrail,
    Due,
    Hold,
    Keep,
    Retention,
    SigningKey,
    due_segments,
    list_holds,
    place_hold,
    release_hold,
    retire,
)
from otelwarden.cli.table import table
from otelwarden.cli.trail import instant_ns, moment_text
from otelwarden.core import ConfigError, Fault, Runtime, parse_duration
from otelwarden.pipeline import load_settings

_PATIENCE: Final = 30.0  # seconds for the disk


def _retention(arguments: argparse.Namespace) -> Retention:
    if arguments.at_least is not None:
        return Retention({"default": Keep(at_least=parse_duration(arguments.at_least))})
    configs = load_settings(arguments.config).components.values()
    rules = [each.retention for each in configs if isinstance(each, AuditConfig) and each.retention]
    if not rules:
        file = os.fspath(arguments.config)
        raise ConfigError(
            [Fault(file=file, message="no retention is configured", allowed="processors: audit: retention")]
        )
    return Retention(rules[0])


@contextlib.contextmanager
def _trail(arguments: argparse.Namespace) -> Iterator[AuditTrail]:
    """The trail, to which what is done is written as a stream of its own."""
    if not arguments.path.is_dir():
        raise ConfigError([Fault(file=os.fspath(arguments.path), message="there is no trail")])
    key = SigningKey.load(arguments.key) if arguments.key else None
    trail = AuditTrail(arguments.path, key=key, witness=arguments.witness, runtime=Runtime(), sync_timeout=_PATIENCE)
    try:
        yield trail
    finally:
        trail.close(_PATIENCE)


def _retire(arguments: argparse.Namespace) -> int:
    retention = _retention(arguments)
    try:
        if arguments.dry_run:
            _show(due_segments(arguments.path, retention, time.time_ns()), "would be dropped")
            return 0
        with _trail(arguments) as trail:
            _show(retire(trail, retention, actor=arguments.actor, reason=arguments.reason), "dropped")
    except OSError as error:
        file = os.fspath(error.filename or arguments.path)
        raise ConfigError([Fault(file=file, message=f"cannot be used: {error.strerror}")]) from error
    return 0


def _show(found: Sequence[Due], what: str) -> None:
    rows = [("STREAM", "RECORDS", "BYTES", "DUE SINCE", "")]
    for due in found:
        held = "held by " + ", ".join(hold.id for hold in due.held_by) if due.held_by else what
        late = "; longer than allowed" if due.overdue else ""
        records = f"{due.segment.first}-{due.end - 1}"
        rows.append((due.stream, records, str(due.segment.length), moment_text(due.due_ns), held + late))
    print(table(rows) if found else "nothing is due\n", end="")


def _hold(arguments: argparse.Namespace) -> int:
    hold = Hold(
        since_ns=instant_ns(arguments.since) if arguments.since is not None else None,
        until_ns=instant_ns(arguments.until) if arguments.until is not None else None,
        tenant=arguments.tenant,
        kind=arguments.kind,
        reason=arguments.reason,
        actor=arguments.actor,
    )
    with _trail(arguments) as trail:
        print(place_hold(trail, hold))
    return 0


def _release(arguments: argparse.Namespace) -> int:
    with _trail(arguments) as trail:
        release_hold(trail, arguments.id, reason=arguments.reason, actor=arguments.actor)
    print(f"hold {arguments.id} is released")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    rows = [("HOLD", "TENANT", "KIND", "SINCE", "UNTIL", "ACTOR", "REASON")]
    for hold in list_holds(arguments.path):
        since, until = ("-" if time_ns is None else moment_text(time_ns) for time_ns in (hold.since_ns, hold.until_ns))
        rows.append((hold.id, hold.tenant or "-", hold.kind or "-", since, until, hold.actor, hold.reason))
    print(table(rows) if len(rows) > 1 else "nothing is held\n", end="")
    return 0


def add_life_commands(under: Any) -> None:
    """Adds `retire` and `hold` below `audit`."""
    retirement = under.add_parser(
        "retire",
        help="drop records whose time is over",
        description="Drops the files of records whose retention is over and which nobody holds. Hashes stay in their "
        "place, so that `verify` and proofs go on. The trail must verify; what is done is recorded before. "
        "Exit code: 0 done, 2 it could not be done.",
    )
    how = retirement.add_mutually_exclusive_group(required=True)
    how.add_argument("--config", type=Path, metavar="FILE", help="the configuration, with a retention for the trail")
    how.add_argument("--at-least", metavar="DURATION", help="keep everything that long, such as 400d")
    retirement.add_argument("--dry-run", action="store_true", help="say what would be dropped, and do nothing")
    retirement.add_argument("--reason", default="retention", metavar="TEXT", help="why (default: %(default)s)")
    retirement.set_defaults(run=_retire)

    hold = under.add_parser("hold", help="keep records whatever their retention", description="Legal holds.")
    acts = hold.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add = acts.add_parser(
        "add",
        help="hold records",
        description="Holds the records of which everything that is given is true, and prints the id of the hold. "
        "It is in force when the command returns, until it is released.",
    )
    add.add_argument("--since", metavar="WHEN", help="records of then and later: ISO 8601, or a duration before now")
    add.add_argument("--until", metavar="WHEN", help="records of then and earlier, likewise")
    add.add_argument("--tenant", default="", metavar="ID", help="records about this tenant")
    add.add_argument("--kind", default="", metavar="KIND", help="records of COMPONENT, or of COMPONENT/ACTION")
    add.set_defaults(run=_hold)
    release = acts.add_parser("release", help="release a hold", description="Ends a hold.")
    release.set_defaults(run=_release)
    listing = acts.add_parser("ls", help="list what is held", description="Lists the holds in force.")
    listing.set_defaults(run=_list)

    for parser in (add, release):
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why")
    for parser in (retirement, add, release):
        required = parser is not retirement
        parser.add_argument("--actor", default="", required=required, metavar="WHO", help="user:<id> or service:<id>")
        parser.add_argument("--key", type=Path, metavar="FILE", help="the private key (default: that in the trail)")
        parser.add_argument("--witness", metavar="WITNESS", help="file or URL that is given the checkpoints")
    for parser in (retirement, add, release, listing):
        parser.add_argument("path", type=Path, metavar="PATH", help="directory of the trail")
    release.add_argument("id", metavar="ID", help="as `hold add` printed it")
