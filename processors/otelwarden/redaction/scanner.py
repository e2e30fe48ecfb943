"""Finds sensitive data in the texts of an item: one pass over all of them as a gate, then only the patterns in it.

The gate reads the texts joined by a separator. What it reports is looked for pattern by pattern in the joined text, and
a match that touches a separator is decided on the single text, so the answer is that of scanning text by text, for any
pattern. Patterns that may depend on where a text begins have a gate of their own that reads text by text.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

from otelwarden.core import ConfigError, Fault
from otelwarden.redaction.catalogue import Detector, pattern_of_words, words_of_key
from otelwarden.redaction.encodings import GATE, LOOSE_GATE, WIDE_GATE, View, views
from otelwarden.redaction.finder import Finder, Hit
from otelwarden.redaction.joined import Joined, encode_text, join_texts
from otelwarden.redaction.patterns import (
    Gate,
    compile_pattern,
    find_by,
    is_characterwise,
    match_of_all,
)
from otelwarden.redaction.validators import secret_value

ENCODED: Final = -1
"""Stands among the candidates for something encoded."""

TRIGGER: Final = -2
"""Stands among the candidates for one of the triggers, of whichever detector."""


class _Any:
    """All detectors."""

    def __contains__(self, number: int) -> bool:
        return True


_ANY: Final = _Any()


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
        own = any(not detector.catalogued for detector in self.detectors)
        self._encoded = find_by(compile_pattern(WIDE_GATE if own else GATE))
        triggered = [finder for finder in self._finders if finder.trigger is not None]
        plain = [(ENCODED, WIDE_GATE if own else LOOSE_GATE)]
        if triggered:
            plain.append((TRIGGER, _triggers_of(triggered)))
        gates: dict[tuple[bool, bool], list[tuple[int, str]]] = {(False, False): plain}
        for finder in self._finders:
            gate = finder.detector.gate_pattern
            if gate is not None and finder.trigger is None:
                characters = finder.characters or (not finder.detector.catalogued and is_characterwise(gate))
                gates.setdefault((finder.anchored, characters), []).append((finder.number, gate))
        compiled = {kind: Gate(members, characters=kind[1]) for kind, members in gates.items()}
        first = match_of_all([gate for (anchored, _), gate in compiled.items() if not anchored])
        self._match_joined = _in_two_steps(first, triggered) if triggered else first
        self._text_gates = [gate for (anchored, _), gate in compiled.items() if anchored]
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
            elif finder.mark:
                self._find_by_mark(finder, joined, hits)
            else:
                self._find_in_joined(finder, joined, hits)
        for gate in self._text_gates:
            for text in range(joined.count):
                # A copy, as `^` must see the text begin.
                data = joined.text(text)
                for number in gate.match(data) or ():
                    self._finders[number].find_in(data, 0, 0, len(data), text, hits)

    def _find_encoded(self, joined: Joined, hits: list[Hit]) -> None:
        """Adds what the texts say when they are decoded."""
        data = joined.data
        at, size = 0, len(data)
        while at <= size and (at := self._encoded(data, at, size)[0][0]) >= 0:
            text, low, high = joined.place(at)
            for view in views(data[low:high]):
                inner = Joined.of_one(view.data)
                found: list[Hit] = []
                self._find(inner, self._match_joined(view.data) or (), found)
                hits += (_from_view(hit, view, text) for hit in found)
            at = high + 1

    def scan_under_key(self, joined: Joined, text: int, detectors: Iterable[int], hits: list[Hit]) -> None:
        """Adds what the key of a text makes a hit.

        Args:
            detectors: the ones that `detectors_of_key` named.
        """
        data = joined.text(text)
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
            finder.find_under_key(data, text, hits)
        if self._encoded(data, 0, len(data))[0][0] < 0:
            return
        for view in views(data):
            found: list[Hit] = []
            for finder in in_part:
                finder.find_under_key(view.data, text, found)
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
        data, place = joined.data, joined.place
        find, take = finder.find, finder.take
        at, size = 0, len(data)
        while at <= size:
            spans = find(data, at, size)
            start, end = spans[0]
            if start < 0:
                return
            text, low, high = place(start)
            if end <= high:
                at = take(data, spans, low, high, text, hits)
                continue
            # It reaches into the next text, or begins with the separator before it: let the single text decide.
            if start >= high:
                text, low, high = place(high + 1)
            finder.find_in(data, max(at, low), low, high, text, hits)
            at = high + 1

    def _find_by_mark(self, finder: Finder, joined: Joined, hits: list[Hit]) -> None:
        """As `_find_in_joined`, in the texts that have in them what every match has."""
        data = joined.data
        at = data.find(finder.mark)
        while at >= 0:
            text, low, high = joined.place(at)
            finder.find_in(data, low, low, high, text, hits)
            at = data.find(finder.mark, high + 1)

    def _find_near_words(self, finder: Finder, joined: Joined, hits: list[Hit]) -> None:
        """As `_find_in_joined`, in the texts that have one of the words which the detector needs."""
        data = joined.data
        find: Any = finder.words
        at, size = 0, len(data)
        while at <= size and (at := find(data, at, size)[0][0]) >= 0:
            text, low, high = joined.place(at)
            finder.find_in(data, low, low, high, text, hits)
            at = high + 1

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


def _triggers_of(finders: Iterable[Finder]) -> str:
    """The triggers of all of them as one pattern, in which no word stands twice."""
    words: dict[str, None] = {}
    patterns: dict[str, None] = {}
    for finder in finders:
        if finder.trigger == finder.detector.word_pattern:
            words.update(dict.fromkeys(finder.detector.words))
        else:
            patterns[finder.trigger or ""] = None
    if words:
        patterns[pattern_of_words(words)] = None
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _in_two_steps(
    first: Callable[[bytes], list[int] | None], triggered: Sequence[Finder]
) -> Callable[[bytes], list[int] | None]:
    """A gate that asks which detectors a trigger is of only where there is one.

    In one automaton with all the others, the words and names of 200 detectors would have most of its states, and each
    of them would be dearer.
    """
    by_trigger = Gate([(finder.number, finder.detector.gate_pattern or "") for finder in triggered], characters=False)

    def match(text: bytes) -> list[int] | None:
        found = first(text)
        if found is None or TRIGGER not in found:
            return found
        found.remove(TRIGGER)
        return [*found, *(by_trigger.match(text) or ())] or None

    return match


def _from_view(hit: Hit, view: View, text: int) -> Hit:
    """The hit in the text itself that a hit in one of its views is."""
    says = view.data[hit.start : hit.end].decode("utf-8", "replace")
    return Hit(text, *view.source(hit.start, hit.end), hit.detector, says)
