"""What the key of a field tells about it, remembered: keys are few and come again with every item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from otelwarden.core import Classification
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import join_texts
from otelwarden.redaction.scanner import Scanner

MAX_KEYS: Final = 8192
"""Keys remembered; beyond, all are forgotten and the memory starts anew."""


class KeyFacts(NamedTuple):
    """What is known about one key."""

    key: str
    detectors: tuple[int, ...]
    """Detectors for which it is evidence."""
    hits: tuple[Hit, ...]
    """What was found in the key itself."""
    ruled: bool = False
    """Whether a rule names it, so that its whole value is a hit."""
    unlisted: bool = False
    """Whether a rule lists the keys that are allowed, and it is none of them; counts for fields of an item itself."""
    classification: Classification | None = None
    """How sensitive its value is declared to be."""

    @property
    def tells_of_value(self) -> bool:
        """Whether the key tells something about the whole value, whatever that is."""
        return self.ruled or self.unlisted or self.classification is not None

    @property
    def tells(self) -> bool:
        """Whether the key tells something about the value."""
        return bool(self.detectors) or self.tells_of_value

    @property
    def is_plain(self) -> bool:
        """Whether the key tells nothing."""
        return not (self.tells or self.hits)

    @property
    def nested(self) -> KeyFacts:
        """The same for a key within a structured value, which lists of allowed keys are not about."""
        return self._replace(unlisted=False) if self.unlisted else self


class KeyTable:
    """The facts of all keys seen so far.

    Args:
        is_ruled: whether a rule names a key, so that its whole value is a hit.
        is_unlisted: whether a rule lists the keys that are allowed, and a key is none of them.
        class_of: the classification that a key is declared to have.
    """

    def __init__(
        self,
        scanner: Scanner,
        *,
        is_ruled: Callable[[str], bool],
        is_unlisted: Callable[[str], bool],
        class_of: Callable[[str], Classification | None],
    ) -> None:
        self._scanner = scanner
        self._is_ruled = is_ruled
        self._is_unlisted = is_unlisted
        self._class_of = class_of
        self._facts: dict[str, KeyFacts] = {}
        self.plain: set[str] = set()
        """Keys known to tell nothing: `plain.issuperset(attributes)` is all that a clean item pays."""

    def facts(self, key: str) -> KeyFacts:
        """The facts of a key."""
        facts = self._facts.get(key)
        return facts if facts is not None else self._learn(key)

    def _learn(self, key: str) -> KeyFacts:
        facts = KeyFacts(
            key=key,
            detectors=self._scanner.detectors_of_key(key),
            hits=tuple(self._scanner.scan(join_texts([key]))),
            ruled=self._is_ruled(key),
            unlisted=self._is_unlisted(key),
            classification=self._class_of(key),
        )
        if len(self._facts) >= MAX_KEYS:
            # Threads that read meanwhile keep the old ones, or learn a key again: both are right.
            self._facts = {}
            self.plain.clear()
        self._facts[key] = facts
        if facts.is_plain:
            self.plain.add(key)
        return facts
