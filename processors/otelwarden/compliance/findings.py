"""Findings: what is wrong, from the day it is first seen until it is gone; and who may say what about it.

open -> acknowledged <-> in_progress            a person works on it
any of these -> suppressed | accepted | false_positive, with an approver, a reason and an end
those -> reopened                               by a person, or when their end has come and it is still wrong
anything -> resolved                            only by an assessment in which it is not wrong any more
resolved -> reopened                            by an assessment in which it is wrong again
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from otelwarden.compliance.results import Severity
from otelwarden.core import OtelwardenError

MAX_EXCEPTION: Final = 366 * 86_400.0
"""Seconds for which an exception may last at most: whoever decides must decide again within about a year."""


class Refused(OtelwardenError):
    """Raised when a decision is not allowed: by the life cycle, or because something is missing from it."""


class Status(Enum):
    """Where a finding is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "in_progress"
    SUPPRESSED = "suppressed"
    """Not to be told about for a time."""
    ACCEPTED = "accepted"
    """The risk is taken for a time."""
    FALSE_POSITIVE = "false_positive"
    """It is not wrong; looked at again after a time."""
    RESOLVED = "resolved"
    REOPENED = "reopened"


EXCEPTIONS: Final = frozenset({Status.SUPPRESSED, Status.ACCEPTED, Status.FALSE_POSITIVE})
"""States that need an approver, a reason and an end."""

_WORKED_ON: Final = frozenset({Status.ACKNOWLEDGED, Status.IN_PROGRESS})

ALLOWED: Final[Mapping[Status, frozenset[Status]]] = {
    Status.OPEN: _WORKED_ON | EXCEPTIONS,
    Status.REOPENED: _WORKED_ON | EXCEPTIONS,
    Status.ACKNOWLEDGED: frozenset({Status.IN_PROGRESS}) | EXCEPTIONS,
    Status.IN_PROGRESS: frozenset({Status.ACKNOWLEDGED}) | EXCEPTIONS,
    Status.SUPPRESSED: frozenset({Status.REOPENED}),
    Status.ACCEPTED: frozenset({Status.REOPENED}),
    Status.FALSE_POSITIVE: frozenset({Status.REOPENED}),
    Status.RESOLVED: frozenset(),
}
"""What a person may make of a finding. Only an assessment makes it `resolved`, or takes that back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplianceFinding:
    """One thing that is, or was, wrong."""

    fingerprint: str
    """16 hexadecimal digits; the same for the same check, target and tenant, whenever it is seen."""
    check: str
    """The question, with its parameters."""
    target: str
    tenant: str
    severity: Severity
    status: Status
    result: str
    """`fail` or `warn`, as it was last seen."""
    message: str
    advice: str
    pointer: str
    """The setting to change, as a JSON pointer into the configuration; empty when none would help."""
    requirements: tuple[str, ...]
    """`framework/requirement` of all that ask the question."""
    first_seen_ns: int
    last_seen_ns: int
    config_digest: str
    """Digest of the configuration with which it was last seen."""
    assessment: str
    """Id of the assessment that last saw it."""
    approver: str = ""
    reason: str = ""
    expires_ns: int = 0
    """When the exception ends; 0 without one. One that has ended is kept until somebody decides again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decides about a finding."""

    status: Status
    actor: str
    """Who says it."""
    reason: str = ""
    approver: str = ""
    """Who answers for it; needed for exceptions."""
    expires_ns: int = 0
    """When it ends, nanoseconds since the Unix epoch; needed for exceptions."""

    def check(self, current: Status, now_ns: int) -> None:
        """Refuses what is not allowed.

        Raises:
            Refused: the life cycle has no such way, or the decision lacks something.
        """
        if self.status not in ALLOWED[current]:
            allowed = ", ".join(sorted(each.value for each in ALLOWED[current])) or "nothing"
            raise Refused(f"a finding that is {current.value} cannot become {self.status.value}; allowed: {allowed}")
        if not self.actor.strip():
            raise Refused("a decision needs somebody who makes it")
        if self.status not in EXCEPTIONS:
            return
        if not self.approver.strip() or not self.reason.strip():
            raise Refused(f"{self.status.value} needs an approver and a reason")
        if not now_ns < self.expires_ns <= now_ns + int(MAX_EXCEPTION * 1e9):
            raise Refused(f"{self.status.value} needs an end that is in the future and at most a year ahead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A finding that came to be, or changed its state."""

    fingerprint: str
    check: str
    tenant: str
    before: str
    """Empty for a new one."""
    after: str
    time_ns: int
    actor: str
    """Empty for an assessment."""
    reason: str = ""


def fingerprint_of(check: str, target: str, tenant: str) -> str:
    """The fingerprint of a finding. Time, counts and severity are not in it."""
    text = "\x00".join((check, target, tenant))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
