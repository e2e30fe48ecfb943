"""Detectors: what one kind of sensitive data looks like. Data, in `detectors/*.json` and in the files of policies.

A detector has two confidences. High is what policies act on: a form that is evidence by itself, or a word or key beside
it that says what it is. Low is what a policy may ask for: the same form, or a looser one, without its context.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

from otelwarden.core import Classification, ConfigError, Fault
from otelwarden.redaction.actions import DEFAULT_TEXT
from otelwarden.redaction.patterns import PatternError, compile_pattern
from otelwarden.redaction.validators import VALIDATORS

Group: TypeAlias = Literal["pii", "secrets"]
Confidence: TypeAlias = Literal["high", "low"]
Sample: TypeAlias = str | Mapping[str, str]
"""A text, or one field as `{key: value}`."""

CONTEXT_DISTANCE: Final = 40
_NAME: Final = r"[\w.\- ]*"
_CLOSED: Final = r"[\\\"'`\])]*[ \t]*"
_SIGN: Final = r"(?:[:?.|+]*=>?|:|->|,|>)"
_OPENED: Final = r"[ \t]*(?:[A-Za-z]+\s{0,2}=\s{0,2})?[\\\"'`(\[{]*(?:(?i:bearer|basic|token)[ =])?"
"""Between a name and the value it is given: `: `, `=`, ` := "`, ` string = "`, `", "`, `>`, `: String = '`. Unbounded,
as an automaton that counts has a state for each count."""

_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")

TRIGGERS: Final[Mapping[str, str]] = {
    "at_sign": "@",
    "secret_word": r"(?i)passw|passphr|pwd|secret|token|credent|[a-z0-9_\-. ]key|\bx-[a-z0-9\-]*signature"
    r"|\bpass\s{0,3}=|sid=|session_?id=|session=|\.aspnetcore\.|_logged_in_",
}
"""What many gates have in them, by the name that a detector gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """What one kind of sensitive data looks like. Patterns are in RE2 syntax."""

    id: str
    """lower_snake_case, one in all the policies that are combined."""
    entity: str
    """The kind of data, UPPER_SNAKE_CASE; several detectors may find one kind."""
    group: Group
    """Which built-in policy covers it."""
    classification: Classification
    """How sensitive the data is."""
    source: str = ""
    """Where the format is described."""
    pattern: str | None = None
    """The form; the first group, or else the whole match, is the hit. None: known by its key alone."""
    gate: str | None = None
    """A looser pattern that occurs wherever `pattern` does; None for `pattern` itself, or the context words."""
    trigger: str | None = None
    """A pattern that occurs wherever the gate does, and that other detectors share: the gate is looked for only where
    one of all their triggers is."""
    validator: str | None = None
    """Name of the validator that a candidate must pass."""
    min_entropy: float = 0.0
    """Bits a byte that a candidate must have at least."""
    words: tuple[str, ...] = ()
    """Words of which one must stand near a candidate or in its key; none: the form is evidence enough."""
    distance: int = CONTEXT_DISTANCE
    """Bytes between the candidate and the word."""
    key_pattern: str | None = None
    """Names of fields whose values are hits, in the form that `words_of_key` gives them."""
    key_value: str | None = None
    """The part of such a value that is the hit; None for the whole."""
    country: str = ""
    """Whose number it is, ISO 3166-1 alpha-2 in lower case: a key that names another country speaks against it."""
    low: Mapping[str, str] | None = None
    """How its low confidence differs in pattern, gate and validator; None when it has no low confidence."""
    confidence: Confidence = "high"
    """Which of its two confidences this is; at low confidence `words` count in keys only, and are not asked for."""
    text: str = DEFAULT_TEXT
    """What stands in place of a hit unless a rule says otherwise."""
    examples: tuple[Sample, ...] = ()
    """Samples in which it must find something."""
    near_misses: tuple[Sample, ...] = ()
    """Samples in which it must find nothing."""
    catalogued: bool = False
    """Whether it is one of the shipped ones, whose patterns are written for bytes."""

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any], *, catalogued: bool = False) -> Detector:
        """The detector that a file describes, whose schema has been checked."""
        fields = dict(document)
        if "trigger" in fields:
            fields["trigger"] = TRIGGERS[fields["trigger"]]
        if "assigned" in fields:
            fields = _assignment(**fields.pop("assigned")) | fields
        context: Mapping[str, Any] = fields.pop("context", {})
        keys: Mapping[str, str] = fields.pop("keys", {})
        for name in ("examples", "near_misses"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(
            **fields,
            words=tuple(context.get("words", ())),
            distance=context.get("distance", CONTEXT_DISTANCE),
            key_pattern=keys.get("pattern"),
            key_value=keys.get("value"),
            catalogued=catalogued,
        )

    @property
    def at_low_confidence(self) -> Detector | None:
        """The detector without its context, under the same id; None when there is no such thing."""
        if self.low is None:
            return None
        pattern = self.low.get("pattern", self.pattern)
        return replace(
            self,
            confidence="low",
            low=None,
            pattern=pattern,
            gate=self.low.get("gate", self.gate if pattern == self.pattern else None),
            trigger=self.trigger if pattern == self.pattern else None,
            validator=self.low.get("validator", self.validator),
            key_pattern=None,
            key_value=None,
            examples=(),
            near_misses=(),
        )

    @property
    def word_pattern(self) -> str | None:
        """The context words as one pattern; None when there are none."""
        return pattern_of_words(self.words) if self.words else None

    @property
    def gate_pattern(self) -> str | None:
        """What the gate looks for; None when only keys tell."""
        if self.pattern is None:
            return None
        if self.gate is not None:
            return self.gate
        if self.confidence == "low":
            return self.pattern
        return self.word_pattern or self.pattern


def _assignment(name: str, value: str, *, within_words: bool = False) -> dict[str, str]:
    """Pattern, gate and trigger of a value given to a name: in code, configuration, a shell, JSON, YAML or XML."""
    start = f"(?i:{name})" if within_words else f"(?i:(?:\\b|_)(?:{name}))"
    return {"pattern": f"{start}{_NAME}{_CLOSED}{_SIGN}{_OPENED}({value})", "gate": start, "trigger": start}


def pattern_of_words(words: Iterable[str]) -> str:
    """Any of some context words."""
    alternatives = "|".join(word.replace(" ", "[ _.-]?") for word in words)
    # An underscore is a word character, but `user_ssn` must count.
    return f"(?i)(?:\\b|_)(?:{alternatives})(?:\\b|_)"


def words_of_key(key: str) -> str:
    """A key as lower-case words joined by `_`: `http.request.header.X-Api-Key` and `dbPassword` alike."""
    return _NO_WORD.sub("_", _CAMEL_CASE.sub("_", key).lower()).strip("_")


def detector_faults(detector: Detector, *, file: str, pointer: str) -> Iterator[Fault]:
    """What is wrong with a detector: a pattern that is no RE2 or content with an empty text, an unknown validator."""
    validators = {"validator": detector.validator, "low/validator": (detector.low or {}).get("validator")}
    for name, validator in validators.items():
        if validator is not None and validator not in VALIDATORS:
            message, allowed = "nothing has this name", ", ".join(sorted(VALIDATORS))
            yield Fault(file=file, pointer=f"{pointer}/{name}", message=message, given=validator, allowed=allowed)
    low = detector.low or {}
    patterns = {
        "pattern": detector.pattern,
        "gate": detector.gate,
        "low/pattern": low.get("pattern"),
        "low/gate": low.get("gate"),
        "keys/pattern": detector.key_pattern,
        "keys/value": detector.key_value,
    }
    for name, pattern in patterns.items():
        if pattern is None:
            continue
        try:
            compiled = compile_pattern(pattern, characters=True)
        except (PatternError, UnicodeEncodeError) as error:
            message = f"no RE2 pattern: {_reason(error)}"
            yield Fault(file=file, pointer=f"{pointer}/{name}", message=message, given=pattern, allowed="RE2 syntax")
        else:
            if name in ("pattern", "low/pattern", "keys/value") and compiled.search(b"") is not None:
                message = "the pattern matches an empty text"
                yield Fault(file=file, pointer=f"{pointer}/{name}", message=message, given=pattern)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else type(error).__name__
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def detectors_from(
    documents: Sequence[Mapping[str, Any]], *, file: str, catalogued: bool = False
) -> tuple[Detector, ...]:
    """The detectors of one file, whose schema has been checked.

    Raises:
        ConfigError: a pattern is refused, or two detectors have one id.
    """
    detectors: dict[str, Detector] = {}
    faults: list[Fault] = []
    for index, document in enumerate(documents):
        detector = Detector.from_mapping(document, catalogued=catalogued)
        pointer = f"/detectors/{index}"
        if detector.id in detectors:
            faults.append(Fault(file=file, pointer=f"{pointer}/id", message="this id is taken", given=detector.id))
        faults.extend(detector_faults(detector, file=file, pointer=pointer))
        detectors[detector.id] = detector
    if faults:
        raise ConfigError(faults)
    return tuple(detectors.values())


@cache
def catalogue() -> tuple[Detector, ...]:
    """The shipped detectors, in the order of their files."""
    folder = resources.files("otelwarden.redaction").joinpath("detectors")
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".json")), key=lambda each: each.name)
    documents = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    # Their schema and patterns are checked by our tests, not at every start of every application: it takes 0.5 s.
    return tuple(Detector.from_mapping(entry, catalogued=True) for each in documents for entry in each["detectors"])
