"""Finds sensitive data in the texts of an item: one pass over all of them as a gate, then only the patterns in it.

The gate reads the texts joined by a separator. What it reports is looked for pattern by pattern in the joined text, and
a match that touches a separator is decided on the single text, so the answer is that of scanning text by text, for any
pattern. Patterns that may depend on where a text begins have a gate of their own that reads text by text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from otelwarden.core import ConfigError, Fault
from otelwarden.redaction.catalogue import Detector, words_of_key
from otelwarden.redaction.patterns import (
    SEPARATOR,
    Gate,
    characters_from,
    compile_pattern,
    group_count,
    is_anchored,
    is_characterwise,
    matches,
    whole_characters,
)
from otelwarden.redaction.validators import VALIDATORS, entropy, secret_value

_MAX_OVERLAP: Final = 64
"""Bytes of a refused candidate within which another is looked for. Longer ones are passed over: retrying at each byte
of a long run would be quadratic."""


class Hit(NamedTuple):
    """Something a detector found."""

    text: int
    """Number of the text it was found in."""
    start: int
    """Where it begins, in bytes of the UTF-8 of its text."""
    end: int
    detector: int
    """Number of the detector, in the order they were given to the scanner."""


class Joined(NamedTuple):
    """Texts joined for one scan."""

    data: bytes
    starts: list[int]
    """Where each text begins in `data`."""
    ends: list[int]


def encode_text(text: str) -> bytes:
    """The UTF-8 of a text; lone surrogates, which UTF-8 cannot carry, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def join_texts(texts: Sequence[str], data: bytes | None = None) -> Joined:
    """The texts as one.

    Args:
        data: the UTF-8 of the texts joined by the separator, if it was made already.
    """
    if data is None:
        data = SEPARATOR.join(texts).encode("utf-8", "surrogatepass")
    parts: Iterable[str | bytes] = texts
    if not data.isascii():  # else characters are bytes, and nothing need be encoded again
        parts = encoded = [encode_text(text) for text in texts]
        data = SEPARATOR.encode().join(encoded)
    starts, ends, at = [], [], 0
    for size in map(len, parts):
        starts.append(at)
        at += size
        ends.append(at)
        at += 1
    return Joined(data, starts, ends)


class _Finder:
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
        self.words = None if words is None else compile_pattern(words)
        # And an underscore on either side, which the pattern takes in.
        self.longest_word = max(map(len, detector.words), default=0) + 2
        self.key = None if detector.key_pattern is None else compile_pattern(detector.key_pattern)
        self.key_value = None if detector.key_value is None else compile_pattern(detector.key_value, characters=True)

    def confirm(self, data: bytes, match: Any, low: int, high: int, *, in_context: bool) -> tuple[int, int] | None:
        """The range of the hit that a match is; None when it is refused."""
        start, end = match.span()
        for group in self.groups:
            if match.start(group) >= 0:
                start, end = match.span(group)
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


