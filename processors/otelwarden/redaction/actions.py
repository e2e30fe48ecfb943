"""What is done to a hit. An action is a small object with a name, a strictness and one method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

DEFAULT_TEXT: Final = "[REDACTED]"


class _Deleted:
    """The answer of an action that deletes the field."""

    def __repr__(self) -> str:
        return "DELETED"


DELETED: Final = _Deleted()


class Action(Protocol):
    """Does something to a hit."""

    @property
    def name(self) -> str:
        """What the action is called in a policy and in events."""
        ...

    @property
    def strictness(self) -> int:
        """Of two rules with the same priority the one with the stricter action decides."""
        ...

    def apply(self, hit: str, text: str) -> str | _Deleted:
        """What stands in place of the hit; `DELETED` when its whole field goes.

        Args:
            hit: the text that was found, never empty.
            text: what the detector would put in its place.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Covers a hit, except for some characters at its ends; a hit too short to keep any is covered whole."""

    keep_first: int = 0
    """Characters kept at the beginning."""
    keep_last: int = 0
    """Characters kept at the end."""
    char: str = "*"
    """What covers each character."""

    name = "mask"
    strictness = 10

    def apply(self, hit: str, text: str) -> str:
        """The hit with its middle covered."""
        covered = len(hit) - self.keep_first - self.keep_last
        # Keeping more than half of a short hit would hide nothing: four of the five characters of a code.
        if covered < len(hit) / 2:
            return self.char * len(hit)
        return hit[: self.keep_first] + self.char * covered + hit[len(hit) - self.keep_last :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Puts a text in place of a hit."""

    text: str | None = None
    """The text; None for the detector's."""

    name = "replace"
    strictness = 20

    def apply(self, hit: str, text: str) -> str:
        """The text."""
        return text if self.text is None else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Deletes the whole field that a hit is in."""

    name = "delete"
    strictness = 30

    def apply(self, hit: str, text: str) -> _Deleted:
        """`DELETED`."""
        return DELETED


ACTIONS: Final[dict[str, Callable[..., Action]]] = {"delete": Delete, "mask": Mask, "replace": Replace}
"""Actions by the name that a policy gives; called with the options that stand there."""


def action_of(document: Mapping[str, Mapping[str, Any]]) -> Action:
    """The action that a rule of a policy file names, whose schema has been checked."""
    ((name, options),) = document.items()
    return ACTIONS[name](**options)
