"""The answer of a transform that lets an item go no further."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drop:
    """The item is dropped, for a reason that is counted. Make one for each reason, once: it is compared by type."""

    reason: str
    """A short lower_snake_case word that ends up as a metric attribute: `rate`, `unknown_tenant`, `not_sampled` ..."""
    action: str = "drop"
    """What observers are told that was done: another word where the item goes another way."""
    cause: str = ""
    """What observers are told as the reason, where that says more than `reason`."""


DROP_ON_ERROR = Drop("error")
"""The item is dropped because the stage failed on it and fails closed."""
