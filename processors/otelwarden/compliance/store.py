"""Where findings, assessments, approvals and the states of controls are kept: one SQLite file, shared by processes."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from otelwarden.compliance.assessment import Assessment, as_document
from otelwarden.compliance.facts import Approval, ControlState, History, OpenFinding
from otelwarden.compliance.findings import (
    EXCEPTIONS,
    ComplianceFinding,
    Decision,
    Refused,
    Status,
    Transition,
    fingerprint_of,
)
from otelwarden.compliance.results import Result
from otelwarden.core import ConfigError, Fault

FILE: Final = "findings.sqlite"
VERSION: Final = 1
KEPT_ASSESSMENTS: Final = 400
"""Whole assessments that are kept; a daily one for more than a year."""

CONTROL_STATUSES: Final = ("not", "partially", "fully", "verified")
"""How far a control is implemented."""

_TABLES: Final = """
CREATE TABLE findings (
    fingerprint TEXT PRIMARY KEY, check_key TEXT NOT NULL, target TEXT NOT NULL, tenant TEXT NOT NULL,
    severity TEXT NOT NULL, status TEXT NOT NULL, result TEXT NOT NULL, message TEXT NOT NULL, advice TEXT NOT NULL,
    pointer TEXT NOT NULL, requirements TEXT NOT NULL, first_seen_ns INTEGER NOT NULL, last_seen_ns INTEGER NOT NULL,
    config_digest TEXT NOT NULL, assessment TEXT NOT NULL, approver TEXT NOT NULL, reason TEXT NOT NULL,
    expires_ns INTEGER NOT NULL
);
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, check_key TEXT NOT NULL, tenant TEXT NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, time_ns INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX transitions_of ON transitions (fingerprint);
CREATE TABLE assessments (
    id TEXT PRIMARY KEY, time_ns INTEGER NOT NULL, result TEXT NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL
);
CREATE INDEX assessments_by_time ON assessments (time_ns);
CREATE TABLE controls (
    control TEXT PRIMARY KEY, status TEXT NOT NULL, evidence TEXT NOT NULL, actor TEXT NOT NULL,
    time_ns INTEGER NOT NULL
);
CREATE TABLE approvals (
    digest TEXT PRIMARY KEY, author TEXT NOT NULL, approver TEXT NOT NULL, reference TEXT NOT NULL,
    time_ns INTEGER NOT NULL
);
"""

_FINDING: Final = (
    "fingerprint, check_key, target, tenant, severity, status, result, message, advice, pointer, requirements, "
    "first_seen_ns, last_seen_ns, config_digest, assessment, approver, reason, expires_ns"
)


class FindingStore:
    """The file in a directory; made when it is missing. A connection lives for one call, so a fork does no harm.

    Args:
        directory: where the file is.

    Raises:
        ConfigError: the file cannot be opened, or is none of ours.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = Path(directory) / FILE
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._create(connection)
            elif version != VERSION:
                message = "a store of another version"
                raise ConfigError([Fault(file=os.fspath(self.path), message=message, given=version)])

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return  # another process has made them meanwhile
        for statement in _TABLES.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection with one transaction, which holds the lock of the file from its beginning."""
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
            try:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            message = f"the findings cannot be read or written: {error}"
            raise ConfigError([Fault(file=os.fspath(self.path), message=message)]) from error

    # --- assessments

    def record(self, assessment: Assessment, *, whole: bool = True) -> list[Transition]:
        """Takes over what an assessment found; answers what changed by that.

        Args:
            whole: whether every question was asked; only then the assessment itself is kept.
        """
        with self._connection() as connection:
            transitions = list(_Taking(connection, assessment).take())
            if whole:
                document = json.dumps(as_document(assessment), ensure_ascii=True)
                connection.execute(
                    "INSERT INTO assessments VALUES (?, ?, ?, ?, ?)",
                    (assessment.id, assessment.time_ns, assessment.result.value, assessment.digest, document),
                )
                kept = "SELECT id FROM assessments ORDER BY time_ns DESC LIMIT ?"
                connection.execute(f"DELETE FROM assessments WHERE id NOT IN ({kept})", (KEPT_ASSESSMENTS,))  # noqa: S608
        return transitions

    def assessment(self, id: str | None = None) -> dict[str, Any] | None:
        """An assessment as plain data; None for the latest. None when there is no such."""
        where, values = ("WHERE id = ?", (id,)) if id is not None else ("", ())
        with self._connection() as connection:
            query = f"SELECT document FROM assessments {where} ORDER BY time_ns DESC LIMIT 1"  # noqa: S608
            row = connection.execute(query, values).fetchone()
        return json.loads(row[0]) if row is not None else None

    def trends(self, until_ns: int, limit: int = 60) -> list[tuple[int, dict[str, float | None]]]:
        """When the latest assessments were made, oldest first, and the score of each framework."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT time_ns, document FROM assessments WHERE time_ns <= ? ORDER BY time_ns DESC LIMIT ?",
                (until_ns, limit),
            ).fetchall()
        return [
            (time_ns, {each["id"]: each["score"] for each in json.loads(document)["frameworks"]})
            for time_ns, document in reversed(rows)
        ]

    def history(self) -> History:
        """What checks may know of earlier decisions."""
        with self._connection() as connection:
            assessed = connection.execute("SELECT max(time_ns) FROM assessments").fetchone()[0]
            findings = connection.execute(
                "SELECT fingerprint, check_key, status, first_seen_ns, expires_ns FROM findings WHERE status != ?",
                (Status.RESOLVED.value,),
            ).fetchall()
            return History(
                assessed_ns=assessed or 0,
                findings=tuple(OpenFinding(*row) for row in findings),
                controls=self._controls(connection),
                approvals={
                    row[0]: Approval(*row)
                    for row in connection.execute("SELECT digest, author, approver, reference, time_ns FROM approvals")
                },
            )

    # --- findings

    def findings(self) -> list[ComplianceFinding]:
        """Every finding: what is not settled first, the most severe and the oldest of those first."""
        with self._connection() as connection:
            rows = connection.execute(f"SELECT {_FINDING} FROM findings").fetchall()  # noqa: S608
        order = {"critical": 0, "high": 1, "medium": 2, "low": 3}
        found = [_finding(row) for row in rows]
        settled = EXCEPTIONS | {Status.RESOLVED}
        return sorted(found, key=lambda f: (f.status in settled, order[f.severity], f.first_seen_ns, f.fingerprint))

    def finding(self, prefix: str) -> ComplianceFinding:
        """The finding whose fingerprint begins so. Raises Refused when there is none, or more than one."""
        found = [each for each in self.findings() if each.fingerprint.startswith(prefix)]
        if len(found) != 1 or not prefix:
            raise Refused(f"{len(found) if prefix else 'not one'} of the findings has a fingerprint like {prefix!r}")
        return found[0]

    def transitions(self, fingerprint: str) -> list[Transition]:
        """What became of a finding so far, in order."""
        query = "SELECT fingerprint, check_key, tenant, before, after, time_ns, actor, reason FROM transitions"
        with self._connection() as connection:
            rows = connection.execute(f"{query} WHERE fingerprint = ? ORDER BY id", (fingerprint,)).fetchall()
        names = ("fingerprint", "check", "tenant", "before", "after", "time_ns", "actor", "reason")
        return [Transition(**dict(zip(names, row, strict=True))) for row in rows]

    def decide(self, fingerprint: str, decision: Decision, *, now_ns: int) -> Transition:
        """Makes of a finding what a person decides.

        Raises:
            Refused: it is not allowed; nothing has changed then.
        """
        finding = self.finding(fingerprint)
        with self._connection() as connection:
            row = connection.execute(
                "SELECT status FROM findings WHERE fingerprint = ?", (finding.fingerprint,)
            ).fetchone()
            current = Status(row[0])
            decision.check(current, now_ns)
            exception = decision.status in EXCEPTIONS
            transition = Transition(
                fingerprint=finding.fingerprint,
                check=finding.check,
                tenant=finding.tenant,
                before=current.value,
                after=decision.status.value,
                time_ns=now_ns,
                actor=decision.actor,
                reason=decision.reason,
            )
            connection.execute(
                "UPDATE findings SET status = ?, approver = ?, reason = ?, expires_ns = ? WHERE fingerprint = ?",
                (
                    decision.status.value,
                    decision.approver if exception else "",
                    decision.reason if exception else "",
                    decision.expires_ns if exception else 0,
                    finding.fingerprint,
                ),
            )
            _write(connection, transition)
        return transition

    # --- controls and approvals

    def set_control(self, control: str, state: ControlState) -> None:
        """Keeps what somebody says of a control. Raises Refused for what cannot be."""
        if state.status not in CONTROL_STATUSES:
            raise Refused(f"a control cannot be {state.status!r}; allowed: {', '.join(CONTROL_STATUSES)}")
        if not state.actor.strip():
            raise Refused("somebody must say it")
        if state.status == "verified" and not state.evidence.strip():
            raise Refused("`verified` needs evidence: where it can be seen")
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO controls VALUES (?, ?, ?, ?, ?)", (control, *state))

    def controls(self) -> dict[str, ControlState]:
        """What was said of controls, by id."""
        with self._connection() as connection:
            return self._controls(connection)

    @staticmethod
    def _controls(connection: sqlite3.Connection) -> dict[str, ControlState]:
        rows = connection.execute("SELECT control, status, evidence, actor, time_ns FROM controls ORDER BY control")
        return {row[0]: ControlState(*row[1:]) for row in rows}

    def approve(self, approval: Approval) -> None:
        """Keeps an approval. Raises Refused when author and approver are one, or somebody is missing."""
        if not approval.author.strip() or not approval.approver.strip():
            raise Refused("an approval needs the author of the configuration, and an approver")
        if approval.author.strip().casefold() == approval.approver.strip().casefold():
            raise Refused("nobody approves a configuration of their own")
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO approvals VALUES (?, ?, ?, ?, ?)", approval)


