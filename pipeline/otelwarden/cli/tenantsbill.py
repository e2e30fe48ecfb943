"""`otelwarden tenants bill`: the sum of exported usage, each event counted once."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from otelwarden.cli.table import Style, table
from otelwarden.quota import UsageSum, read_usage_events


def _bill(arguments: argparse.Namespace) -> int:
    total = UsageSum(since=_moment(arguments.since), until=_moment(arguments.until))
    for path in arguments.paths:
        for line in read_usage_events(path):
            total.add(line)
    if arguments.json:
        print(json.dumps(_document(total), indent=2))
    else:
        print(_table(total), end="")
    if total.contradicting or total.unreadable:
        problems = f"{total.contradicting} contradict an earlier one, {total.unreadable} lines are no usage event"
        print(f"otelwarden: of the events {problems}; they are not counted", file=sys.stderr)
        return 1
    return 0


def _table(total: UsageSum) -> str:
    if not total.used:
        return "nothing was used\n"
    style = Style(sys.stdout)
    rows = [tuple(map(style.bold, ("TENANT", "SIGNAL", "ITEMS", "BYTES", "DROPPED", "BECAUSE OF")))]
    for (tenant, signal), used in sorted(total.used.items()):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(used.dropped.items()))
        dropped = sum(used.dropped.values())
        rows.append((tenant, signal, f"{used.items:,}", f"{used.bytes:,}", f"{dropped:,}", reasons))
    return table(rows, right=(2, 3, 4))


def _document(total: UsageSum) -> dict[str, Any]:
    return {
        "events": total.events,
        "repeated": total.repeated,
        "contradicting": total.contradicting,
        "unreadable": total.unreadable,
        "used": [
            {"tenant": tenant, "signal": signal, **used._asdict()}
            for (tenant, signal), used in sorted(total.used.items())
        ],
    }


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def add_command(under: Any) -> None:
    """Adds `bill` below `tenants`."""
    parser = under.add_parser(
        "bill",
        help="sum up what was exported for billing",
        description="Sums up exported usage (`quota: usage:`) by tenant and signal. Each event is counted once, "
        "however often it is in the files. Exit code: 0 all is well, 1 some lines are no event or contradict another, "
        "2 it could not be read.",
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="a file of events, or a directory of such")
    parser.add_argument("--since", type=_iso, metavar="MOMENT", help="only periods that begin then or later; ISO, UTC")
    parser.add_argument("--until", type=_iso, metavar="MOMENT", help="only periods that end then or earlier")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=_bill)
