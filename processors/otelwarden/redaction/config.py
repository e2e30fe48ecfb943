"""Options of redaction, as they stand under `processors: redaction` in a configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from otelwarden.core import ConfigError, Fault, OnError, check_document
from otelwarden.redaction.policy import BUILT_IN, RedactionPolicy
from otelwarden.redaction.redactor import MAX_VALUE_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionConfig:
    """Options of redaction."""

    policies: tuple[str, ...] = BUILT_IN
    """Built-in policies by name, policy files by path; all of them apply."""
    on_error: OnError = "drop"
    """What becomes of an item that redaction failed on: `drop` fails closed, `pass` lets it out unredacted."""
    max_value_length: int = MAX_VALUE_LENGTH
    """Characters of the longest value that is scanned; an item with a longer one is dropped, whatever `on_error`."""

    def __post_init__(self) -> None:
        if not self.policies:
            raise ConfigError([Fault(pointer="/policies", message="no policy is named")])
        if self.on_error not in ("drop", "pass"):
            message = "not one of the allowed values"
            raise ConfigError([Fault(pointer="/on_error", message=message, given=self.on_error, allowed="drop, pass")])
        if self.max_value_length < 1024:
            message, given = "too small", self.max_value_length
            raise ConfigError([Fault(pointer="/max_value_length", message=message, given=given, allowed=">= 1024")])

    @classmethod
    def from_mapping(
        cls, document: Mapping[str, Any], *, base: str | os.PathLike[str] = "", file: str = ""
    ) -> RedactionConfig:
        """The options that a block of a configuration file gives.

        Args:
            base: directory that relative paths of policies start from; empty for the current one.
            file: named in errors.

        Raises:
            ConfigError: with everything that is wrong with the block.
        """
        check_document(document, "redaction", file=file)
        fields = dict(document)
        fields["policies"] = tuple(_resolved(name, base) for name in document.get("policies", BUILT_IN))
        return cls(**fields)

    def load_policy(self) -> RedactionPolicy:
        """The policies, as one.

        Raises:
            ConfigError: with everything that is wrong with any of them.
        """
        return RedactionPolicy.load(*self.policies)


def _resolved(name: str, base: str | os.PathLike[str]) -> str:
    return name if name in BUILT_IN else os.path.join(base, name)  # noqa: PTH118  # keeps a relative base as written
