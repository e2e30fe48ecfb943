"""Redaction policies: which hits are acted on, and how. Read from YAML or JSON files; some are built in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeAlias

from otelwarden.core import (
    Classification,
    ConfigError,
    Fault,
    check_document,
    parse_document,
    read_document,
)
from otelwarden.redaction.actions import Archive
from otelwarden.redaction.catalogue import Confidence, Detector
from otelwarden.redaction.loading import PolicyReader
from otelwarden.redaction.rules import Allowance, KeyGlobs, Rule

BUILT_IN: Final = ("db-literals", "gdpr", "hipaa-safe-harbor", "pci", "pii", "secrets")
"""Policies by name."""

DEFAULT_POLICIES: Final = ("pii", "secrets")
"""What applies when nothing is said."""

PolicySource: TypeAlias = "str | os.PathLike[str]"
"""Name of a built-in policy, or path of a file."""


# Without slots, as the scanner that is made for a policy lives as long as the policy, found by a weak reference.
@dataclass(frozen=True, kw_only=True, eq=False)
class RedactionPolicy:
    """The active rules of one or more policies, the detectors they need, and what is exempt."""

    rules: tuple[Rule, ...]
    """Active rules, the one that decides first."""
    detectors: tuple[Detector, ...]
    """Detectors that some active rule is about."""
    allowances: tuple[Allowance, ...] = ()
    """What is left alone."""
    declared: tuple[tuple[KeyGlobs, Classification], ...] = ()
    """How sensitive the values under some keys are declared to be; the first that matches counts."""
    files: tuple[str, ...] = ()
    """Paths of the files it was read from."""
    digest: str = ""
    """16 hexadecimal digits over all that the policies say."""

    @classmethod
    def load(
        cls,
        *sources: PolicySource,
        base: str | os.PathLike[str] = "",
        confidence: Confidence = "high",
        tenants: Mapping[str, Sequence[PolicySource]] | None = None,
        dry_run: bool = False,
    ) -> RedactionPolicy:
        """The policies with these names or paths, as one.

        Args:
            base: directory that relative paths start from; empty for the current one.
            confidence: what rules act on that do not say it themselves.
            tenants: policies that apply to one tenant each, beside the others.
            dry_run: whether all rules only tell what they would do.

        Raises:
            ConfigError: with everything that is wrong with any of them.
        """
        of_tenants = {tenant: [_file_of(each, base) for each in of] for tenant, of in (tenants or {}).items()}
        everybody = [_file_of(each, base) for each in sources]
        documents: dict[str, Any] = {}
        faults: list[Fault] = []
        for file in dict.fromkeys([*everybody, *(each for of in of_tenants.values() for each in of)]):
            try:
                documents[file] = _read(file)
            except ConfigError as error:
                faults.extend(error.faults)
        if not sources:
            faults.append(Fault(message="no policy is named", allowed=f"{', '.join(BUILT_IN)}, or paths"))
        if faults:
            raise ConfigError(faults)
        reader = PolicyReader(documents, confidence=confidence, dry_run=dry_run)
        return cls(
            **reader.fields(everybody, of_tenants), files=tuple(file for file in documents if file not in BUILT_IN)
        )

    @property
    def archives(self) -> frozenset[str]:
        """Names of the archives that some rule needs."""
        return frozenset(rule.action.to for rule in self.rules if isinstance(rule.action, Archive))

    def declared_class(self, key: str) -> Classification | None:
        """The classification that the values under a key are declared to have; None for none."""
        return next((name for globs, name in self.declared if globs.match(key)), None)


def policy_of(policy: RedactionPolicy | Sequence[PolicySource]) -> RedactionPolicy:
    """A policy as the constructors of the stages take it: loaded, or by names and paths."""
    if isinstance(policy, RedactionPolicy):
        return policy
    return RedactionPolicy.load(*((policy,) if isinstance(policy, str) else policy))


def _file_of(source: PolicySource, base: str | os.PathLike[str]) -> str:
    name = os.fspath(source)
    return name if name in BUILT_IN else os.fspath(Path(base, name))


def _read(file: str) -> Any:
    if file in BUILT_IN:
        text = resources.files("otelwarden.redaction").joinpath("policies").joinpath(f"{file}.yaml")
        document = parse_document(text.read_text(encoding="utf-8"), file=file)
    else:
        document = read_document(file)
    check_document(document, "redaction-policy", file=file)
    return document
