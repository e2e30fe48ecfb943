"""What the benchmarks share: how a figure is said, printed and written."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A figure that a benchmark is about."""

    name: str
    value: float | None
    """None when the run gave no figure that can be stood by."""
    unit: str
    target: float
    better: Literal["lower", "higher"]
    peer: str
    """What it is measured against, in the same run."""

    @property
    def wanted(self) -> str:
        """The target as people write it."""
        return f"{'<=' if self.better == 'lower' else '>='} {self.target:g}"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "opentelemetry-sdk": version("opentelemetry-sdk"),
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")), "")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with the options that every benchmark has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options.add_argument("--short", action="store_true", help="a quick run, for trying; its figures are rough")
    return options


def report(
    name: str, headline: Sequence[Headline], rows: Sequence[Mapping[str, Any]], *, as_json: bool, note: str = ""
) -> None:
    """Prints the outcome, for people or as one JSON object."""
    if as_json:
        outcome = {
            "benchmark": name,
            "machine": machine(),
            "headline": [asdict(each) for each in headline],
            "rows": list(rows),
        }
        print(json.dumps(outcome, indent=1))
        return
    print(f"# {name}\n")
    _table(
        ["figure", "value", "unit", "target", "peer"],
        [[each.name, _number(each.value), each.unit, each.wanted, each.peer] for each in headline],
    )
    if rows:
        print()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        _table(columns, [[_number(row.get(column, "")) for column in columns] for row in rows])
    if note:
        print(f"\n{note}")


def _number(value: Any) -> str:
    if value is None:
        return "no figure"
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    for number, row in enumerate(table):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
