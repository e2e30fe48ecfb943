"""The report as Markdown, for a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.reports.words import WORDS, categories, moment, percent, setting, to_do, unattended

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
_SPACE: Final = re.compile(r"\s+")
_MARKS: Final[Mapping[str, str]] = {
    "pass": "✅",
    "warn": "⚠️",
    "fail": "❌",
    "insufficient_evidence": "❔",
    "not_applicable": "➖",
    "error": "💥",
}


def escaped(text: str) -> str:
    """A text that means nothing to Markdown or HTML, on one line."""
    return _SPECIAL.sub(r"\\\1", _SPACE.sub(" ", str(text)))


def _code(text: str) -> str:
    return "`" + " ".join(str(text).split()).replace("`", "'") + "`"


def _with_code(text: str) -> str:
    """A text of ours, in which backticks mean code."""
    parts = text.split("`")
    return "".join(_code(part) if number % 2 else escaped(part) for number, part in enumerate(parts))


def markdown_report(report: Mapping[str, Any]) -> str:
    """The report as Markdown (CommonMark with tables)."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    assessment = report["assessment"]
    evidence = assessment["evidence"]
    yield "# Compliance of telemetry"
    yield ""
    yield f"Assessed {moment(assessment['time_ns'])}: **{WORDS[assessment['result']]}**. "
    yield (
        f"Assessment {_code(assessment['id'])}, configuration {_code(evidence['configuration']['digest'])}, "
        f"digest {_code(assessment['digest'])}."
    )
    yield from _overview(assessment)
    yield from _advice(report)
    for framework in assessment["frameworks"]:
        yield from _framework(framework, assessment["checks"])
    yield from _findings(report["findings"])
    yield from _evidence(evidence)
    yield ""
    yield "A mapping of what telemetry can show; no legal advice, and no certificate."


def _overview(assessment: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "| framework | score | passes | fails | lacks evidence | does not apply | waits for a word |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for each in assessment["frameworks"]:
        counts = each["counts"]
        holds = counts.get("pass", 0) + counts.get("warn", 0)
        fails = counts.get("fail", 0) + counts.get("error", 0)
        lacking = counts.get("insufficient_evidence", 0) - each["unattended"]
        cells = (holds, fails, lacking, counts.get("not_applicable", 0), each["unattended"])
        yield f"| {escaped(each['title'])} | {percent(each['score'])} | {' | '.join(map(str, cells))} |"


def _advice(report: Mapping[str, Any]) -> Iterator[str]:
    entries = to_do(report)
    if not entries:
        return
    yield ""
    yield "## What to do"
    yield ""
    for entry in entries:
        where = f" Setting: {_code(setting(entry['pointer']))}." if entry["pointer"] else ""
        mark = _MARKS[entry["result"]]
        yield (
            f"- {mark} **{_with_code(entry['advice'] or entry['title'])}** ({entry['severity']}, "
            f"{len(entry['requirements'])} requirements): {escaped(entry['message'])}.{where}"
        )


def _framework(framework: Mapping[str, Any], checks: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"## {escaped(framework['title'])} {escaped(framework['version'])}: {percent(framework['score'])}"
    for category, requirements in categories(framework):
        yield ""
        yield f"### {escaped(category)}"
        yield ""
        yield "| | id | requirement | severity | why |"
        yield "|---|---|---|---|---|"
        for each in requirements:
            if unattended(each):
                why = "somebody must say whether it is met"
            else:
                worst = [key for key in each["checks"] if checks[key]["result"] == each["result"]]
                why = "; ".join(checks[key]["message"] for key in worst) or "by the word of people"
            yield (
                f"| {_MARKS[each['result']]} | {escaped(each['id'])} | {escaped(each['title'])} | "
                f"{each['severity']} | {escaped(why)} |"
            )


def _findings(findings: list[Mapping[str, Any]]) -> Iterator[str]:
    if not findings:
        return
    yield ""
    yield "## Findings"
    yield ""
    yield "| finding | severity | state | since | what |"
    yield "|---|---|---|---|---|"
    for each in findings:
        yield (
            f"| {_code(each['fingerprint'])} | {each['severity']} | {escaped(each['status'])} | "
            f"{moment(each['first_seen_ns'])} | {escaped(each['message'])} |"
        )


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "## Evidence"
    yield ""
    yield f"- configuration {_code(evidence['configuration']['digest'])}"
    yield f"- {evidence['processes']} processes that run, or ran within a day, with it"
    sample = ", ".join(f"{count} {signal}" for signal, count in evidence["sample"].items())
    yield f"- sample of what left: {sample or 'none'}"
    for trail in evidence["trails"]:
        yield f"- audit trail {_code(trail['name'])}: {trail['verdict']}, {trail['records']} records"
        for stream in trail["streams"]:
            yield f"  - {_code(stream['stream'])}: {stream['sealed']} sealed, root {_code(stream['root'])}"
