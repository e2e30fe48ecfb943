"""`otelwarden assess|findings|controls|approve|report`: compliance, for people."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otelwarden.audit import AuditConfig, AuditTrail
from otelwarden.cli.table import Style, bar, table
from otelwarden.compliance import (
    FORMATS,
    Assessment,
    Assessor,
    ComplianceConfig,
    ComplianceFinding,
    Decision,
    FrameworkResult,
    Result,
    Status,
    render_report,
)
from otelwarden.compliance.assessment import as_document
from otelwarden.compliance.findings import EXCEPTIONS
from otelwarden.compliance.reports.words import moment, percent, setting, to_do
from otelwarden.core import ConfigError, Fault, GovernanceEvent, Runtime, parse_duration
from otelwarden.pipeline import Settings, load_settings
from otelwarden.pipeline.compliance import audits_of, open_assessor

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_COLOURS: Final = {
    "pass": "green", "warn": "yellow", "fail": "red", "error": "magenta", "insufficient_evidence": "blue",
    "open": "red", "reopened": "red", "acknowledged": "yellow", "in_progress": "yellow", "resolved": "green",
    "critical": "red", "high": "yellow",
}  # fmt: skip

_VERBS: Final = {
    "ack": (Status.ACKNOWLEDGED, "somebody has seen it"),
    "start": (Status.IN_PROGRESS, "somebody works on it"),
    "accept": (Status.ACCEPTED, "the risk is taken for a time"),
    "suppress": (Status.SUPPRESSED, "it is not to be told about for a time"),
    "false-positive": (Status.FALSE_POSITIVE, "it is not wrong; look again after a time"),
    "reopen": (Status.REOPENED, "an exception ends now"),
}


def _settings(file: Path) -> tuple[Settings, ComplianceConfig]:
    settings = load_settings(file)
    if settings.compliance is None:
        fault = Fault(file=os.fspath(file), message="nothing is to be assessed", allowed="a section `compliance`")
        raise ConfigError([fault])
    return settings, settings.compliance


@contextlib.contextmanager
def _assessor(file: Path) -> Iterator[Assessor]:
    """An assessor from outside of the service; its decisions are written into the trail, as a stream of their own."""
    settings, config = _settings(file)
    runtime = Runtime()
    # Opened at the first decision: an assessment that changes nothing writes nothing.
    recorders = [_LazyTrail(each, runtime) for each in audits_of(settings)]
    try:
        yield open_assessor(settings, config, runtime=runtime, recorders=recorders)
    finally:
        for recorder in recorders:
            recorder.close()


class _LazyTrail:
    """Records decisions in a trail that is opened with the first."""

    def __init__(self, config: AuditConfig, runtime: Runtime) -> None:
        self._config = config
        self._runtime = runtime
        self._trail: AuditTrail | None = None
        self._warned = False

    def append_sync(self, event: GovernanceEvent, *, actor: str = "") -> bool:
        """Writes a decision; a trail that cannot be written is said so, once."""
        done = False
        with contextlib.suppress(ConfigError):
            if self._trail is None:
                self._trail = AuditTrail.from_config(self._config, runtime=self._runtime)
            done = self._trail.append_sync(event, actor=actor)
        if not done and not self._warned:
            self._warned = True
            print("otelwarden: the decision could not be written into the audit trail", file=sys.stderr)
        return done

    def close(self) -> None:
        """Ends the stream, if there is one."""
        if self._trail is not None:
            self._trail.close()


# --- assess


def _assess(arguments: argparse.Namespace) -> int:
    with _assessor(arguments.config) as assessor:
        assessment = assessor.assess(arguments.framework or (), actor=_actor(arguments))
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
        colour = _COLOURS[entry["result"]]
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
    print(f"{assessor.configuration.file}: {style.paint(result.replace('_', ' '), _COLOURS.get(result, ''))}")


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


# --- findings


def _list_findings(arguments: argparse.Namespace) -> int:
    with _assessor(arguments.config) as assessor:
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
                style.paint(each.severity, _COLOURS.get(each.severity, "")),
                style.paint(each.status.value.replace("_", " "), _COLOURS.get(each.status.value, "")),
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
    with _assessor(arguments.config) as assessor:
        finding = assessor.store.finding(arguments.finding)
        history = assessor.store.transitions(finding.fingerprint)
    if arguments.json:
        print(json.dumps({**_finding_document(finding), "history": [asdict(each) for each in history]}, indent=2))
        return 0
    style = Style(sys.stdout)
    facts = [
        ("finding", finding.fingerprint),
        ("what", finding.message),
        ("state", style.paint(finding.status.value.replace("_", " "), _COLOURS.get(finding.status.value, ""))),
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
        actor=_actor(arguments),
        reason=arguments.reason or "",
        approver=getattr(arguments, "approver", None) or "",
        expires_ns=time.time_ns() + int(parse_duration(expires) * 1e9) if expires else 0,
    )
    with _assessor(arguments.config) as assessor:
        for prefix in arguments.findings:
            finding = assessor.store.finding(prefix)
            transition = assessor.decide(finding.fingerprint, decision)
            print(f"{transition.fingerprint}: {transition.before} -> {transition.after}")
    return 0


# --- controls and approvals


def _list_controls(arguments: argparse.Namespace) -> int:
    with _assessor(arguments.config) as assessor:
        known, said = assessor.controls(), assessor.store.controls()
    if arguments.json:
        print(json.dumps({name: {"title": control.title, **(said[name]._asdict() if name in said else {})}
                          for name, control in known.items()}, indent=2))  # fmt: skip
        return 0
    rows: list[Sequence[str]] = [("CONTROL", "STATUS", "SAID BY", "SINCE", "WHAT IT IS")]
    for name, control in known.items():
        state = said.get(name)
        word = (state.status, state.actor, moment(state.time_ns)[:16]) if state is not None else ("-", "", "")
        rows.append((name, *word, control.title))
    print(table(rows), end="")
    return 0


def _set_control(arguments: argparse.Namespace) -> int:
    with _assessor(arguments.config) as assessor:
        assessor.set_control(
            arguments.control, arguments.status, evidence=arguments.evidence or "", actor=_actor(arguments)
        )
    print(f"{arguments.control}: {arguments.status}")
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    with _assessor(arguments.config) as assessor:
        approval = assessor.approve(
            author=arguments.author, approver=_actor(arguments), reference=arguments.reference or ""
        )
    print(f"{arguments.config}: configuration {approval.digest} is approved")
    return 0


# --- report


def _report(arguments: argparse.Namespace) -> int:
    with _assessor(arguments.config) as assessor:
        text = render_report(assessor.store, arguments.format, assessment=arguments.assessment)
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [Fault(file=str(arguments.output), message=f"cannot be written: {error.strerror}")]
        ) from error
    print(arguments.output)
    return 0


def _actor(arguments: argparse.Namespace) -> str:
    try:
        return arguments.by or f"user:{getpass.getuser()}"
    except (KeyError, OSError):  # a container without users
        return f"user:{os.getuid()}"


def add_compliance_commands(commands: Any) -> None:
    """Adds what is about compliance to the command line."""
    _add_assess(commands)
    _add_findings(commands)
    _add_controls(commands)
    approve = commands.add_parser(
        "approve",
        help="record that somebody approved a configuration",
        description="Records in the audit trail that the configuration, as it stands now, was approved by another than "
        "its author.",
    )
    _common(approve, _approve)
    approve.add_argument("--author", required=True, metavar="NAME", help="who wrote it")
    approve.add_argument("--reference", metavar="TEXT", help="where the approval is filed, a ticket for instance")
    report = commands.add_parser(
        "report",
        help="write the report of an assessment",
        description="Writes the report of the latest assessment, or of another one.",
    )
    _common(report, _report)
    report.add_argument("--format", choices=FORMATS, default="html", help="(default: %(default)s)")
    report.add_argument("--assessment", metavar="ID", help="of the assessment (default: the latest)")
    report.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: standard output)")


def _common(parser: argparse.ArgumentParser, run: Any, *, as_json: bool = False) -> None:
    parser.set_defaults(run=run)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="configuration file of the service")
    parser.add_argument("--by", metavar="NAME", help="who does this, for the audit trail (default: the user)")
    if as_json:
        parser.add_argument("--json", action="store_true", help="print it as JSON")


def _add_assess(commands: Any) -> None:
    parser = commands.add_parser(
        "assess",
        help="assess compliance",
        description="Asks every question of the frameworks, of the configuration, the audit trail, and what running "
        "processes saw; keeps the answers. Exit code: 0 all is met, 1 something is not or lacks evidence, 2 it could "
        "not be assessed.",
    )
    _common(parser, _assess, as_json=True)
    parser.add_argument("--framework", action="append", metavar="ID", help="only this one; may be given several times")
    parser.add_argument(
        "--fail-on", choices=("fail", "insufficient"), default="insufficient",
        help="whether missing evidence alone makes the exit code 1 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("-v", "--verbose", action="store_true", help="show everything that should be done")


def _add_findings(commands: Any) -> None:
    findings = commands.add_parser("findings", help="what was found to be wrong", description="What is, or was, wrong.")
    under: Commands = findings.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = under.add_parser("ls", help="list findings", description="Lists what is not resolved.")
    _common(listing, _list_findings, as_json=True)
    listing.add_argument("--all", action="store_true", help="resolved ones too")
    listing.add_argument("--status", action="append", choices=[each.value for each in Status], help="only these")
    show = under.add_parser("show", help="show one finding", description="Shows a finding and its history.")
    _common(show, _show_finding, as_json=True)
    show.add_argument("finding", metavar="FINDING", help="its fingerprint, or the beginning of it")
    for verb, (status, meaning) in _VERBS.items():
        parser = under.add_parser(verb, help=meaning, description=f"Makes findings {status.value}: {meaning}.")
        _common(parser, _decide)
        parser.set_defaults(verb=verb)
        parser.add_argument("findings", nargs="+", metavar="FINDING", help="fingerprints, or their beginnings")
        exception = verb in ("accept", "suppress", "false-positive")
        parser.add_argument("--reason", required=exception, metavar="TEXT", help="why")
        if exception:
            parser.add_argument("--approver", required=True, metavar="NAME", help="who answers for it")
            parser.add_argument("--expires", required=True, metavar="TIME", help="for how long, `90d` for instance")


def _add_controls(commands: Any) -> None:
    controls = commands.add_parser("controls", help="what people say of controls", description="States of controls.")
    under: Commands = controls.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = under.add_parser("ls", help="list controls", description="Lists every control and what was said of it.")
    _common(listing, _list_controls, as_json=True)
    setting_ = under.add_parser(
        "set",
        help="say how far a control is implemented",
        description="Keeps what somebody says of a control, and records it in the audit trail.",
    )
    _common(setting_, _set_control)
    setting_.add_argument("control", metavar="CONTROL", help="id of the control")
    setting_.add_argument("status", choices=("not", "partially", "fully", "verified"))
    setting_.add_argument("--evidence", metavar="TEXT", help="where it can be seen; needed for `verified`")
