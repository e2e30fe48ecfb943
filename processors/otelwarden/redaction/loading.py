"""Policy documents, whose shape is good, become one policy; everything that is wrong with their meaning at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from otelwarden.core import ConfigError, Fault, digest_of, parse_bytes, parse_duration
from otelwarden.redaction.actions import Action, Audit
from otelwarden.redaction.catalogue import Confidence, Detector, catalogue, detectors_from
from otelwarden.redaction.patterns import PatternError, compile_pattern
from otelwarden.redaction.registry import action_of
from otelwarden.redaction.rules import Allowance, KeyGlobs, Rule

_T = TypeVar("_T")
_CHOOSES_DETECTORS: Final = ("detectors", "entities", "groups", "classifications")
_NO_ACTION: Final[Action] = Audit()
_GLOB: Final = re.compile(r"[*?]")


class PolicyReader:
    """Reads the documents of several policies.

    Args:
        documents: by name or path.
        confidence: what rules act on that do not say it themselves.
        dry_run: whether all rules only tell what they would do.
    """

    def __init__(self, documents: Mapping[str, Mapping[str, Any]], *, confidence: Confidence, dry_run: bool) -> None:
        self._documents = documents
        self._confidence: Confidence = confidence
        self._dry_run = dry_run
        self._faults: list[Fault] = []
        self._known: dict[str, Detector] = {}
        self._declared: list[tuple[list[str], Any]] = []

    def fields(self, everybody: Sequence[str], of_tenants: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The fields of the policy that they are together.

        Args:
            everybody: those that apply to every tenant.
            of_tenants: those that apply to one tenant, beside the former.

        Raises:
            ConfigError: with everything that is wrong.
        """
        self._read_detectors()
        self._declared = [
            (entry["keys"], entry["classification"])
            for document in self._documents.values()
            for entry in document.get("classifications", ())
        ]
        rules: dict[str, Rule] = {}
        allowances: list[Allowance] = []
        for file, document in self._documents.items():
            tenants = None
            if file not in everybody:
                tenants = frozenset(tenant for tenant, files in of_tenants.items() if file in files)
            self._read_rules(file, document, tenants, rules)
            allowances += self._allowances(file, document.get("allow", {}), tenants)
        if self._faults:
            raise ConfigError(self._faults)
        # Stable, so that of equals the one that stands first decides.
        chosen = sorted(rules.values(), key=lambda rule: rule.rank)
        forms = (form for detector in self._known.values() for form in (detector, detector.at_low_confidence) if form)
        said = [dict(self._documents), sorted(self._known), self._confidence, self._dry_run, list(everybody)]
        return {
            "rules": tuple(chosen),
            "detectors": tuple(detector for detector in forms if any(rule.is_about(detector) for rule in chosen)),
            "allowances": tuple(allowances),
            "declared": tuple((KeyGlobs(keys), name) for keys, name in self._declared),
            "digest": digest_of([*said, {tenant: list(files) for tenant, files in of_tenants.items()}]),
        }

    def _fault(self, file: str, pointer: str, message: str, given: object, allowed: str = "") -> None:
        self._faults.append(Fault(file=file, pointer=pointer, message=message, given=given, allowed=allowed))

    def _attempt(self, file: str, pointer: str, make: Callable[[], _T], otherwise: _T) -> _T:
        """What `make` answers; what it refuses is noted as a fault at this place."""
        try:
            return make()
        except ConfigError as error:
            self._faults += [fault.within(pointer, file=file) for fault in error.faults]
            return otherwise

    def _read_detectors(self) -> None:
        self._known = {detector.id: detector for detector in catalogue()}
        for file, document in self._documents.items():
            try:
                own = detectors_from(document.get("detectors", ()), file=file, catalogued=False)
            except ConfigError as error:
                self._faults += error.faults
                continue
            for index, detector in enumerate(own):
                if detector.id in self._known:
                    self._fault(file, f"/detectors/{index}/id", "this id is taken", detector.id)
                self._known[detector.id] = detector

    def _read_rules(
        self, file: str, document: Mapping[str, Any], tenants: frozenset[str] | None, rules: dict[str, Rule]
    ) -> None:
        dry_run = document.get("dry_run", False)
        seen: dict[str, Any] = {}
        for index, entry in enumerate(document["rules"]):
            pointer = f"/rules/{index}"
            name = entry["id"]
            if name in seen or name in rules:
                self._fault(file, f"{pointer}/id", "this id is taken by another rule", name)
            seen[name] = entry
            self._faults += self._unknown_names(entry["match"], file, f"{pointer}/match")
            rule = self._rule(entry, file, pointer, tenants, dry_run=dry_run)
            if entry.get("active", True):
                rules[name] = rule

    def _rule(
        self, entry: Mapping[str, Any], file: str, pointer: str, tenants: frozenset[str] | None, *, dry_run: bool
    ) -> Rule:
        match = entry["match"]
        own = frozenset(match["tenants"]) if "tenants" in match else None
        if own is not None and tenants is not None:
            own &= tenants
        chooses = any(name in match for name in _CHOOSES_DETECTORS)
        keys, unless = match.get("keys"), match.get("unless_keys")
        whole = keys
        if chooses:
            # A classification is about what detectors find, and about what is declared to have it.
            names = match.get("classifications", ())
            whole = [] if match.keys() & {"detectors", "entities", "groups"} else [
                glob for globs, name in self._declared if name in names for glob in globs
            ]  # fmt: skip

        def size(name: str) -> int | None:
            return self._attempt(file, f"{pointer}/match/{name}", lambda: parse_bytes(match[name]), None)

        def age(name: str) -> float | None:
            return self._attempt(file, f"{pointer}/match/{name}", lambda: parse_duration(match[name]), None)

        return Rule(
            id=entry["id"],
            action=self._attempt(file, f"{pointer}/action", lambda: action_of(entry["action"]), _NO_ACTION),
            priority=entry.get("priority", 0),
            dry_run=self._dry_run or dry_run or entry.get("dry_run", False),
            detectors=self._chosen(match) if chooses else frozenset(),
            confidence=match.get("confidence", self._confidence),
            keys=KeyGlobs(keys) if keys else None,
            unless_keys=KeyGlobs(unless) if unless and (chooses or keys) else None,
            whole=KeyGlobs(whole) if whole else None,
            listed=KeyGlobs(unless) if unless and not chooses and not keys else None,
            signals=frozenset(match["signals"]) if "signals" in match else None,
            tenants=tenants if own is None else own,
            scopes=KeyGlobs(match["scopes"]) if "scopes" in match else None,
            types=frozenset(match["types"]) if "types" in match else None,
            min_size=(size("min_size") or 0) if "min_size" in match else 0,
            max_size=size("max_size") if "max_size" in match else None,
            min_age=(age("older_than") or 0.0) if "older_than" in match else 0.0,
            max_age=age("younger_than") if "younger_than" in match else None,
        )

    def _chosen(self, match: Mapping[str, Any]) -> frozenset[str]:
        """The ids of the detectors that a match names."""
        return frozenset(
            detector.id
            for detector in self._known.values()
            if _is_named(detector.id, match.get("detectors"))
            and _is_named(detector.entity, match.get("entities"))
            and _is_named(detector.group, match.get("groups"))
            and _is_named(detector.classification, match.get("classifications"))
        )

    def _allowances(self, file: str, allow: Mapping[str, Any], tenants: frozenset[str] | None) -> Iterator[Allowance]:
        if not allow:
            return
        patterns = []
        for index, pattern in enumerate(allow.get("patterns", ())):
            try:
                patterns.append(compile_pattern(pattern, characters=True))
            except (PatternError, UnicodeEncodeError):
                self._fault(file, f"/allow/patterns/{index}", "no RE2 pattern", pattern, "RE2 syntax")
        yield Allowance(
            values=frozenset(allow.get("values", ())),
            patterns=tuple(patterns),
            keys=KeyGlobs(allow["keys"]) if allow.get("keys") else None,
            tenants=tenants,
        )

    def _unknown_names(self, match: Mapping[str, Any], file: str, pointer: str) -> Iterator[Fault]:
        known = {
            "detectors": sorted(self._known),
            "entities": sorted({detector.entity for detector in self._known.values()}),
        }
        for kind, names in known.items():
            for index, name in enumerate(match.get(kind, ())):
                if not any(_is_named(each, [name]) for each in names):
                    where, allowed = f"{pointer}/{kind}/{index}", ", ".join(names)
                    yield Fault(file=file, pointer=where, message="nothing has this name", given=name, allowed=allowed)


def _is_named(name: str, names: Sequence[str] | None) -> bool:
    """Whether a name is one of some, which may be globs; None for any."""
    if names is None or name in names:
        return True
    return any(_GLOB.search(each) and KeyGlobs([each]).match(name) for each in names)
