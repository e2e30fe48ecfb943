"""Redaction policies: which hits are acted on, and how. Read from YAML or JSON files; two are built in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeAlias

from otelwarden.core import ConfigError, Fault, Signal, check_document, digest_of, parse_document, read_document
from otelwarden.redaction.actions import Action, action_of
from otelwarden.redaction.catalogue import Confidence, Detector, catalogue, detectors_from
from otelwarden.redaction.patterns import compile_pattern
from otelwarden.redaction.scanner import encode_text

BUILT_IN: Final = ("pii", "secrets")
"""Policies by name."""

PolicySource: TypeAlias = "str | os.PathLike[str]"
"""Name of a built-in policy, or path of a file."""


class KeyGlobs:
    """Globs of keys: `*` is any text, `?` any character."""

    __slots__ = ("_pattern",)

    def __init__(self, globs: Sequence[str]) -> None:
        alternatives = ("".join({"*": ".*", "?": "."}.get(c, f"\\x{{{ord(c):x}}}") for c in glob) for glob in globs)
        self._pattern = compile_pattern(f"(?s:{'|'.join(alternatives)})", characters=True)

    def match(self, key: str) -> bool:
        """Whether a key is like one of the globs."""
        return self._pattern.fullmatch(encode_text(key)) is not None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """What is done to hits of some kinds, in some places."""

    id: str
    """Names the rule in events and metrics."""
    action: Action
    priority: int = 0
    """Of the rules that match a hit the one with the highest acts, among equals the one with the stricter action."""
    detectors: frozenset[str] | None = None
    """Ids of the detectors whose hits it is about; None when it is about whole values, chosen by key."""
    confidence: Confidence = "high"
    """The least confidence of the hits it is about."""
    keys: KeyGlobs | None = None
    """Keys it is about; None for all."""
    signals: frozenset[Signal] | None = None
    """Signals it is about; None for all."""
    tenants: frozenset[str] | None = None
    """Tenants it is about; None for all."""

    @property
    def rank(self) -> tuple[int, int]:
        """Orders rules: the lowest decides."""
        return -self.priority, -self.action.strictness

    def is_about(self, detector: Detector) -> bool:
        """Whether the rule is about what a detector finds."""
        named = self.detectors is not None and detector.id in self.detectors
        return named and (detector.confidence == "high" or self.confidence == "low")

    def concerns(self, signal: Signal, tenant: str) -> bool:
        """Whether the rule is about items of this signal and tenant."""
        return (self.signals is None or signal in self.signals) and (self.tenants is None or tenant in self.tenants)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionPolicy:
    """The active rules of one or more policies, the detectors they need, and what is exempt."""

    rules: tuple[Rule, ...]
    """Active rules, the one that decides first."""
    detectors: tuple[Detector, ...]
    """Detectors that some active rule is about."""
    allowed_values: frozenset[str] = frozenset()
    """Hits with exactly these texts are left alone."""
    allowed_keys: KeyGlobs | None = None
    """Values under these keys are left alone."""
    digest: str = field(default="", compare=False)
    """16 hexadecimal digits over all that the policies say."""

    @classmethod
    def load(
        cls, *sources: PolicySource, base: str | os.PathLike[str] = "", confidence: Confidence = "high"
    ) -> RedactionPolicy:
        """The policies with these names or paths, as one.

        Args:
            base: directory that relative paths start from; empty for the current one.
            confidence: what rules act on that do not say it themselves.

        Raises:
            ConfigError: with everything that is wrong with any of them.
        """
        files: dict[str, Any] = {}
        faults: list[Fault] = []
        for source in sources:
            name = os.fspath(source)
            file = name if name in BUILT_IN else os.fspath(Path(base, name))
            try:
                files[file] = _read(file)
            except ConfigError as error:
                faults.extend(error.faults)
        if not sources:
            faults.append(Fault(message="no policy is named", allowed=f"{', '.join(BUILT_IN)}, or paths"))
        if faults:
            raise ConfigError(faults)
        return cls._combine(files, confidence)

    @classmethod
    def _combine(cls, files: Mapping[str, Mapping[str, Any]], confidence: Confidence) -> RedactionPolicy:
        known = {detector.id: detector for detector in catalogue()}
        faults: list[Fault] = []
        for file, document in files.items():
            try:
                for index, detector in enumerate(
                    detectors_from(document.get("detectors", ()), file=file, catalogued=False)
                ):
                    if detector.id in known:
                        pointer = f"/detectors/{index}/id"
                        faults.append(Fault(file=file, pointer=pointer, message="this id is taken", given=detector.id))
                    known[detector.id] = detector
            except ConfigError as error:
                faults.extend(error.faults)
        rules: dict[str, Rule] = {}
        for file, document in files.items():
            for index, entry in enumerate(document["rules"]):
                pointer = f"/rules/{index}"
                if entry["id"] in rules:
                    message = "this id is taken by another rule"
                    faults.append(Fault(file=file, pointer=f"{pointer}/id", message=message, given=entry["id"]))
                faults.extend(_unknown_names(entry["match"], known, file, pointer))
                rules[entry["id"]] = _rule(entry, known, confidence)
        if faults:
            raise ConfigError(faults)
        active = {e["id"] for d in files.values() for e in d["rules"] if e.get("active", True)}
        allows = [document.get("allow", {}) for document in files.values()]
        allowed_keys = [glob for allow in allows for glob in allow.get("keys", ())]
        chosen = sorted((rule for rule in rules.values() if rule.id in active), key=lambda rule: rule.rank)
        candidates = (form for detector in known.values() for form in (detector, detector.at_low_confidence) if form)
        return cls(
            rules=tuple(chosen),
            detectors=tuple(detector for detector in candidates if any(rule.is_about(detector) for rule in chosen)),
            allowed_values=frozenset(value for allow in allows for value in allow.get("values", ())),
            allowed_keys=KeyGlobs(allowed_keys) if allowed_keys else None,
            digest=digest_of([list(files.values()), [detector.id for detector in known.values()], confidence]),
        )


def policy_of(policy: RedactionPolicy | Sequence[PolicySource]) -> RedactionPolicy:
    """A policy as the constructors of the stages take it: loaded, or by names and paths."""
    if isinstance(policy, RedactionPolicy):
        return policy
    return RedactionPolicy.load(*((policy,) if isinstance(policy, str) else policy))


def _read(file: str) -> Any:
    if file in BUILT_IN:
        text = resources.files("otelwarden.redaction").joinpath("policies").joinpath(f"{file}.yaml")
        document = parse_document(text.read_text(encoding="utf-8"), file=file)
    else:
        document = read_document(file)
    check_document(document, "redaction-policy", file=file)
    return document


def _rule(entry: Mapping[str, Any], known: Mapping[str, Detector], confidence: Confidence) -> Rule:
    match = entry["match"]
    return Rule(
        id=entry["id"],
        action=action_of(entry["action"]),
        priority=entry.get("priority", 0),
        detectors=_chosen(match, known),
        confidence=match.get("confidence", confidence),
        keys=KeyGlobs(match["keys"]) if "keys" in match else None,
        signals=frozenset(match["signals"]) if "signals" in match else None,
        tenants=frozenset(match["tenants"]) if "tenants" in match else None,
    )


def _chosen(match: Mapping[str, Any], known: Mapping[str, Detector]) -> frozenset[str] | None:
    """The ids of the detectors that a match names; None when it names none."""
    if match.keys().isdisjoint(("detectors", "entities", "groups")):
        return None
    return frozenset(
        detector.id
        for detector in known.values()
        if detector.id in match.get("detectors", (detector.id,))
        and detector.entity in match.get("entities", (detector.entity,))
        and detector.group in match.get("groups", (detector.group,))
    )


def _unknown_names(match: Mapping[str, Any], known: Mapping[str, Detector], file: str, pointer: str) -> Iterator[Fault]:
    allowed = {"detectors": sorted(known), "entities": sorted({detector.entity for detector in known.values()})}
    for kind, names in allowed.items():
        for index, name in enumerate(match.get(kind, ())):
            if name not in names:
                where = f"{pointer}/match/{kind}/{index}"
                yield Fault(
                    file=file, pointer=where, message="nothing has this name", given=name, allowed=", ".join(names)
                )
