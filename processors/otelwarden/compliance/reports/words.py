"""Words and figures for people, the same in every report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Final

RESULTS: Final = ("fail", "error", "insufficient_evidence", "warn", "pass", "not_applicable")
"""In the order in which people want to see them."""

WORDS: Final[Mapping[str, str]] = {
    "pass": "passes",
    "warn": "passes, with a warning",
    "fail": "fails",
    "insufficient_evidence": "lacks evidence",
    "not_applicable": "does not apply",
    "error": "could not be checked",
}

SEVERITY_ORDER: Final[Mapping[str, int]] = {"critical": 0, "high": 1, "medium": 2, "low": 3}

UNSETTLED: Final = frozenset({"open", "acknowledged", "in_progress", "reopened"})


def moment(time_ns: str | int) -> str:
    """A moment, to the second, in UTC; a dash for never."""
    seconds = int(time_ns) // 1_000_000_000
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else "-"


def iso(time_ns: str | int) -> str:
    """A moment as in RFC 3339."""
    return datetime.fromtimestamp(int(time_ns) // 1_000_000_000, timezone.utc).isoformat()


def percent(score: float | None) -> str:
    """A score; a dash where there is none."""
    return "-" if score is None else f"{score:g} %"


def sentence(text: str) -> str:
    """A text with a capital letter at its beginning, unless that is the beginning of a URL."""
    return text if "://" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def bars(framework: Mapping[str, Any]) -> dict[str, int]:
    """How many requirements have each result, those that wait for a word apart."""
    counts = dict(framework["counts"])
    counts["insufficient_evidence"] = counts.get("insufficient_evidence", 0) - framework["unattended"]
    counts["unattended"] = framework["unattended"]
    return counts


def setting(pointer: str) -> str:
    """A JSON pointer as people read a YAML file: `processors / audit / witness`."""
    return " / ".join(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def unattended(requirement: Mapping[str, Any]) -> bool:
    """Whether a requirement merely waits for somebody's word."""
    return bool(requirement["manual"]) and requirement["result"] == "insufficient_evidence"


def to_do(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What should be done, the most severe and most wanted first; questions with the same cause are one entry."""
    assessment = report["assessment"]
    wanted: dict[str, list[str]] = {}
    for framework in assessment["frameworks"]:
        for requirement in framework["requirements"]:
            for key in requirement["checks"]:
                wanted.setdefault(key, []).append(f"{framework['title']} {requirement['id']}")
    entries: list[dict[str, Any]] = []
    by_cause: dict[tuple[str, ...], dict[str, Any]] = {}
    for key, run in assessment["checks"].items():
        if run["result"] not in ("fail", "error", "insufficient_evidence", "warn"):
            continue
        cause = (run["result"], run["message"], run["pointer"], run["advice"])
        entry = by_cause.get(cause)
        if entry is None:
            entry = by_cause[cause] = {"key": key, **run, "titles": [], "requirements": []}
            entries.append(entry)
        if run["title"] not in entry["titles"]:
            entry["titles"].append(run["title"])
        entry["severity"] = min(entry["severity"], run["severity"], key=SEVERITY_ORDER.__getitem__)
        entry["requirements"] += [each for each in wanted.get(key, ()) if each not in entry["requirements"]]
    order = {name: number for number, name in enumerate(RESULTS)}
    entries.sort(key=lambda e: (order[e["result"]], SEVERITY_ORDER[e["severity"]], -len(e["requirements"]), e["key"]))
    return entries


def categories(framework: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The requirements of a framework by category, in its own order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for requirement in framework["requirements"]:
        groups.setdefault(requirement["category"], []).append(requirement)
    yield from groups.items()
