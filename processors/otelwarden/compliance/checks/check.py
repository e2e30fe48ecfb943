"""What a check is, and how one is run: nothing it does or raises ends an assessment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Result, insufficient

Source: TypeAlias = Literal["configuration", "trail", "sample", "counters", "history"]
Judge: TypeAlias = Callable[[Evidence, Mapping[str, Any]], Outcome]
"""Given the evidence and the parameters of the requirement, answers what is to be said."""

LIVE: Final[tuple[Source, ...]] = ("configuration", "sample", "counters")
"""Sources that a running process has at hand, without reading a trail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question that can be answered from evidence."""

    id: str
    """`subject.what-must-hold`, lower case."""
    title: str
    """What holds when it passes, as a sentence without a full stop."""
    source: Source
    """Where the evidence comes from."""
    advice: str
    """What to do when it fails, as a sentence without a full stop."""
    judge: Judge
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Names of the parameters that a requirement gives -> what they mean. All of them must be given."""
    pointer: str = ""
    """The setting that decides, as a JSON pointer; problems name a more exact one where they can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """A check that was run."""

    check: Check
    parameters: Mapping[str, Any]
    outcome: Outcome

    @property
    def key(self) -> str:
        """Names the question: the check and its parameters."""
        return run_key(self.check.id, self.parameters)


def run_key(check: str, parameters: Mapping[str, Any]) -> str:
    """Names a question: the check and its parameters, `attestation.current(control=restore-drill, within=365d)`."""
    if not parameters:
        return check
    return f"{check}({', '.join(f'{name}={parameters[name]}' for name in sorted(parameters))})"


def run(check: Check, evidence: Evidence, parameters: Mapping[str, Any]) -> CheckRun:
    """Asks one question. What the check raises is an `error`, told by its type alone: its text may hold anything."""
    try:
        outcome = _judge(check, evidence, parameters)
    except Exception as error:
        outcome = Outcome(result=Result.ERROR, message=f"the check raised {type(error).__name__}")
    return CheckRun(check=check, parameters=parameters, outcome=outcome)


def _judge(check: Check, evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    if check.source == "trail" and not evidence.trails:
        return insufficient("no audit trail could be read")
    if check.source in ("counters", "sample") and not evidence.snapshots:
        return insufficient("no process has shown what it saw within a day, with this configuration")
    outcome = check.judge(evidence, parameters)
    if check.source == "configuration" and outcome.result is Result.PASS and not evidence.in_force:
        # A file says what is meant, not what is done.
        return insufficient("the file says so, but nothing shows that a process ran with it")
    return outcome
