"""One detector at work: which of the matches of its pattern are hits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otelwarden.redaction.catalogue import Detector
from otelwarden.redaction.countries import country_pattern
from otelwarden.redaction.patterns import (
    characters_from,
    compile_pattern,
    group_count,
    is_anchored,
    is_characterwise,
    matches,
    whole_characters,
)
from otelwarden.redaction.validators import VALIDATORS, entropy


class Finder:
    """One detector, compiled."""

    def __init__(self, number: int, detector: Detector) -> None:
        self.number = number
        self.detector = detector
        pattern = detector.pattern
        self.characters = not detector.catalogued and pattern is not None and is_characterwise(pattern)
        gate = detector.gate_pattern
        self.anchored = pattern is not None and (is_anchored(pattern) or (gate is not None and is_anchored(gate)))
        self.groups = range(1, 1 + (group_count(pattern) if pattern is not None else 0))
        self.pattern = None if pattern is None else compile_pattern(pattern, characters=self.characters)
        self.validate = VALIDATORS[detector.validator] if detector.validator else None
        words = detector.word_pattern
        self.key_words = None if words is None else compile_pattern(words)
        """Words of which one in the key of a text is the context that a candidate needs."""
        self.words = self.key_words if detector.confidence == "high" else None
        # And an underscore on either side, which the pattern takes in.
        self.longest_word = max(map(len, detector.words), default=0) + 2
        self.low = detector.confidence == "low"
        self.country = compile_pattern(country_pattern(detector.country)) if detector.country else None
        self.key = None if detector.key_pattern is None else compile_pattern(detector.key_pattern)
        self.key_value = None if detector.key_value is None else compile_pattern(detector.key_value, characters=True)

    def is_named_by(self, key: bytes) -> bool:
        """Whether a key, as `words_of_key` gives it, is evidence: by its name, or as the context of the pattern."""
        names = self.key_words if self.key is None else self.key
        return names is not None and names.search(key) is not None

    def confirm(
        self, data: bytes, match: Any, start: int, end: int, low: int, high: int, *, in_context: bool = False
    ) -> tuple[int, int] | None:
        """The range of the hit that a match is; None when it is refused.

        Args:
            start: where the match begins; asking it again costs more than handing it on.
            low: where its text begins.
            in_context: whether its key is the context that the detector needs.
        """
        for group in self.groups:
            inner: tuple[int, int] = match.span(group)
            if inner[0] >= 0:
                start, end = inner
                break
        if self.validate is not None:
            end = self.validate(data, start, end)
            if end <= start:
                return None
        if self.detector.min_entropy and entropy(data[start:end]) < self.detector.min_entropy:
            return None
        if self.words is not None and not in_context and not self._word_is_near(data, start, end, low, high):
            return None
        if data[start] < 0x80 and (end == len(data) or data[end] < 0x80):
            return start, end
        return whole_characters(data, start, end)

    def _word_is_near(self, data: bytes, start: int, end: int, low: int, high: int) -> bool:
        words: Any = self.words
        distance, reach = self.detector.distance, self.detector.distance + self.longest_word
        before = words.finditer(data, max(low, start - reach), start)
        if any(word.end() >= start - distance for word in before):
            return True
        after = words.search(data, end, min(high, end + reach))
        return after is not None and after.start() <= end + distance

    def spans_under_key(self, data: bytes) -> Iterator[tuple[int, int]]:
        """The hits in a text whose key is evidence: what the key makes of a part of it, or the pattern's context."""
        if self.key_value is not None:
            yield from (match.span() for match in matches(self.key_value, data))
            return
        search = self.pattern.search  # type: ignore[union-attr]  # context words are about a pattern
        at = 0
        while (match := search(data, at)) is not None:
            start, end = match.span()
            found = None if end == start else self.confirm(data, match, start, end, 0, len(data), in_context=True)
            if found is not None:
                yield found
            at = characters_from(data, max(start + 1, end if found is not None else 0))
