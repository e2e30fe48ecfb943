"""What is done to a hit. An action is a small object with a name, a strictness and one method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from otelwarden.core import KeyRing, SubjectKeys

DEFAULT_TEXT: Final = "[REDACTED]"


class _Verdict:
    """The answer of an action that puts no text in place of a hit."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


DELETED: Final = _Verdict("DELETED")
"""The whole field goes."""

BLOCKED: Final = _Verdict("BLOCKED")
"""The whole item goes."""

Verdict: TypeAlias = "str | _Verdict"


class Keys(NamedTuple):
    """The keys that actions may use."""

    ring: KeyRing | None = None
    subjects: SubjectKeys | None = None
    subject_attribute: str = "user.id"
    """The attribute that names the person whose data an item holds."""


NO_KEYS: Final = Keys()


class ItemFacts(NamedTuple):
    """What is known about the item that a hit is in."""

    time_ns: int = 0
    """The item's own time, nanoseconds since the Unix epoch; 0 when it has none."""
    attributes: Mapping[str, Any] = {}  # never changed
    """The item's own attributes, as they came."""
    scope: str = ""
    """Name of the instrumentation scope."""


NO_ITEM: Final = ItemFacts()


class HitFacts(NamedTuple):
    """What an action is told about a hit beside its text."""

    text: str = DEFAULT_TEXT
    """What the detector would put in its place."""
    entity: str = ""
    """What was found; empty for a value that was chosen by its key."""
    tenant: str = ""
    item: ItemFacts = NO_ITEM
    keys: Keys = NO_KEYS


class Action(Protocol):
    """Does something to a hit."""

    @property
    def name(self) -> str:
        """What the action is called in a policy and in events."""
        ...

    @property
    def strictness(self) -> int:
        """Of two rules with the same priority the one with the stricter action decides; 0 for one that only adds."""
        ...

    def apply(self, hit: str, facts: HitFacts) -> Verdict:
        """What stands in place of the hit; `DELETED` when its whole field goes, `BLOCKED` when the whole item does.

        Args:
            hit: the text that was found, never empty.
        """
        ...


@runtime_checkable
class NeedsKeys(Protocol):
    """An action that cannot work without a key."""

    @property
    def needs_subjects(self) -> bool:
        """Whether it needs the keys of persons, beside the ring."""
        ...


@runtime_checkable
class ActsOnParts(Protocol):
    """An action that, on a whole value, is about some parts of it."""

    def parts(self, data: bytes, facts: HitFacts) -> list[tuple[int, int]]:
        """Ranges of the UTF-8 of the value, in order, that do not overlap."""
        ...


def is_additive(action: Action) -> bool:
    """Whether the action stands beside the one that decides, and leaves the hit to it."""
    return action.strictness == 0


def keeps_something(action: Action) -> bool:
    """Whether something of a hit is left behind, in clear or to be read with a key."""
    return not isinstance(action, (Block, Delete, Replace)) and action != Mask()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Covers a hit, except for some characters at its ends; a hit too short to keep any is covered whole."""

    keep_first: int = 0
    """Characters kept at the beginning."""
    keep_last: int = 0
    """Characters kept at the end."""
    char: str = "*"
    """What covers each character."""
    text: str | None = None
    """What covers the whole middle, in place of one `char` for each character; None for those."""

    name = "mask"
    strictness = 20

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The hit with its middle covered."""
        covered = len(hit) - self.keep_first - self.keep_last
        # Keeping more than half of a short hit would hide nothing: four of the five characters of a code.
        if covered < len(hit) / 2:
            return self.char * len(hit) if self.text is None else self.text
        middle = self.char * covered if self.text is None else self.text
        return hit[: self.keep_first] + middle + hit[len(hit) - self.keep_last :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Puts a text in place of a hit."""

    text: str | None = None
    """The text, in which `{entity}` stands for what was found; None for the detector's."""

    name = "replace"
    strictness = 30

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The text."""
        return facts.text if self.text is None else self.text.replace("{entity}", facts.entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Deletes the whole field that a hit is in."""

    name = "delete"
    strictness = 60

    def apply(self, hit: str, facts: HitFacts) -> Verdict:
        """`DELETED`."""
        return DELETED


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Drops the whole item that a hit is in."""

    name = "block"
    strictness = 70

    def apply(self, hit: str, facts: HitFacts) -> Verdict:
        """`BLOCKED`."""
        return BLOCKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Tells of a hit and leaves it as it is, unless another rule decides about it."""

    name = "audit"
    strictness = 0

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The hit itself."""
        return hit


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Keeps the item as it came in a second place, beside what another rule does to the hit."""

    to: str
    """Name of the archive."""

    name = "archive"
    strictness = 0

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The hit itself: it is the item that is archived, by the stage."""
        return hit
