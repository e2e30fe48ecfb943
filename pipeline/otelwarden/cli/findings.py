"""`otelwarden findings`: what was found to be wrong, and what people decide about it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from otelwarden.cli.compliance import COLOURS, actor_of, add_common, assessor_of
from otelwarden.cli.table import Style, table
from otelwarden.compliance import ComplianceFinding, Decision, Status
from otelwarden.compliance.findings import EXCEPTIONS
from otelwarden.compliance.reports.words import moment, setting
from otelwarden.core import parse_duration

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_VERBS: Final = {
    "ack": (Status.ACKNOWLEDGED, "somebody has seen it"),
    "start": (Status.IN_PROGRESS, "somebody works on it"),
    "accept": (Status.ACCEPTED, "the risk is taken for a time"),
    "suppress": (Status.SUPPRESSED, "it is not to be told about for a time"),
    "false-positive": (Status.FALSE_POSITIVE, "it is not wrong; look again after a time"),
    "reopen": (Status.REOPENED, "an exception ends now"),
}


def _list_findings(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        findings = assessor.store.findings()
    if arguments.status:
        findings = [each for each in findings if each.status.value in arguments.status]
    elif not arguments.all:
        findings = [each for each in findings if each.status is not Status.RESOLVED]
    if arguments.json:
        print(json.dumps([_finding_document(each) for each in findings], indent=2))
        return 0
    if not findings:
        print("nothing was found" if arguments.all else "nothing is open")
        return 0
    style = Style(sys.stdout)
    rows: list[Sequence[str]] = [("FINDING", "SEVERITY", "STATE", "SINCE", "CHECK", "WHAT")]
    for each in findings:
        tenant = f" ({each.tenant})" if each.tenant else ""
        rows.append(
            (
                each.fingerprint[:8],
                style.paint(each.severity, COLOURS.get(each.severity, "")),
                style.paint(each.status.value.replace("_", " "), COLOURS.get(each.status.value, "")),
                moment(each.first_seen_ns)[:16],
                each.check.partition("(")[0],
                each.message + tenant,
            )
        )
    print(table(rows), end="")
    return 0


def _finding_document(finding: ComplianceFinding) -> dict[str, Any]:
    return {**asdict(finding), "status": finding.status.value}


def _show_finding(arguments: argparse.Namespace) -> int:
    with assessor_of(arguments.config) as assessor:
        finding = assessor.store.finding(arguments.finding)
        history = assessor.store.transitions(finding.fingerprint)
    if arguments.json:
        print(json.dumps({**_finding_document(finding), "history": [asdict(each) for each in history]}, indent=2))
        return 0
    style = Style(sys.stdout)
    facts = [
        ("finding", finding.fingerprint),
        ("what", finding.message),
        ("state", style.paint(finding.status.value.replace("_", " "), COLOURS.get(finding.status.value, ""))),
        ("severity", finding.severity),
        ("check", finding.check),
        ("target", finding.target),
        ("tenant", finding.tenant),
        ("what to do", finding.advice),
        ("setting", setting(finding.pointer)),
        ("wanted by", ", ".join(finding.requirements)),
        ("first seen", moment(finding.first_seen_ns)),
        ("last seen", f"{moment(finding.last_seen_ns)}, with configuration {finding.config_digest}"),
        ("exception", _exception(finding)),
    ]
    print(table([fact for fact in facts if fact[1]]), end="")
    print("\nhistory")
    print(table([(moment(each.time_ns), f"{each.before or 'new'} -> {each.after}", each.actor, each.reason)
                 for each in history]), end="")  # fmt: skip
    return 0


def _exception(finding: ComplianceFinding) -> str:
    if not finding.approver:
        return ""
    until = "until" if finding.status in EXCEPTIONS else "and it ended on"
    return f"{finding.reason}; {finding.approver} answers for it {until} {moment(finding.expires_ns)}"


def _decide(arguments: argparse.Namespace) -> int:
    status, _ = _VERBS[arguments.verb]
    expires = getattr(arguments, "expires", None)
    decision = Decision(
        status=status,
        actor=actor_of(arguments),
        reason=arguments.reason or "",
        approver=getattr(arguments, "approver", None) or "",
        expires_ns=time.time_ns() + int(parse_duration(expires) * 1e9) if expires else 0,
    )
    with assessor_of(arguments.config) as assessor:
        for prefix in arguments.findings:
            finding = assessor.store.finding(prefix)
            transition = assessor.decide(finding.fingerprint, decision)
            print(f"{transition.fingerprint}: {transition.before} -> {transition.after}")
    return 0


def add_commands(commands: Any) -> None:
    """Adds `findings` and what is under it to the command line."""
    findings = commands.add_parser("findings", help="what was found to be wrong", description="What is, or was, wrong.")
    under: Commands = findings.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = under.add_parser("ls", help="list findings", description="Lists what is not resolved.")
    add_common(listing, _list_findings, as_json=True)
    listing.add_argument("--all", action="store_true", help="resolved ones too")
    listing.add_argument("--status", action="append", choices=[each.value for each in Status], help="only these")
    show = under.add_parser("show", help="show one finding", description="Shows a finding and its history.")
    add_common(show, _show_finding, as_json=True)
    show.add_argument("finding", metavar="FINDING", help="its fingerprint, or the beginning of it")
    for verb, (status, meaning) in _VERBS.items():
        parser = under.add_parser(verb, help=meaning, description=f"Makes findings {status.value}: {meaning}.")
        add_common(parser, _decide)
        parser.set_defaults(verb=verb)
        parser.add_argument("findings", nargs="+", metavar="FINDING", help="fingerprints, or their beginnings")
        exception = verb in ("accept", "suppress", "false-positive")
        parser.add_argument("--reason", required=exception, metavar="TEXT", help="why")
        if exception:
            parser.add_argument("--approver", required=True, metavar="NAME", help="who answers for it")
            parser.add_argument("--expires", required=True, metavar="TIME", help="for how long, `90d` for instance")
