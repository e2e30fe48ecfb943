"""Finds sensitive data in the texts of an item: gates say which detectors are worth running in which text.

The texts are joined for the gates, but each detector reads the single text, so the answer is that of scanning text by
text, for any pattern.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

from otelwarden.core import ConfigError, Fault
from otelwarden.redaction.catalogue import Detector, words_of_key
from otelwarden.redaction.encodings import GATE, LOOSE_GATE, WIDE_GATE, View, views
from otelwarden.redaction.finder import Finder, Hit
from otelwarden.redaction.gates import ENCODED, Gates
from otelwarden.redaction.joined import Joined, encode_text, join_texts
from otelwarden.redaction.patterns import compile_pattern, find_by
from otelwarden.redaction.validators import secret_value


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
        self._gates = Gates(self._finders, WIDE_GATE if own else LOOSE_GATE)
        self.reads_joined = self._gates.reads_joined
        """Whether a clean text is seen to be clean while it is joined to others."""
        self._check_samples()

    def scan(self, joined: Joined) -> list[Hit]:
        """What the detectors find, ordered by text; within one they may overlap."""
        hits: list[Hit] = []
        for text, data, detectors in self._gates.candidates(joined):
            for number in detectors:
                if number != ENCODED:
                    self._finders[number].find_in(data, text, hits)
                elif self._encoded(data, 0, len(data))[0][0] >= 0:
                    self._find_encoded(data, text, hits)
        return hits

    def _find_encoded(self, data: bytes, text: int, hits: list[Hit]) -> None:
        """Adds what a text says when it is decoded."""
        for view in views(data):
            found: list[Hit] = []
            for _, inner, detectors in self._gates.candidates(Joined.of_one(view.data)):
                for number in detectors:
                    if number != ENCODED:
                        self._finders[number].find_in(inner, text, found)
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


def _from_view(hit: Hit, view: View) -> Hit:
    """The hit in the text itself that a hit in one of its views is."""
    says = view.data[hit.start : hit.end].decode("utf-8", "replace")
    return Hit(hit.text, *view.source(hit.start, hit.end), hit.detector, says)
