"""`otelwarden assess`: is everything that is required met?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from otelwarden.cli.compliance import COLOURS, actor_of, add_common, assessor_of
from otelwarden.cli.table import Style, bar, table
from otelwarden.compliance import Assessment, Assessor, FrameworkResult, Result
from otelwarden.compliance.assessment import as_document
from otelwarden.compliance.reports.words import percent, setting, to_do


def _assess(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        assessment = assessor.assess(arguments.framework or (), actor=actor_of(arguments))
        if arguments.json:
            print(json.dumps(as_document(assessment), indent=2, sort_keys=True))
        else:
            _print_assessment(assessment, assessor, verbose=arguments.verbose)
    return exit_code(assessment, tolerant=arguments.fail_on == "fail")


def exit_code(assessment: Assessment, *, tolerant: bool = False) -> int:
    """0 when everything that a machine can judge is met, else 1; when tolerant, missing evidence is no reason for 1."""
    result = assessment.result
    return 0 if result.holds or (tolerant and result is Result.INSUFFICIENT) else 1


def _print_assessment(assessment: Assessment, assessor: Assessor, *, verbose: bool) -> None:
    style = Style(sys.stdout)
    document = as_document(assessment)
    report = {"assessment": document}
    print()
    rows: list[Sequence[str]] = [("FRAMEWORK", "SCORE", "", "MET", "NOT MET", "NO EVIDENCE", "N/A", "NEEDS A WORD")]
    rows += [_framework_row(each, style) for each in assessment.frameworks]
    print(table(rows, right=(1, 3, 4, 5, 6, 7)), end="")
    entries = to_do(report)
    shown = entries if verbose else entries[:8]
    for entry in shown:
        colour = COLOURS[entry["result"]]
        print()
        print(f"{style.paint('●', colour)} {style.bold(entry['advice'] or entry['title'])}  "
              f"{style.paint(entry['result'].replace('_', ' '), colour)}, {entry['severity']}, "
              f"{len(entry['requirements'])} requirements")  # fmt: skip
        messages = [problem["message"] for problem in entry["problems"]] or [entry["message"]]
        for message in messages[:5]:
            print(f"    {message}")
        if len(messages) > 5:
            print(f"    and {len(messages) - 5} more")
        if entry["pointer"]:
            print(style.faint(f"    setting: {setting(entry['pointer'])}"))
    if len(entries) > len(shown):
        print(f"\nand {len(entries) - len(shown)} more: --verbose shows all, `otelwarden findings ls` what is open")
    print()
    evidence = document["evidence"]
    trails = ", ".join(f"{each['verdict']} ({each['records']} records)" for each in evidence["trails"]) or "none"
    sample = ", ".join(f"{count} {signal}" for signal, count in evidence["sample"].items()) or "nothing"
    configuration = f"configuration {evidence['configuration']['digest']}, {evidence['processes']} processes"
    print(style.faint(f"evidence: {configuration}, trail {trails}, sample {sample}"))
    print(style.faint(f"assessment {assessment.id}, digest {assessment.digest[:16]}, kept in {assessor.store.path}"))
    result = document["result"]
    print(f"{assessor.configuration.file}: {style.paint(result.replace('_', ' '), COLOURS.get(result, ''))}")


def _framework_row(each: FrameworkResult, style: Style) -> tuple[str, ...]:
    lacking = each.count(Result.INSUFFICIENT) - each.unattended
    failing = each.count(Result.FAIL) + each.count(Result.ERROR)
    met = each.count(Result.PASS) + each.count(Result.WARN)
    colour = "red" if failing else "blue" if lacking else "green"
    return (
        each.framework.id,
        style.paint(percent(each.score), colour),
        style.paint(bar(each.score), colour),
        str(met),
        style.paint(str(failing), "red" if failing else ""),
        style.paint(str(lacking), "blue" if lacking else ""),
        str(each.count(Result.NOT_APPLICABLE)),
        str(each.unattended),
    )


def add_commands(commands: Any) -> None:
    """Adds `assess` to the command line."""
    parser = commands.add_parser(
        "assess",
        help="assess compliance",
        description="Asks every question of the frameworks, of the configuration, the audit trail, and what running "
        "processes saw; keeps the answers. Exit code: 0 all is met, 1 something is not or lacks evidence, 2 it could "
        "not be assessed.",
    )
    add_common(parser, _assess, as_json=True)
    parser.add_argument("--framework", action="append", metavar="ID", help="only this one; may be given several times")
    parser.add_argument(
        "--fail-on", choices=("fail", "insufficient"), default="insufficient",
        help="whether missing evidence alone makes the exit code 1 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("-v", "--verbose", action="store_true", help="show everything that should be done")