class _Taking:
    """Takes over one assessment: every finding that it sees, and every one that it does not see any more."""

    def __init__(self, connection: sqlite3.Connection, assessment: Assessment) -> None:
        self._connection = connection
        self._assessment = assessment
        self._now_ns = assessment.time_ns
        self._digest = str(assessment.evidence["configuration"]["digest"])
        rows = connection.execute(f"SELECT {_FINDING} FROM findings")  # noqa: S608
        self._known: Mapping[str, ComplianceFinding] = {row[0]: _finding(row) for row in rows}

    def take(self) -> Iterator[Transition]:
        seen = dict(self._seen())
        for fingerprint, finding in seen.items():
            known = self._known.get(fingerprint)
            if known is None:
                yield from self._keep(finding, "")
                continue
            again = replace(
                finding,
                status=known.status,
                first_seen_ns=known.first_seen_ns,
                approver=known.approver,
                reason=known.reason,
                expires_ns=known.expires_ns,
            )
            ended = known.status in EXCEPTIONS and known.expires_ns <= self._now_ns
            if known.status is Status.RESOLVED or ended:
                # An exception that ended stays on record until somebody decides again.
                again = replace(again, status=Status.REOPENED)
            yield from self._keep(again, known.status.value)
        passed = {
            key
            for key, run in self._assessment.runs.items()
            if run.outcome.result in (Result.PASS, Result.WARN, Result.FAIL)
        }
        for fingerprint, known in self._known.items():
            if fingerprint not in seen and known.check in passed and known.status is not Status.RESOLVED:
                gone = replace(known, status=Status.RESOLVED, approver="", reason="", expires_ns=0)
                yield from self._keep(gone, known.status.value)

    def _seen(self) -> Iterator[tuple[str, ComplianceFinding]]:
        for key, run in self._assessment.runs.items():
            if run.outcome.result not in (Result.FAIL, Result.WARN):
                continue
            severity = self._assessment.severity_of(key)
            requirements = tuple(sorted("/".join(each) for each in self._assessment.requirements_of(key)))
            for problem in run.outcome.problems:
                fingerprint = fingerprint_of(key, problem.target, problem.tenant)
                yield (
                    fingerprint,
                    ComplianceFinding(
                        fingerprint=fingerprint,
                        check=key,
                        target=problem.target,
                        tenant=problem.tenant,
                        severity=severity,
                        status=Status.OPEN,
                        result=run.outcome.result.value,
                        message=problem.message,
                        advice=problem.advice or run.check.advice,
                        pointer=problem.pointer or run.check.pointer,
                        requirements=requirements,
                        first_seen_ns=self._now_ns,
                        last_seen_ns=self._now_ns,
                        config_digest=self._digest,
                        assessment=self._assessment.id,
                    ),
                )

    def _keep(self, finding: ComplianceFinding, before: str) -> Iterator[Transition]:
        self._connection.execute(
            f"INSERT OR REPLACE INTO findings ({_FINDING}) VALUES ({', '.join('?' * 18)})",  # noqa: S608
            _row(finding),
        )
        if finding.status.value != before:
            transition = Transition(
                fingerprint=finding.fingerprint,
                check=finding.check,
                tenant=finding.tenant,
                before=before,
                after=finding.status.value,
                time_ns=self._now_ns,
                actor="",
                reason=f"assessment {self._assessment.id}",
            )
            _write(self._connection, transition)
            yield transition


def _write(connection: sqlite3.Connection, transition: Transition) -> None:
    connection.execute(
        "INSERT INTO transitions (fingerprint, check_key, tenant, before, after, time_ns, actor, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            transition.fingerprint,
            transition.check,
            transition.tenant,
            transition.before,
            transition.after,
            transition.time_ns,
            transition.actor,
            transition.reason,
        ),
    )


def _row(finding: ComplianceFinding) -> tuple[Any, ...]:
    return (
        finding.fingerprint,
        finding.check,
        finding.target,
        finding.tenant,
        finding.severity,
        finding.status.value,
        finding.result,
        finding.message,
        finding.advice,
        finding.pointer,
        json.dumps(finding.requirements),
        finding.first_seen_ns,
        finding.last_seen_ns,
        finding.config_digest,
        finding.assessment,
        finding.approver,
        finding.reason,
        finding.expires_ns,
    )


def _finding(row: tuple[Any, ...]) -> ComplianceFinding:
    names = (name.strip() for name in _FINDING.replace("check_key", "check").split(","))
    values = dict(zip(names, row, strict=True))
    values["status"] = Status(values["status"])
    values["requirements"] = tuple(json.loads(values["requirements"]))
    return ComplianceFinding(**values)
