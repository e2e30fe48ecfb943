"""`otelwarden audit ls|tail|grep`: what is in a trail, for people. Nothing here is verified; `verify` does that."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otelwarden.audit import last_records, list_streams, read_records
from otelwarden.cli.table import table
from otelwarden.core import ConfigError, Fault, parse_duration

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Event = dict[str, Any]

_FIELDS: Final = ("component", "action", "tenant", "signal", "reason", "actor", "target", "stream")
"""What `grep` can ask for; a value matches as a whole."""

_POLL: Final = 0.5  # seconds between two looks of `tail --follow`


def _list(arguments: argparse.Namespace) -> int:
    streams = list_streams(arguments.path)
    if arguments.json:
        print(json.dumps([each._asdict() for each in streams], indent=2))
        return 0
    rows = [("STREAM", "BEGAN", "RECORDS", "SEALED", "CHECKPOINTS", "CLOSED")]
    for each in streams:
        numbers = (str(each.records), str(each.sealed), str(each.checkpoints))
        rows.append((each.stream, moment_text(each.began_ns), *numbers, "yes" if each.closed else "no"))
    print(table(rows), end="")
    return 0


def _tail(arguments: argparse.Namespace) -> int:
    show = _raw if arguments.json else _line
    seen: dict[str, int] = {}
    count = arguments.count
    while True:
        for event in last_records(arguments.path, count):
            if event["sequence"] > seen.get(event["stream"], -1):
                seen[event["stream"]] = event["sequence"]
                print(show(event), flush=True)
        if not arguments.follow:
            return 0
        count = max(arguments.count, 1000)
        time.sleep(_POLL)


def _grep(arguments: argparse.Namespace) -> int:
    show = _raw if arguments.json else _line
    found = 0
    for event in _matching(read_records(arguments.path), list(_conditions(arguments))):
        print(show(event))
        found += 1
    return 0 if found else 1


def _matching(events: Iterable[Event], conditions: list[Callable[[Event], bool]]) -> Iterator[Event]:
    return (event for event in events if all(holds(event) for holds in conditions))


def _conditions(arguments: argparse.Namespace) -> Iterator[Callable[[Event], bool]]:
    wanted = {field: getattr(arguments, field) for field in _FIELDS if getattr(arguments, field) is not None}
    if wanted:
        yield lambda event: all(event.get(field, "") == value for field, value in wanted.items())
    if arguments.since is not None:
        earliest = instant_ns(arguments.since)
        yield lambda event: int(event["time"]) >= earliest
    if arguments.until is not None:
        latest = instant_ns(arguments.until)
        yield lambda event: int(event["time"]) <= latest
    if arguments.pattern is not None:
        try:
            pattern = re.compile(arguments.pattern)
        except re.error as error:
            raise ConfigError([Fault(message=f"no regular expression: {error}", given=arguments.pattern)]) from error
        yield lambda event: pattern.search(_raw(event)) is not None


def instant_ns(text: str) -> int:
    """Nanoseconds since the Unix epoch, of an ISO 8601 time or of a duration before now such as `15m`."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        try:
            return time.time_ns() - int(parse_duration(text) * 1e9)
        except ConfigError:
            allowed = "an ISO 8601 time, or a duration before now such as 15m"
            raise ConfigError([Fault(message="no moment", given=text, allowed=allowed)]) from None
    return int((moment if moment.tzinfo else moment.astimezone()).timestamp() * 1e6) * 1000


def moment_text(time_ns: int) -> str:
    """A moment in UTC, of nanoseconds since the Unix epoch."""
    moment = datetime.fromtimestamp(time_ns / 1e9, tz=timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}"


def _raw(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"))


def _line(event: Event) -> str:
    """One line: when, what, whose, how many; control characters cannot be in it, as they are escaped."""
    what = f"{event['component']} {event['action']} {event['reason']}"
    more = [f"{name}={event[name]}" for name in ("tenant", "signal", "target") if name in event]
    if event["actor"] != f"system:{event['component']}":
        more.append(f"actor={event['actor']}")
    if event["outcome"] != "success":
        more.append(event["outcome"])
    line = f"{moment_text(int(event['time']))}  {event['sequence']:>7}  x{event['count']:<6} {what}  {' '.join(more)}"
    return line.rstrip().encode("unicode_escape").decode("ascii")


def add_trail_commands(under: Commands) -> None:
    """Adds `ls`, `tail` and `grep` below `audit`."""
    listing = under.add_parser("ls", help="list the streams", description="Lists the streams of a trail.")
    listing.set_defaults(run=_list)

    tail = under.add_parser("tail", help="show the last records", description="Shows the last records by their times.")
    tail.add_argument("-n", "--count", type=int, default=20, metavar="N", help="how many (default: %(default)d)")
    tail.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    tail.set_defaults(run=_tail)

    grep = under.add_parser(
        "grep",
        help="find records",
        description="Shows the records that fulfil all conditions, in the order of their times. Exit code: 0 some were "
        "found, 1 none, 2 the trail could not be read.",
    )
    for field in _FIELDS:
        grep.add_argument(f"--{field}", metavar="TEXT", help=f"its {field} is exactly this")
    grep.add_argument("--since", metavar="WHEN", help="ISO 8601 time, or a duration before now such as 15m")
    grep.add_argument("--until", metavar="WHEN", help="likewise")
    grep.add_argument("--pattern", metavar="REGEX", help="found anywhere in the record as JSON")
    grep.set_defaults(run=_grep)

    for parser in (listing, tail, grep):
        parser.add_argument("path", type=Path, metavar="PATH", help="directory of the trail, or of one stream")
        parser.add_argument("--json", action="store_true", help="print it as JSON")