class Scanner:
    """Detectors, compiled; holds no state of a scan, so threads may share it.

    Args:
        detectors: what to look for; the order numbers them.

    Raises:
        ConfigError: a detector fails on its own examples.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors = tuple(detectors)
        self._finders = [_Finder(number, detector) for number, detector in enumerate(self.detectors)]
        gates: dict[tuple[bool, bool], list[tuple[int, str]]] = {}
        for finder in self._finders:
            gate = finder.detector.gate_pattern
            if gate is not None:
                characters = finder.characters or (not finder.detector.catalogued and is_characterwise(gate))
                gates.setdefault((finder.anchored, characters), []).append((finder.number, gate))
        compiled = {key: Gate(members, characters=key[1]) for key, members in gates.items()}
        self._joined_gates = [gate for (anchored, _), gate in compiled.items() if not anchored]
        self._text_gates = [gate for (anchored, _), gate in compiled.items() if anchored]
        self.single_gate = self._joined_gates[0] if len(compiled) == 1 and self._joined_gates else None
        """The gate that alone says whether joined texts are clean; None when there are several."""
        self._check_samples()

    def scan(self, joined: Joined, candidates: Sequence[int] | None = None) -> list[Hit]:
        """What the detectors find, in no particular order; hits may overlap.

        Args:
            candidates: what `single_gate` said about the joined text, if it was asked already.
        """
        hits: list[Hit] = []
        if candidates is None:
            candidates = [n for gate in self._joined_gates for n in gate.match(joined.data) or ()]
        for number in candidates:
            finder = self._finders[number]
            if finder.words is not None:
                self._find_near_words(finder, joined, hits)
            else:
                self._find_in_joined(finder, joined, hits)
        for gate in self._text_gates:
            for text, (start, end) in enumerate(zip(joined.starts, joined.ends, strict=True)):
                # A copy, as `^` must see the text begin.
                data = joined.data[start:end]
                for number in gate.match(data) or ():
                    self._find(self._finders[number], data, 0, 0, end - start, text, hits)
        return hits

    def scan_under_key(self, joined: Joined, text: int, detectors: Iterable[int], hits: list[Hit]) -> None:
        """Adds what the key of a text makes a hit.

        Args:
            detectors: the ones that `detectors_of_key` named.
        """
        low, high = joined.starts[text], joined.ends[text]
        for number in detectors:
            finder = self._finders[number]
            if finder.key is None:
                self._find_in_context(finder, joined.data[low:high], text, hits)
            elif finder.key_value is not None:
                data = joined.data[low:high]
                hits += (Hit(text, match.start(), match.end(), number) for match in matches(finder.key_value, data))
            elif secret_value(joined.data, low, high) > low:
                hits.append(Hit(text, 0, high - low, number))

    def detectors_of_key(self, key: str) -> tuple[int, ...]:
        """The detectors for which a key is evidence: by its name, or as the context of their pattern."""
        name = encode_text(words_of_key(key))
        return tuple(
            finder.number
            for finder in self._finders
            if (finder.key is not None and finder.key.search(name) is not None)
            or (finder.key is None and finder.words is not None and finder.words.search(name) is not None)
        )

    def _find_in_joined(self, finder: _Finder, joined: Joined, hits: list[Hit]) -> None:
        data, starts, ends = joined
        finditer = finder.pattern.finditer  # type: ignore[union-attr]  # a candidate has a pattern
        at, matches_from_here = 0, finditer(data)
        while (match := next(matches_from_here, None)) is not None:
            start, end = match.span()
            text = bisect_right(starts, start) - 1
            if end <= ends[text]:
                at = self._take(finder, data, match, starts[text], ends[text], text, hits)
                if at != end:  # only part of the match was taken, or nothing
                    matches_from_here = finditer(data, at)
                continue
            # It reaches into the next text, or begins with the separator before it: let the single text decide.
            if start >= ends[text]:
                text += 1
            self._find(finder, data, max(at, starts[text]), starts[text], ends[text], text, hits)
            if text + 1 == len(starts):
                return
            at = starts[text + 1]
            matches_from_here = finditer(data, at)

    def _find_near_words(self, finder: _Finder, joined: Joined, hits: list[Hit]) -> None:
        """As `_find_in_joined`, in the texts that have one of the words which the detector needs."""
        data, starts, ends = joined
        done = -1
        for word in matches(finder.words, data):
            text = bisect_right(starts, word.start()) - 1
            if text != done:
                self._find(finder, data, starts[text], starts[text], ends[text], text, hits)
                done = text

    def _find(self, finder: _Finder, data: bytes, at: int, low: int, high: int, text: int, hits: list[Hit]) -> None:
        search = finder.pattern.search  # type: ignore[union-attr]  # a candidate has a pattern
        while (match := search(data, at, high)) is not None:
            at = self._take(finder, data, match, low, high, text, hits)

    def _take(self, finder: _Finder, data: bytes, match: Any, low: int, high: int, text: int, hits: list[Hit]) -> int:
        """Adds the hit that a match is, if it is one; where to go on."""
        start: int
        end: int
        start, end = match.span()
        if end == start:
            return characters_from(data, start + 1)
        found = finder.confirm(data, match, low, high, in_context=False)
        if found is not None:
            hits.append(Hit(text, found[0] - low, found[1] - low, finder.number))
            return min(end, max(found[1], start + 1))
        return end if end - start > _MAX_OVERLAP else characters_from(data, start + 1)

    def _find_in_context(self, finder: _Finder, data: bytes, text: int, hits: list[Hit]) -> None:
        search = finder.pattern.search  # type: ignore[union-attr]  # context words are about a pattern
        at = 0
        while (match := search(data, at)) is not None:
            start, end = match.span()
            found = None if end == start else finder.confirm(data, match, 0, len(data), in_context=True)
            if found is not None:
                hits.append(Hit(text, *found, finder.number))
            at = characters_from(data, max(start + 1, end if found is not None else 0))

    def _check_samples(self) -> None:
        """Refuses detectors that fail on their own examples: RE2 reports a full automaton as "no match"."""
        faults = [
            Fault(message=f"detector `{finder.detector.id}` {verdict} its own {name}", given=sample)
            for finder in self._finders
            for name, samples, expected, verdict in (
                ("example", finder.detector.examples, True, "finds nothing in"),
                ("near miss", finder.detector.near_misses, False, "finds something in"),
            )
            for sample in samples
            if self.finds(finder.number, sample) is not expected
        ]
        if faults:
            raise ConfigError(faults)

    def finds(self, detector: int, sample: Any) -> bool:
        """Whether a detector finds anything in a text, or in a field given as `{key: value}`."""
        key, value = next(iter(sample.items())) if not isinstance(sample, str) else ("", sample)
        joined = join_texts([value])
        hits = self.scan(joined)
        if key:
            self.scan_under_key(joined, 0, self.detectors_of_key(key), hits)
        return any(hit.detector == detector for hit in hits)
