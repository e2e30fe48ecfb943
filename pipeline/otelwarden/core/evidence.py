"""What components show of themselves to whoever judges them: small Protocols and plain facts, wired by the pipeline.

An assessment reads the trail, looks for sensitive data once more, and has its own decisions recorded; none of the three
is told which component it talks to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from otelwarden.core.events import GovernanceEvent


class TrailRecord(NamedTuple):
    """One record of an audit trail. A NamedTuple: an assessment reads a million of them."""

    sequence: int
    """Number of the record in its stream."""
    time_ns: int
    """When it was decided, nanoseconds since the Unix epoch; of many, the latest."""
    stream: str
    actor: str
    component: str
    action: str
    outcome: str
    reason: str
    tenant: str
    signal: str
    target: str
    config: str
    """Digest of the configuration in force."""
    count: int  # type: ignore[assignment]  # a field, not tuple.count


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailVerdict:
    """What the verification of a trail found."""

    status: str
    """`OK`, or what is wrong: `TAMPERED`, `TRUNCATED`, `INCOMPLETE` ..."""
    message: str = ""
    """One sentence on the first thing that is wrong; empty when nothing is."""
    sequence: int | None = None
    """The first bad record; None when no record is bad."""
    streams: int = 0
    records: int = 0
    sealed: int = 0
    """Records that good checkpoints cover."""
    sealed_ns: int = 0
    """When the latest checkpoint was signed; 0 for never."""
    unwitnessed: bool = True
    """Whether no checkpoint from outside was there, so that a rollback cannot be excluded."""
    witnessed_ns: int = 0
    """When the latest checkpoint that is kept outside was signed; 0 for none."""
    roots: tuple[tuple[str, int, str], ...] = ()
    """Of each stream: its id, the size its latest checkpoint covers, and the root hash in hexadecimal."""


class TrailReader(Protocol):
    """Reads a trail and judges it; writes nothing."""

    @property
    def name(self) -> str:
        """Where the trail is, for people."""
        ...

    def verdict(self) -> TrailVerdict:
        """Whether the trail is what was written. Raises OSError when it cannot be read."""
        ...

    def records(self) -> Iterator[TrailRecord]:
        """The records, stream by stream, in order; what is no record is left out. Raises OSError."""
        ...


class DecisionRecorder(Protocol):
    """Writes a decision by itself, durably."""

    def append_sync(self, event: GovernanceEvent, *, actor: str = "") -> bool:
        """Writes it.

        Args:
            actor: who decided, as `user:<id>` or `service:<id>`; the component itself unless given.

        Returns:
            Whether it is on the disk.
        """
        ...


class SensitiveHit(NamedTuple):
    """Sensitive data in a field; never the data itself."""

    field: int
    """Number of the field it is in."""
    entity: str
    """The kind of data, for instance `PAYMENT_CARD`."""
    group: str
    """`pii` or `secrets`."""


class SensitiveScanner(Protocol):
    """Finds sensitive data in fields; independent of the policy that was in force when they were made."""

    @property
    def entities(self) -> frozenset[str]:
        """The kinds of data it can find."""
        ...

    def scan(self, fields: Sequence[tuple[str, str]]) -> list[SensitiveHit]:
        """What is in the fields, given as key and value."""
        ...
