"""Finds sensitive data in the texts of an item: one pass over all of them as a gate, then only the patterns in it.

The gate reads the texts joined by a separator. What it reports is looked for pattern by pattern in the joined text, and
a match that touches a separator is decided on the single text, so the answer is that of scanning text by text, for any
pattern. Patterns that may depend on where a text begins have a gate of their own that reads text by text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from otelwarden.core import ConfigError, Fault
from otelwarden.redaction.catalogue import Detector, words_of_key
from otelwarden.redaction.encodings import GATE, WIDE_GATE, View, views
from otelwarden.redaction.finder import Finder
from otelwarden.redaction.patterns import (
    SEPARATOR,
    Gate,
    characters_from,
    compile_pattern,
    is_characterwise,
    match_of_all,
    matches,
)
from otelwarden.redaction.validators import secret_value

_MAX_OVERLAP: Final = 64
"""Bytes of a refused candidate within which another is looked for. Longer ones are passed over: retrying at each byte
of a long run would be quadratic."""

ENCODED: Final = -1
"""Stands among the candidates for something encoded."""


class _Any:
    """All detectors."""

    def __contains__(self, number: int) -> bool:
        return True


_ANY: Final = _Any()


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


class Scanner:
    """Detectors, compiled; holds no state of a scan, so threads may share it.

    Args:
        detectors: what to look for; the order numbers them.

    Raises:
        ConfigError: a detector fails on its own examples.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors = tuple(detectors)
        self._finders = [Finder(number, detector) for number, detector in enumerate(self.detectors)]
        self._has_low = any(finder.low for finder in self._finders)
        self._encoding = WIDE_GATE if any(not detector.catalogued for detector in self.detectors) else GATE
        self._encoded = compile_pattern(self._encoding)
        gates: dict[tuple[bool, bool], list[tuple[int, str]]] = {(False, False): [(ENCODED, self._encoding)]}
        for finder in self._finders:
            gate = finder.detector.gate_pattern
            if gate is not None:
                characters = finder.characters or (not finder.detector.catalogued and is_characterwise(gate))
                gates.setdefault((finder.anchored, characters), []).append((finder.number, gate))
        compiled = {key: Gate(members, characters=key[1]) for key, members in gates.items()}
        self._joined_gates = [gate for (anchored, _), gate in compiled.items() if not anchored]
        self._text_gates = [gate for (anchored, _), gate in compiled.items() if anchored]
        self._match_joined = match_of_all(self._joined_gates)
        self.joined_match = None if self._text_gates else self._match_joined
        """Says in one call whether joined texts are clean; None when some texts must be looked at one by one."""
        self._check_samples()

    def scan(self, joined: Joined, candidates: Sequence[int] | None = None) -> list[Hit]:
        """What the detectors find, in no particular order; hits may overlap.

        Args:
            candidates: what `joined_match` said about the joined text, if it was asked already.
        """
        if candidates is None:
            candidates = self._match_joined(joined.data) or ()
        hits: list[Hit] = []
        self._find(joined, candidates, hits)
        if ENCODED in candidates:
            self._find_encoded(joined, hits)
        return hits

    def _find(self, joined: Joined, candidates: Sequence[int], hits: list[Hit]) -> None:
        """Adds what stands in the texts as they are."""
        for number in candidates:
            if number == ENCODED:
                continue
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
                    self._find_in_text(self._finders[number], data, 0, 0, end - start, text, hits)

    def _find_encoded(self, joined: Joined, hits: list[Hit]) -> None:
        """Adds what the texts say when they are decoded."""
        data, starts, ends = joined
        at = 0
        while (match := self._encoded.search(data, at)) is not None:
            text = bisect_right(starts, match.start()) - 1
            for view in views(data[starts[text] : ends[text]]):
                inner = Joined(view.data, [0], [len(view.data)])
                found: list[Hit] = []
                self._find(inner, self._match_joined(view.data) or (), found)
                hits += (_from_view(hit, view, text) for hit in found)
            if text + 1 == len(starts):
                return
            at = starts[text + 1]

    def scan_under_key(self, joined: Joined, text: int, detectors: Iterable[int], hits: list[Hit]) -> None:
        """Adds what the key of a text makes a hit.

        Args:
            detectors: the ones that `detectors_of_key` named.
        """
        data = joined.data[joined.starts[text] : joined.ends[text]]
        in_part = []
        for number in detectors:
            finder = self._finders[number]
            if finder.key is None or finder.key_value is not None:
                in_part.append(finder)
            elif secret_value(data, 0, len(data)):
                hits.append(Hit(text, 0, len(data), number))
        if not in_part:
            return
        for finder in in_part:
            hits += (Hit(text, *span, finder.number) for span in finder.spans_under_key(data))
        if self._encoded.search(data) is None:
            return
        for view in views(data):
            for finder in in_part:
                found = (Hit(0, *span, finder.number) for span in finder.spans_under_key(view.data))
                hits += (_from_view(hit, view, text) for hit in found)

    def detectors_of_key(self, key: str) -> tuple[int, ...]:
        """The detectors for which a key is evidence: by its name, or as the context of their pattern."""
        name = encode_text(words_of_key(key))
        named = [finder for finder in self._finders if finder.is_named_by(name)]
        here = {finder.detector.country for finder in named if finder.country and finder.country.search(name)}
        # `de_tax_id` is no American one.
        return tuple(f.number for f in named if not here or not f.detector.country or f.detector.country in here)

    def drop_contradicted(self, hits: list[Hit], named: Mapping[int, Container[int]]) -> list[Hit]:
        """The hits without those of low confidence in texts whose key says that they are something else.

        Args:
            named: the detectors that the keys of a text name, by the number of the text.
        """
        if not self._has_low:
            return hits
        low = self._finders
        return [hit for hit in hits if not (low[hit.detector].low and hit.detector not in named.get(hit.text, _ANY))]

    def _find_in_joined(self, finder: Finder, joined: Joined, hits: list[Hit]) -> None:
        data, starts, ends = joined
        finditer = finder.pattern.finditer  # type: ignore[union-attr]  # a candidate has a pattern
        at, matches_from_here = 0, finditer(data)
        while (match := next(matches_from_here, None)) is not None:
            start, end = match.span()
            text = bisect_right(starts, start) - 1
            if end <= ends[text]:
                at = self._take(finder, data, match, start, end, starts[text], ends[text], text, hits)
                if at != end:  # only part of the match was taken, or nothing
                    matches_from_here = finditer(data, at)
                continue
            # It reaches into the next text, or begins with the separator before it: let the single text decide.
            if start >= ends[text]:
                text += 1
            self._find_in_text(finder, data, max(at, starts[text]), starts[text], ends[text], text, hits)
            if text + 1 == len(starts):
                return
            at = starts[text + 1]
            matches_from_here = finditer(data, at)

    def _find_near_words(self, finder: Finder, joined: Joined, hits: list[Hit]) -> None:
        """As `_find_in_joined`, in the texts that have one of the words which the detector needs."""
        data, starts, ends = joined
        done = -1
        for word in matches(finder.words, data):
            text = bisect_right(starts, word.start()) - 1
            if text != done:
                self._find_in_text(finder, data, starts[text], starts[text], ends[text], text, hits)
                done = text

    def _find_in_text(
        self, finder: Finder, data: bytes, at: int, low: int, high: int, text: int, hits: list[Hit]
    ) -> None:
        search = finder.pattern.search  # type: ignore[union-attr]  # a candidate has a pattern
        while (match := search(data, at, high)) is not None:
            start, end = match.span()
            at = self._take(finder, data, match, start, end, low, high, text, hits)

    def _take(
        self,
        finder: Finder,
        data: bytes,
        match: Any,
        start: int,
        end: int,
        low: int,
        high: int,
        text: int,
        hits: list[Hit],
    ) -> int:
        """Adds the hit that a match is, if it is one; where to go on."""
        if end == start:
            return characters_from(data, start + 1)
        found = finder.confirm(data, match, start, end, low, high)
        if found is not None:
            hits.append(Hit(text, found[0] - low, found[1] - low, finder.number))
            return min(end, max(found[1], start + 1))
        return end if end - start > _MAX_OVERLAP else characters_from(data, start + 1)

    def _check_samples(self) -> None:
        """Refuses detectors that fail on their own examples: RE2 reports a full automaton as "no match".

        Of each shipped one the first example is tried, as our tests try the rest.
        """
        faults = [
            Fault(message=f"detector `{finder.detector.id}` {verdict} its own {name}", given=sample)
            for finder in self._finders
            for name, samples, expected, verdict in (
                ("example", finder.detector.examples, True, "finds nothing in"),
                ("near miss", finder.detector.near_misses, False, "finds something in"),
            )
            for sample in (samples[: int(expected)] if finder.detector.catalogued else samples)
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


def _from_view(hit: Hit, view: View, text: int) -> Hit:
    """The hit in the text itself that a hit in one of its views is."""
    says = view.data[hit.start : hit.end].decode("utf-8", "replace")
    return Hit(text, *view.source(hit.start, hit.end), hit.detector, says)
