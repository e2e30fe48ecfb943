"""Where in joined texts detectors may find something, and which of them: all that a clean item ever pays for.

One automaton over the joined texts says where any of the patterns of all detectors is. A Set, which can tell them
apart, is asked about no more than the few bytes that matched: over more text it would have states without end, as it
remembers to the end what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from otelwarden.redaction.catalogue import pattern_of_words
from otelwarden.redaction.finder import Finder
from otelwarden.redaction.joined import Joined
from otelwarden.redaction.patterns import Gate, first_of, is_characterwise

ENCODED: Final = -1
"""Stands among the candidates for something encoded."""

_FIRST_FAMILY: Final = -2
"""The number of the first family of detectors with one trigger; the others follow downwards."""

_MAX_PLACES: Final = 16
"""Places in one text after which the Set is asked about all of it: work stays linear whatever overlaps there."""


class Candidates(NamedTuple):
    """A text in which detectors may find something."""

    number: int
    """Of the text."""
    data: bytes
    """Its UTF-8."""
    detectors: Iterable[int]
    """The numbers of the detectors, and `ENCODED`."""


class Gates:
    """The gates of some detectors.

    Args:
        encoded: the pattern of something that may have to be decoded.

    Raises:
        PatternError: all patterns together need more memory than an automaton may take.
    """

    def __init__(self, finders: Sequence[Finder], encoded: str) -> None:
        kinds: dict[tuple[bool, bool], list[Finder]] = {(False, False): []}
        for finder in finders:
            gate = finder.detector.gate_pattern
            if gate is not None:
                characters = finder.characters or (not finder.detector.catalogued and is_characterwise(gate))
                kinds.setdefault((finder.anchored, characters), []).append(finder)
        self._sweeps = [
            _Sweep(each, [] if characters else [(ENCODED, encoded)], characters=characters)
            for (anchored, characters), each in kinds.items()
            if not anchored
        ]
        self._anchored = [
            Gate([_member(finder) for finder in each], characters=characters).match
            for (anchored, characters), each in kinds.items()
            if anchored
        ]
        self.reads_joined = not self._anchored
        """Whether texts are read joined; else each is, as some pattern may depend on where a text begins or ends."""

    def candidates(self, joined: Joined) -> Iterable[Candidates]:
        """What to look at more closely, ordered by text."""
        if not self._anchored and len(self._sweeps) == 1:
            return self._sweeps[0].candidates(joined)
        found: dict[int, set[int]] = {}
        for sweep in self._sweeps:
            for number, _, detectors in sweep.candidates(joined):
                found.setdefault(number, set()).update(detectors)
        for match in self._anchored:
            for number in range(joined.count):
                # A copy, as `^` must see the text begin.
                found.setdefault(number, set()).update(match(joined.text(number)) or ())
        return [Candidates(number, joined.text(number), found[number]) for number in sorted(found) if found[number]]


class _Sweep:
    """The gates of patterns that need not see where a text begins or ends.

    Args:
        others: number and pattern of what is looked for beside the detectors.
    """

    def __init__(self, finders: Sequence[Finder], others: Sequence[tuple[int, str]], *, characters: bool) -> None:
        families: dict[str, list[Finder]] = {}
        members = list(others)
        for finder in finders:
            if finder.trigger is None or finder.trigger == finder.detector.gate_pattern:
                members.append(_member(finder))
            else:
                families.setdefault(finder.trigger, []).append(finder)
        self._families: dict[int, Callable[[bytes], list[int] | None]] = {}
        for number, (trigger, family) in enumerate(families.items()):
            members.append((_FIRST_FAMILY - number, trigger))
            self._families[_FIRST_FAMILY - number] = Gate(
                [_member(finder) for finder in family], characters=characters
            ).match
        self._first = first_of(_together(finders, others), characters=characters)
        self._which = Gate(members, characters=characters).match
        self._around = 4 if characters else 1
        """Bytes beside a match that must be seen to know whether a word ends there: those of a character."""

    def candidates(self, joined: Joined) -> Iterator[Candidates]:
        """What to look at more closely, ordered by text."""
        first, data, at = self._first, joined.data, 0
        size = len(data)
        while at <= size:
            start, end = first(data, at, size)[0]
            if start < 0:
                return
            number, low, high = joined.place(start)
            yield Candidates(number, data[low:high], self._detectors(data, start, end, low, high))
            # Where the match reaches into the next text, or began with the separator before, that is looked at anew.
            at = high + 1

    def _detectors(self, data: bytes, start: int, end: int, low: int, high: int) -> set[int]:
        """Which detectors may find something in a text, given the first match in it."""
        which, around = self._which, self._around
        found: set[int] = set()
        for _ in range(_MAX_PLACES):
            found.update(which(data[max(low, start - around) : min(high, end + around)]) or ())
            if start >= high:
                break
            # From the next byte on, not from the end: another pattern may begin within this match.
            start, end = self._first(data, start + 1, high)[0]
            if start < 0:
                break
        else:
            found.update(which(data[low:high]) or ())
        for number in found & self._families.keys():
            found.remove(number)
            found.update(self._families[number](data[low:high]) or ())
        return found


def _member(finder: Finder) -> tuple[int, str]:
    return finder.number, finder.detector.gate_pattern or ""


def _together(finders: Iterable[Finder], others: Iterable[tuple[int, str]]) -> list[str]:
    """What is looked for, each pattern and each context word once."""
    patterns = dict.fromkeys(pattern for _, pattern in others)
    words: dict[str, None] = {}
    for finder in finders:
        if finder.trigger is None:
            patterns[_member(finder)[1]] = None
        elif finder.trigger == finder.detector.word_pattern:
            words.update(dict.fromkeys(finder.detector.words))
        else:
            patterns[finder.trigger] = None
    return [*patterns, *([pattern_of_words(words)] if words else ())]
