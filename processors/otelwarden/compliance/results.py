"""What a check answers, and what many answers come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from otelwarden.core import Signal

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]

SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
"""From the least to the most severe."""

WEIGHTS: Final[Mapping[str, int]] = {"low": 1, "medium": 2, "high": 4, "critical": 8}
"""What a requirement of each severity weighs in a score."""


class Result(Enum):
    """The answer of a check, and of a requirement."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    """It holds, with something to look at."""
    FAIL = "fail"
    INSUFFICIENT = "insufficient_evidence"
    """Nothing shows that it holds, and nothing shows that it does not. Never counted as a pass."""
    NOT_APPLICABLE = "not_applicable"
    ERROR = "error"
    """The check itself failed."""

    @property
    def holds(self) -> bool:
        """Whether nothing needs to be done."""
        return self in (Result.PASS, Result.WARN, Result.NOT_APPLICABLE)


_WORST_FIRST: Final = (Result.FAIL, Result.ERROR, Result.INSUFFICIENT, Result.WARN, Result.PASS, Result.NOT_APPLICABLE)


def combine(results: Iterable[Result]) -> Result:
    """What several answers come to: the worst; a pass outweighs what does not apply; nothing at all is no evidence."""
    found = set(results)
    return next((each for each in _WORST_FIRST if each in found), Result.INSUFFICIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong. Carries names, counts and places, never a value of telemetry."""

    target: str
    """What it is wrong with: an endpoint, a pipeline, a kind of data. With check and tenant it names a finding."""
    message: str
    """One sentence without a full stop."""
    pointer: str = ""
    """The setting to change, as a JSON pointer into the configuration; empty when no setting would help."""
    signal: Signal | None = None
    """The signal it is about; None for all."""
    tenant: str = ""
    """The tenant it is about; empty for all."""
    advice: str = ""
    """What to do about it; empty for what the check advises."""


NOTHING_OBSERVED: Final[Mapping[str, int | str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check found."""

    result: Result
    message: str
    """One sentence without a full stop."""
    problems: tuple[Problem, ...] = ()
    """At least one where the result is `fail` or `warn`."""
    observed: Mapping[str, int | str] = field(default_factory=dict)
    """What was looked at: names and counts."""


def absent(kind: str) -> Problem:
    """There is no component of this type that could do what is expected of it."""
    return Problem(
        target=kind,
        message=f"there is no {kind}",
        pointer=f"/processors/{kind}",
        advice=f"Add `{kind}` to the processors of every pipeline",
    )


def passed(message: str, **observed: int | str) -> Outcome:
    """It holds."""
    return Outcome(result=Result.PASS, message=message, observed=observed)


def failed(
    problems: Iterable[Problem], *, result: Result = Result.FAIL, observed: Mapping[str, int | str] = NOTHING_OBSERVED
) -> Outcome:
    """It does not hold, for each of the problems, of which there is at least one."""
    found = tuple(problems)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Outcome(result=result, message=found[0].message + more, problems=found, observed=observed)


def judged(problems: Iterable[Problem], message: str, **observed: int | str) -> Outcome:
    """Failed when there are problems, else passed with `message`."""
    found = tuple(problems)
    return failed(found, observed=observed) if found else passed(message, **observed)


def insufficient(message: str, **observed: int | str) -> Outcome:
    """Nothing shows it."""
    return Outcome(result=Result.INSUFFICIENT, message=message, observed=observed)


def not_applicable(message: str) -> Outcome:
    """There is nothing that it could be about."""
    return Outcome(result=Result.NOT_APPLICABLE, message=message)
