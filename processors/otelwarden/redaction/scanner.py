"""Finds sensitive data in the texts of an item: one pass over all of them as a gate, then a look at few single texts.

The gate reads the texts joined by a separator and says where any of its patterns is. The text at that place is looked
at alone: a Set says which patterns are worth running in it, and those find. So the answer is that of scanning text by
text, for any pattern, and a clean item costs nothing but the pass. Patterns that may depend on where a text begins have
a gate of their own that reads text by text.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from otelwarden.core import ConfigError, Fault
from otelwarden.redaction.catalogue import Detector, pattern_of_words, words_of_key
from otelwarden.redaction.encodings import GATE, LOOSE_GATE, WIDE_GATE, View, views
from otelwarden.redaction.finder import Finder, Hit
from otelwarden.redaction.joined import Joined, encode_text, join_texts
from otelwarden.redaction.patterns import (
    Find,
    Gate,
    compile_pattern,
    find_by,
    first_of,
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
        which = match_of_all([gate for (anchored, _), gate in compiled.items() if not anchored])
        self._which = _in_two_steps(which, triggered) if triggered else which
        self._firsts = [
            first_of([pattern for _, pattern in members], characters=characters)
            for (anchored, characters), members in gates.items()
            if not anchored
        ]
        self._text_gates = [gate for (anchored, _), gate in compiled.items() if anchored]
        self.reads_joined = not self._text_gates
        """Whether a clean text is seen to be clean while it is joined to others."""
        self._check_samples()

    def scan(self, joined: Joined) -> list[Hit]:
        """What the detectors find, ordered by text; within one they may overlap."""
        hits: list[Hit] = []
        if self._text_gates or len(self._firsts) > 1:
            self._scan_texts(joined, hits)
            return hits
        for text, low, high in _places(self._firsts[0], joined):
            value = joined.data[low:high]
            self._find(value, text, self._which(value) or (), hits)
        return hits

    def _scan_texts(self, joined: Joined, hits: list[Hit]) -> None:
        """As `scan`, for patterns that one gate over joined texts cannot hold."""
        seen = {text for first in self._firsts for text, _, _ in _places(first, joined)}
        for text in range(joined.count) if self._text_gates else sorted(seen):
            value = joined.text(text)
            if text in seen:
                self._find(value, text, self._which(value) or (), hits)
            for gate in self._text_gates:
                self._find(value, text, gate.match(value) or (), hits)

    def _find(self, value: bytes, text: int, candidates: Sequence[int], hits: list[Hit]) -> None:
        """Adds what stands in one text, as it is and decoded."""
        for number in candidates:
            if number == ENCODED:
                self._find_encoded(value, text, hits)
            else:
                self._finders[number].find_in(value, text, hits)

    def _find_encoded(self, value: bytes, text: int, hits: list[Hit]) -> None:
        """Adds what a text says when it is decoded."""
        if self._encoded(value, 0, len(value))[0][0] < 0:
            return
        for view in views(value):
            found: list[Hit] = []
            for number in self._which(view.data) or ():
                if number != ENCODED:
                    self._finders[number].find_in(view.data, text, found)
            for gate in self._text_gates:
                for number in gate.match(view.data) or ():
                    self._finders[number].find_in(view.data, text, found)
            hits += (_from_view(hit, view) for hit in found)

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
            hits += (_from_view(hit, view) for hit in found)

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


def _places(first: Find, joined: Joined) -> Iterator[tuple[int, int, int]]:
    """The texts in which one pass finds something: number, begin and end of each."""
    data, place, at = joined.data, joined.place, 0
    size = len(data)
    while at <= size and (at := first(data, at, size)[0][0]) >= 0:
        found = place(at)
        yield found
        # Where a match reaches into the next text, or begins with the separator before it, that is looked at anew.
        at = found[2] + 1


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


def _from_view(hit: Hit, view: View) -> Hit:
    """The hit in the text itself that a hit in one of its views is."""
    says = view.data[hit.start : hit.end].decode("utf-8", "replace")
    return Hit(hit.text, *view.source(hit.start, hit.end), hit.detector, says)
