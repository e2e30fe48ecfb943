"""`otelwarden tenants usage`: what each tenant used of its limits, with a bar for each budget."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from otelwarden.cli.table import Style, bar, table, width_of
from otelwarden.core import OTHER_TENANTS
from otelwarden.quota import LimitStatus, read_usage

_BAR: Final = 3
_BAR_WIDTHS: Final = (8, 40)
_PLAIN_WIDTH: Final = 16
_COLOURS: Final = ((100.0, "red"), (95.0, "red"), (80.0, "yellow"), (0.0, "green"))
_TIMES: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_HEAD: Final = ("TENANT", "SIGNAL", "LIMIT", "", "USED", "RESETS", "RUNS OUT")


def _usage(arguments: argparse.Namespace) -> int:
    found = [each if each.tenant else replace(each, tenant=OTHER_TENANTS) for each in read_usage(arguments.path)]
    if not arguments.rates:
        found = [each for each in found if each.kind != "rate"]
    if arguments.tenant is not None:
        found = [each for each in found if each.tenant == arguments.tenant]
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        print(_table(found, Style(sys.stdout), time.time()) if found else "nothing was used\n", end="")
    return 0


def _table(found: Sequence[LimitStatus], style: Style, now: float) -> str:
    rows = [_row(each, now) for each in found]
    width = _PLAIN_WIDTH
    if sys.stdout.isatty():
        # The bars take what the words leave of a line.
        used = max(map(width_of, table([_HEAD, *rows], right=(4,)).splitlines()))
        width = min(max(shutil.get_terminal_size().columns - used, _BAR_WIDTHS[0]), _BAR_WIDTHS[1])
    lines = [[*map(style.bold, _HEAD)]]
    for each, row in zip(found, rows, strict=True):
        percent = 100 * each.used / each.limit
        colour = next(name for least, name in _COLOURS if percent >= least or least == 0)
        row[_BAR] = style.paint(bar(percent, width), colour)
        lines.append(row)
    return table(lines, right=(4,))


def _row(each: LimitStatus, now: float) -> list[str]:
    if each.kind == "rate":
        limit = f"{_amount(each.rate or 0, each.unit)}/s"
    else:
        limit = f"{_amount(each.limit, each.unit)}/{each.kind}{' soft' if each.soft else ''}"
    return [
        each.tenant,
        each.scope,
        limit,
        "",
        f"{_amount(each.used, each.unit)} {100 * each.used // each.limit:4d} %",
        _wait(each.resets_at, now),
        "now" if each.kind != "rate" and each.remaining <= 0 else _wait(each.runs_out_at, now),
    ]


def _amount(amount: float, unit: str) -> str:
    if unit == "items":
        return f"{amount:,.0f}" if amount >= 10 or amount == int(amount) else f"{amount:.2g}"
    for factor, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(amount) >= factor:
            return f"{amount / factor:.3g} {name}" if abs(amount) < 1000 * factor else f"{amount / factor:,.0f} {name}"
    return f"{amount:.0f} B"


def _wait(moment: float | None, now: float) -> str:
    """How long until a moment, in its two largest units."""
    if moment is None:
        return ""
    left = max(0, int(moment - now))
    parts: list[str] = []
    for seconds, name in _TIMES:
        if left >= seconds and len(parts) < 2:
            parts.append(f"{left // seconds}{name}")
            left %= seconds
        elif parts:
            break
    return f"in {' '.join(parts)}" if parts else "now"


def add_command(under: Any) -> None:
    """Adds `usage` below `tenants`."""
    parser = under.add_parser(
        "usage",
        help="show what each used of its budgets",
        description="Shows what each tenant used of its budgets, and when one resets or will run out at its pace so "
        "far. Reads the file of a quota store (`store: {type: file}`); writes nothing and disturbs nobody.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the file of the store, such as quota.db")
    parser.add_argument("--tenant", metavar="TENANT", help="one tenant only")
    parser.add_argument("--rates", action="store_true", help="rates too: what is taken of each burst")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=_usage)
