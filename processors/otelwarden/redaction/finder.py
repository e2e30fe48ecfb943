"""One detector at work: which of the matches of its pattern are hits."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from otelwarden.redaction.catalogue import Detector
from otelwarden.redaction.countries import country_pattern
from otelwarden.redaction.marks import required_text
from otelwarden.redaction.patterns import (
    Spans,
    characters_from,
    compile_pattern,
    find_by,
    group_count,
    is_anchored,
    is_characterwise,
    whole_characters,
)
from otelwarden.redaction.validators import VALIDATORS, entropy

_MAX_OVERLAP: Final = 64
"""Bytes of a refused candidate within which another is looked for. Longer ones are passed over: retrying at each byte
of a long run would be quadratic."""

_MIN_MARK: Final = 3
"""Bytes of a text that is worth looking for, unless it is an at sign: shorter ones are in most texts."""


class Hit(NamedTuple):
    """Something a detector found."""

    text: int
    """Number of the text it was found in."""
    start: int
    """Where it begins, in bytes of the UTF-8 of its text."""
    end: int
    detector: int
    """Number of the detector, in the order they were given to the scanner."""
    decoded: str = ""
    """What was found, when it is encoded in the text."""


class Finder:
    """One detector, compiled."""

    def __init__(self, number: int, detector: Detector) -> None:
        self.number = number
        self.detector = detector
        pattern = detector.pattern
        self.characters = not detector.catalogued and pattern is not None and is_characterwise(pattern)
        gate = detector.gate_pattern
        self.anchored = pattern is not None and (is_anchored(pattern) or (gate is not None and is_anchored(gate)))
        self.grouped = pattern is not None and group_count(pattern) > 0
        compiled = None if pattern is None else compile_pattern(pattern, characters=self.characters)
        self.find: Any = None if compiled is None else find_by(compiled)
        mark = required_text(pattern) if pattern is not None else b""
        self.mark = mark if len(mark) >= _MIN_MARK or b"@" in mark else b""
        """What every match has in it, if that is worth looking for first; else empty."""
        self.validate = VALIDATORS[detector.validator] if detector.validator else None
        words = detector.word_pattern
        self.key_words = None if words is None else find_by(compile_pattern(words))
        """Words of which one in the key of a text is the context that a candidate needs."""
        self.words = self.key_words if detector.confidence == "high" else None
        by_words = detector.catalogued and words is not None and gate == words
        self.trigger = None if self.anchored else words if by_words else detector.trigger
        """What must be in a text for the gate to be asked at all; None when the gate is always asked."""
        # And an underscore on either side, which the pattern takes in.
        self.longest_word = max(map(len, detector.words), default=0) + 2
        self.low = detector.confidence == "low"
        self.country = compile_pattern(country_pattern(detector.country)) if detector.country else None
        self.key = None if detector.key_pattern is None else find_by(compile_pattern(detector.key_pattern))
        key_value = detector.key_value
        self.key_value = None if key_value is None else find_by(compile_pattern(key_value, characters=True))
        self._min_entropy = detector.min_entropy

    def is_named_by(self, key: bytes) -> bool:
        """Whether a key, as `words_of_key` gives it, is evidence: by its name, or as the context of the pattern."""
        names = self.key_words if self.key is None else self.key
        return names is not None and names(key, 0, len(key))[0][0] >= 0

    def find_in(self, data: bytes, text: int, hits: list[Hit], *, in_context: bool = False) -> None:
        """Adds the hits in a text.

        Args:
            text: its number.
            in_context: whether its key is the context that the detector needs.
        """
        mark, find, take = self.mark, self.find, self._take
        at, end = 0, len(data)
        while not mark or data.find(mark, at) >= 0:
            spans = find(data, at, end)
            if spans[0][0] < 0:
                return
            at = take(data, spans, text, hits, in_context)

    def _take(self, data: bytes, spans: Spans, text: int, hits: list[Hit], in_context: bool) -> int:
        """Adds the hit that a match is, if it is one; where to go on."""
        start, end = first, last = spans[0]
        if start == end:
            return characters_from(data, start + 1)
        if self.grouped:
            first, last = next((span for span in spans[1:] if span[0] >= 0), spans[0])
        if self.validate is not None:
            last = self.validate(data, first, last)
        if (
            last > first
            and (not self._min_entropy or entropy(data[first:last]) >= self._min_entropy)
            and (self.words is None or in_context or self._word_is_near(data, first, last))
        ):
            if data[first] >= 0x80 or (last < len(data) and data[last] >= 0x80):
                first, last = whole_characters(data, first, last)
            hits.append(Hit(text, first, last, self.number))
            return min(end, max(last, start + 1))
        return end if end - start > _MAX_OVERLAP else characters_from(data, start + 1)

    def _word_is_near(self, data: bytes, start: int, end: int) -> bool:
        find: Any = self.words
        distance, reach = self.detector.distance, self.detector.distance + self.longest_word
        at = max(0, start - reach)
        while (word := find(data, at, start)[0])[0] >= 0:
            if word[1] >= start - distance:
                return True
            at = word[1]
        word = find(data, end, min(len(data), end + reach))[0]
        return bool(0 <= word[0] <= end + distance)

    def find_under_key(self, data: bytes, text: int, hits: list[Hit]) -> None:
        """Adds the hits in a text whose key is evidence: what it makes of a part of it, or the pattern's context."""
        if self.key_value is None:
            self.find_in(data, text, hits, in_context=True)
            return
        at = 0
        while (span := self.key_value(data, at, len(data))[0])[0] >= 0:
            if span[1] > span[0]:
                hits.append(Hit(text, *span, self.number))
            at = max(span[1], span[0] + 1)
            if at > len(data):
                return
