"""Detectors: what one kind of sensitive data looks like. Data, in `detectors.json` and in the files of policies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

from otelwarden.core import Classification, ConfigError, Fault, check_document
from otelwarden.redaction.actions import DEFAULT_TEXT
from otelwarden.redaction.patterns import PatternError, compile_pattern

Group: TypeAlias = Literal["pii", "secrets"]
Sample: TypeAlias = str | Mapping[str, str]
"""A text, or one field as `{key: value}`."""

CONTEXT_DISTANCE: Final = 40
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")


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
    def word_pattern(self) -> str | None:
        """The context words as one pattern; None when there are none."""
        if not self.words:
            return None
        alternatives = "|".join(word.replace(" ", "[ _.-]?") for word in self.words)
        # An underscore is a word character, but `user_ssn` must count.
        return f"(?i)(?:\\b|_)(?:{alternatives})(?:\\b|_)"

    @property
    def gate_pattern(self) -> str | None:
        """What the gate looks for; None when only keys tell."""
        if self.pattern is None:
            return None
        if self.gate is not None:
            return self.gate
        return self.word_pattern or self.pattern


def words_of_key(key: str) -> str:
    """A key as lower-case words joined by `_`: `http.request.header.X-Api-Key` and `dbPassword` alike."""
    return _NO_WORD.sub("_", _CAMEL_CASE.sub("_", key).lower()).strip("_")


def pattern_faults(detector: Detector, *, file: str, pointer: str) -> Iterator[Fault]:
    """What is wrong with the patterns of a detector: no RE2 syntax, or content with an empty text."""
    patterns = {
        "pattern": detector.pattern,
        "gate": detector.gate,
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
            if name in ("pattern", "keys/value") and compiled.search(b"") is not None:
                message = "the pattern matches an empty text"
                yield Fault(file=file, pointer=f"{pointer}/{name}", message=message, given=pattern)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else type(error).__name__
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def detectors_from(documents: Sequence[Mapping[str, Any]], *, file: str, catalogued: bool) -> tuple[Detector, ...]:
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
        faults.extend(pattern_faults(detector, file=file, pointer=pointer))
        detectors[detector.id] = detector
    if faults:
        raise ConfigError(faults)
    return tuple(detectors.values())


@cache
def catalogue() -> tuple[Detector, ...]:
    """The shipped detectors."""
    file = resources.files("otelwarden.redaction").joinpath("detectors.json")
    document = json.loads(file.read_text(encoding="utf-8"))
    check_document(document, "detectors", file="detectors.json")
    return detectors_from(document["detectors"], file="detectors.json", catalogued=True)
