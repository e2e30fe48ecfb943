"""Options of redaction, as they stand under `processors: redaction` in a configuration file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otelwarden.core import ConfigError, Fault, KeyRing, OnError, Runtime, check_document, parse_bytes
from otelwarden.redaction.actions import NO_KEYS, Keys
from otelwarden.redaction.archives import FileArchive, ItemArchive, archives_fault
from otelwarden.redaction.catalogue import Confidence
from otelwarden.redaction.classification import ClassificationConfig
from otelwarden.redaction.document import Oversize
from otelwarden.redaction.keyring import FileKeyRing, FixedKeyRing
from otelwarden.redaction.live import LivePolicy
from otelwarden.redaction.policy import BUILT_IN, DEFAULT_POLICIES, RedactionPolicy
from otelwarden.redaction.redactor import MAX_VALUE_LENGTH, check_keys
from otelwarden.redaction.stage import NOT_CLASSIFIED, RedactionOptions
from otelwarden.redaction.subjects import SubjectKeyDirectory

MIN_ARCHIVE: Final = 64 << 10
"""Bytes that an archive may take at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectsConfig:
    """Where the keys of persons are kept, and how an item names the person."""

    path: str
    """Directory of the keys."""
    attribute: str = "user.id"
    """The attribute of an item that names the person whose data is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveConfig:
    """One place where items are kept as they came: a directory, or an exporter."""

    path: str | None = None
    """Directory of the archive; None for an exporter."""
    max_bytes: int = 100 << 20
    """What its files may take in all, in bytes; the oldest file goes first."""
    encrypt: bool = True
    """Whether what is in them is encrypted with the key of redaction."""
    exporter: str | None = None
    """Id of the exporter that archived items leave through; None for a directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaggageConfig:
    """What becomes of baggage as it leaves the process."""

    redact: bool = False
    """Whether values in which something is found are redacted before they are sent."""
    drop: tuple[str, ...] = ()
    """Globs of keys that are not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionConfig:
    """Options of redaction."""

    policies: tuple[str, ...] = DEFAULT_POLICIES
    """Built-in policies by name, policy files by path; all of them apply."""
    tenant_policies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Policies that apply to one tenant each, beside the others."""
    confidence: Confidence = "high"
    """What rules act on that do not say it themselves."""
    dry_run: bool = False
    """Whether all rules only tell what they would do."""
    on_error: OnError = "drop"
    """What becomes of an item that redaction failed on: `drop` fails closed, `pass` lets it out unredacted."""
    max_value_length: int = MAX_VALUE_LENGTH
    """Characters of the longest value that is scanned at once."""
    oversize: Oversize = "drop"
    """What becomes of an item with a longer value: it is dropped, whatever `on_error`, or it is scanned in windows."""
    key_file: str | None = None
    """File with the keys of actions that need some."""
    key_env: str | None = None
    """Variable of the environment with these keys."""
    subjects: SubjectsConfig | None = None
    """The keys of persons; None for none."""
    archives: Mapping[str, ArchiveConfig] = field(default_factory=dict)
    """Where rules may archive items, by name."""
    evidence_attribute: str = ""
    """Attribute of spans and log records that tells which rule acted where, as `rule@path`; empty for none."""
    classification: ClassificationConfig = NOT_CLASSIFIED
    """What becomes of the classification of items."""
    baggage: BaggageConfig = BaggageConfig()  # frozen
    """What becomes of baggage as it leaves the process."""

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> Iterator[Fault]:
        if not self.policies:
            yield Fault(pointer="/policies", message="no policy is named")
        choices = {"on_error": ("drop", "pass"), "confidence": ("high", "low"), "oversize": ("drop", "scan")}
        for name, allowed in choices.items():
            if (given := getattr(self, name)) not in allowed:
                message = "not one of the allowed values"
                yield Fault(pointer=f"/{name}", message=message, given=given, allowed=", ".join(allowed))
        if self.max_value_length < 1024:
            message, given = "too small", self.max_value_length
            yield Fault(pointer="/max_value_length", message=message, given=given, allowed=">= 1024")
        if self.key_file is not None and self.key_env is not None:
            yield Fault(pointer="/key_env", message="keys come from a file or from the environment, not from both")
        if self.subjects is not None and self.key_file is None and self.key_env is None:
            yield Fault(
                pointer="/subjects", message="keys of persons are sealed with a key", allowed="key_file, key_env"
            )
        for name, archive in self.archives.items():
            if (archive.path is None) == (archive.exporter is None):
                yield Fault(pointer=f"/archives/{name}", message="an archive is either a `path` or an `exporter`")
            if archive.max_bytes < MIN_ARCHIVE:
                message, least = "too small", f">= {MIN_ARCHIVE} bytes"
                yield Fault(
                    pointer=f"/archives/{name}/max_bytes", message=message, given=archive.max_bytes, allowed=least
                )

    @classmethod
    def from_mapping(
        cls, document: Mapping[str, Any], *, base: str | os.PathLike[str] = "", file: str = ""
    ) -> RedactionConfig:
        """The options that a block of a configuration file gives.

        Args:
            base: directory that relative paths start from; empty for the current one.
            file: named in errors.

        Raises:
            ConfigError: with everything that is wrong with the block.
        """
        check_document(document, "redaction", file=file)
        options = dict(document)
        options["policies"] = tuple(_resolved(name, base) for name in document.get("policies", DEFAULT_POLICIES))
        options["tenant_policies"] = {
            tenant: tuple(_resolved(name, base) for name in names)
            for tenant, names in document.get("tenant_policies", {}).items()
        }
        if "key_file" in options:
            options["key_file"] = _below(base, options["key_file"])
        if "subjects" in options:
            options["subjects"] = SubjectsConfig(**_with_path(options["subjects"], base))
        options["archives"] = {
            name: ArchiveConfig(**_with_path(each, base)) for name, each in document.get("archives", {}).items()
        }
        if "classification" in options:
            options["classification"] = ClassificationConfig.from_mapping(options["classification"])
        if "baggage" in options:
            baggage = options["baggage"]
            options["baggage"] = BaggageConfig(**{**baggage, "drop": tuple(baggage.get("drop", ()))})
        try:
            return cls(**options)
        except ConfigError as error:
            raise ConfigError(fault.within("", file=file) for fault in error.faults) from None

    def load_policy(self) -> RedactionPolicy:
        """The policies, as one.

        Raises:
            ConfigError: with everything that is wrong with any of them.
        """
        return RedactionPolicy.load(
            *self.policies, tenants=self.tenant_policies, confidence=self.confidence, dry_run=self.dry_run
        )

    def check(self) -> None:
        """Judges the files that are named, policies and keys, and whether rules have what they need. Writes nothing.

        Raises:
            ConfigError: with everything that is wrong.
        """
        policy = self.load_policy()
        ring = self.load_keys()
        check_keys(policy, ring=ring is not None, subjects=self.subjects is not None)
        faults = archives_fault(policy.archives, frozenset(self.archives))
        if faults:
            raise ConfigError(faults)

    def live_policy(self, *, runtime: Runtime) -> RedactionPolicy | LivePolicy:
        """The policies, following their files; without files there is nothing to follow."""
        files = [name for names in (self.policies, *self.tenant_policies.values()) for name in names]
        if all(name in BUILT_IN for name in files):
            return self.load_policy()
        return LivePolicy(self.load_policy, runtime=runtime)

    def load_keys(self, *, runtime: Runtime | None = None) -> KeyRing | None:
        """The key ring; None without one.

        Raises:
            ConfigError: there is no good key where it should be.
        """
        if self.key_file is not None:
            return FileKeyRing(self.key_file, runtime=runtime)
        return None if self.key_env is None else FixedKeyRing.from_environment(self.key_env)

    def options(self, *, runtime: Runtime, exporters: Mapping[str, ItemArchive] | None = None) -> RedactionOptions:
        """What the stages are given beside the policy. Makes the directories of archives and keys of persons.

        Args:
            exporters: the archives that are exporters, by their name.

        Raises:
            ConfigError: with what is wrong with keys or archives.
        """
        keys = NO_KEYS
        ring = self.load_keys(runtime=runtime)
        if isinstance(ring, FileKeyRing):
            ring.watch()
        if ring is not None:
            subjects = self.subjects
            directory = None if subjects is None else SubjectKeyDirectory(subjects.path, ring=ring)
            keys = Keys(ring, directory, subjects.attribute) if subjects is not None else Keys(ring)
        archives: dict[str, ItemArchive] = dict(exporters or {})
        for name, archive in self.archives.items():
            if archive.path is not None:
                own = keys if archive.encrypt else None
                archives[name] = FileArchive(archive.path, max_bytes=archive.max_bytes, keys=own)
        return RedactionOptions(
            max_value_length=self.max_value_length,
            oversize=self.oversize,
            keys=keys,
            archives=archives,
            evidence_attribute=self.evidence_attribute,
            classification=self.classification,
        )


def _resolved(name: str, base: str | os.PathLike[str]) -> str:
    return name if name in BUILT_IN else _below(base, name)


def _below(base: str | os.PathLike[str], path: str) -> str:
    return os.path.join(base, path)  # noqa: PTH118  # keeps a relative base as written


def _with_path(block: Mapping[str, Any], base: str | os.PathLike[str]) -> dict[str, Any]:
    """The block with its path below the base, and its sizes as numbers."""
    result = dict(block)
    if "path" in result:
        result["path"] = _below(base, result["path"])
    if "max_bytes" in result:
        result["max_bytes"] = parse_bytes(result["max_bytes"])
    return result
