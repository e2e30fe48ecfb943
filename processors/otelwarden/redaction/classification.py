"""How sensitive what is left in an item is: found by detectors or declared by key, stamped, bound to destinations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from otelwarden.core import Classification

CLASSES: Final[tuple[Classification, ...]] = get_args(Classification)
"""Classifications, the least sensitive first."""

_RANK: Final = {name: rank for rank, name in enumerate(CLASSES)}


def higher(a: Classification | None, b: Classification | None) -> Classification | None:
    """The more sensitive of two; None counts for less than any."""
    if a is None or b is None:
        return a or b
    return a if _RANK[a] >= _RANK[b] else b


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationConfig:
    """What becomes of the classification of an item."""

    stamp: bool = False
    """Whether `data.classification`, and `data.retention` where there is one, are set on spans and log records."""
    retention: Mapping[Classification, str] = field(default_factory=dict)
    """How long data of a classification may be kept, as it is stamped."""
    destinations: Mapping[Classification, tuple[str, ...]] = field(default_factory=dict)
    """Names of the only endpoints that data of a classification may go to; not named means any."""

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> ClassificationConfig:
        """The options of a block of a configuration file, whose schema has been checked."""
        destinations = {name: tuple(names) for name, names in document.get("destinations", {}).items()}
        return cls(
            stamp=document.get("stamp", False),
            retention=dict(document.get("retention", {})),
            destinations=destinations,
        )

    def allowed_endpoints(self, classification: Classification) -> frozenset[str] | None:
        """Names of the only endpoints that data of a classification may go to; None for any."""
        names = self.destinations.get(classification)
        return None if names is None else frozenset(names)

    @property
    def is_asked(self) -> bool:
        """Whether anything depends on the classification of items."""
        return self.stamp or bool(self.destinations)

    def attributes(self, classification: Classification) -> dict[str, str]:
        """What is stamped on an item."""
        if not self.stamp:
            return {}
        stamped: dict[str, str] = {"data.classification": classification}
        if classification in self.retention:
            stamped["data.retention"] = self.retention[classification]
        return stamped
