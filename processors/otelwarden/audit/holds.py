"""Legal holds: records that must stay, whatever their retention, until the hold is released.

A hold is a sealed record of the trail and nothing beside it: what was held, by whom and why cannot be changed unseen,
and it survives whatever the process does. The record outlives its segment.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otelwarden.audit.locking import locked
from otelwarden.audit.retention import KIND, Kind, Span
from otelwarden.audit.verification import judge_trail
from otelwarden.core import ConfigError, Fault, GovernanceEvent

if TYPE_CHECKING:
    from otelwarden.audit.trail import AuditTrail

HOLD: Final = "hold"
RELEASE: Final = "release"
PATIENCE: Final = 30.0
"""Seconds for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Which records must stay: those of which everything that is given is true.

    Raises:
        ConfigError: nothing is given, or something is none.
    """

    id: str = ""
    """Eight hexadecimal digits; given when it is placed."""
    since_ns: int | None = None
    """Records of this time and later, nanoseconds since the Unix epoch."""
    until_ns: int | None = None
    """Records of this time and earlier."""
    tenant: str = ""
    """Records about this tenant."""
    kind: str = ""
    """Records of this component, or component and action (`redaction/mask`)."""
    reason: str = ""
    actor: str = ""
    """Who placed it, as `user:<id>` or `service:<id>`."""

    def __post_init__(self) -> None:
        if self.kind and not KIND.fullmatch(self.kind):
            raise ConfigError([Fault(message="no kind of record", given=self.kind, allowed="COMPONENT[/ACTION]")])
        if not (self.kind or self.tenant or self.since_ns is not None or self.until_ns is not None):
            raise ConfigError([Fault(message="what is to be held?", allowed="a time span, a tenant, a kind")])
        if self.since_ns is not None and self.until_ns is not None and self.since_ns > self.until_ns:
            raise ConfigError([Fault(message="the time span ends before it begins")])
        if not self.reason or not self.actor:
            raise ConfigError([Fault(message="a hold needs a reason, and somebody who places it")])

    def covers(self, kinds: Mapping[Kind, Span]) -> bool:
        """Whether a segment of these kinds may hold such a record; in doubt it does."""
        return any(self._covers(kind, span) for kind, span in kinds.items() if not kind.outlives)

    def _covers(self, kind: Kind, span: Span) -> bool:
        return (
            (self.since_ns is None or span.latest_ns >= self.since_ns)
            and (self.until_ns is None or span.earliest_ns <= self.until_ns)
            and (not self.tenant or kind.tenant == self.tenant)
            and (not self.kind or self.kind in (kind.component, f"{kind.component}/{kind.action}"))
        )

    def target(self) -> str:
        """How its record names it."""
        words = {"kind": self.kind, "since": self.since_ns, "until": self.until_ns}
        return " ".join([self.id, *(f"{name}={value}" for name, value in words.items() if value not in ("", None))])

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Hold:
        """The hold that a record places."""
        identity, *words = event["target"].split(" ")
        given = dict(word.split("=", 1) for word in words)
        return cls(
            id=identity,
            since_ns=int(given["since"]) if "since" in given else None,
            until_ns=int(given["until"]) if "until" in given else None,
            tenant=event.get("tenant", ""),
            kind=given.get("kind", ""),
            reason=event["reason"],
            actor=event["actor"],
        )


def holds_of(marks: Iterable[bytes]) -> list[Hold]:
    """The holds in force, by the sealed records of the trail."""
    events = [json.loads(line) for line in marks]
    released = {event["target"] for event in events if event["action"] == RELEASE}
    holds = [Hold.of(event) for event in events if event["action"] == HOLD]
    return [hold for hold in holds if hold.id not in released]


def list_holds(path: str | os.PathLike[str]) -> list[Hold]:
    """The holds of a trail that are in force.

    Raises:
        ConfigError: the trail cannot be read.
    """
    try:
        return holds_of(judge_trail(Path(path)).marks)
    except OSError as error:
        file = os.fspath(error.filename or path)
        raise ConfigError([Fault(file=file, message=f"cannot be read: {error.strerror}")]) from error


def place_hold(trail: AuditTrail, hold: Hold) -> str:
    """Places a hold: nothing that it covers is dropped from now on. Answers its id.

    Raises:
        ConfigError: it could not be recorded, so that it is not in force.
    """
    placed = secrets.token_hex(4)
    named = Hold(
        id=placed, since_ns=hold.since_ns, until_ns=hold.until_ns, tenant=hold.tenant, kind=hold.kind,
        reason=hold.reason, actor=hold.actor,
    )  # fmt: skip
    _write(trail, HOLD, hold.reason, tenant=hold.tenant, target=named.target(), actor=hold.actor)
    return placed


def release_hold(trail: AuditTrail, identity: str, *, reason: str, actor: str) -> None:
    """Releases a hold.

    Raises:
        ConfigError: no such hold is in force, or it could not be recorded, so that it stays in force.
    """
    in_force = {hold.id: hold for hold in list_holds(trail.path)}
    if identity not in in_force:
        raise ConfigError([Fault(message="no such hold is in force", given=identity, allowed=", ".join(in_force))])
    if not reason or not actor:
        raise ConfigError([Fault(message="a release needs a reason, and somebody who releases")])
    _write(trail, RELEASE, reason, tenant=in_force[identity].tenant, target=identity, actor=actor)


def _write(trail: AuditTrail, action: str, reason: str, *, tenant: str, target: str, actor: str) -> None:
    event = GovernanceEvent(
        trail.runtime.clock.time_ns(), "audit", action, reason, tenant=tenant, target=target, actor=actor,
        config_digest=trail.runtime.config_digest,
    )  # fmt: skip
    with locked(trail.path):  # not while somebody drops segments by the holds that were in force before
        if not trail.append_sync(event, timeout=PATIENCE) or not trail.checkpoint(PATIENCE):
            raise ConfigError([Fault(file=os.fspath(trail.path), message=f"the {action} could not be recorded")])
