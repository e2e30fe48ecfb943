"""Frequent decisions, counted exactly and written once a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from otelwarden.audit.records import Encoder, Entry
from otelwarden.core import GovernanceEvent

MAX_KINDS: Final = 10_000
"""Kinds of decision in one window; when there are more, the window ends early and nothing is lost."""


class _Kind:
    """Decisions of one kind within a window."""

    __slots__ = ("count", "first", "last_ns", "single")

    def __init__(self, first: GovernanceEvent) -> None:
        self.first = first
        self.count = int(first[6])
        self.last_ns = first[0]
        self.single = True


class Window:
    """Counts decisions by everything that says what they were and who made them.

    That is component, action, reason, tenant, signal, digest, target and actor.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], _Kind] = {}

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def full(self) -> bool:
        """Whether it should be written before its time."""
        return len(self._kinds) >= MAX_KINDS

    @property
    def decisions(self) -> int:
        """The sum of all counts."""
        return sum(kind.count for kind in self._kinds.values())

    def add(self, events: Iterable[GovernanceEvent]) -> int:
        """Counts events in; answers how many were none (made by hand, with a count that is no number)."""
        kinds = self._kinds
        malformed = 0
        for event in events:
            try:
                key = event[1:6] + event[9:]
                kind = kinds.get(key)
                if kind is None:
                    kinds[key] = _Kind(event)
                else:
                    kind.count += event[6]
                    kind.single = False
                    if event[0] > kind.last_ns:
                        kind.last_ns = event[0]
            except (TypeError, ValueError, IndexError):
                malformed += 1
        return malformed

    def entries(self, encoder: Encoder) -> Iterator[Entry]:
        """One entry for each kind; one that happened once keeps its trace."""
        for kind in self._kinds.values():
            if kind.single:
                yield encoder.event(kind.first)
            else:
                yield encoder.window(kind.first, kind.count, kind.last_ns)
