"""The short path, which most items take: their attributes are flat, and their keys tell nothing.

Several items are joined and the gate reads them in one pass; when it finds nothing, nothing was made but the joined
text. Otherwise each of them is asked about alone. How many go together follows from how many were clean of late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from otelwarden.core import Signal
from otelwarden.redaction.actions import DELETED, NO_ITEM
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.document import text_of
from otelwarden.redaction.joined import Joined, join_texts
from otelwarden.redaction.patterns import SEPARATOR
from otelwarden.redaction.redactor import Redactor

SMALL: Final = 10**8
"""Below it no shipped detector of high confidence finds anything in a number that stands alone: a card number has 12
digits or more, and shorter ones need their word or key."""

TOGETHER: Final = ((0.01, 8), (0.04, 4), (0.1, 2))
"""Below which share of items with something in them how many are joined for one pass. A pass has a price of its own, a
third of what the text of one span takes, but where it finds something it is read again."""

ROUND: Final = 64
"""Items after which it is asked again how many go together."""

_MAX_LENGTH_TOGETHER: Final = 1 << 16
"""Characters that are joined for one pass over several items."""

_PLAIN_TYPES: Final = frozenset([str, int])


FlatItem: TypeAlias = tuple[tuple[str, ...], Mapping[str, Any]]
"""The texts of an item that has no others: those beside its attributes, empty where there is none, and these."""


class Candidates(NamedTuple):
    """An item in which there may be something."""

    item: FlatItem
    data: bytes
    """The texts, joined and encoded."""
    numbers: Sequence[int]
    """The detectors whose gate let it through."""


class _NotFlat:
    """The answer for an item that must go the long way."""


NOT_FLAT: Final = _NotFlat()


class FlatItems:
    """The short path of one kind of item.

    Args:
        heads: what the texts are called that stand in an item beside its attributes.
    """

    def __init__(self, redactor: Redactor, heads: tuple[str, ...]) -> None:
        self._redactor = redactor
        self._heads = heads
        self._plain = redactor.keys.plain
        self._match = redactor.scanner.joined_match if redactor.ruled_places.isdisjoint(heads) else None
        self._max_length = redactor.max_value_length
        shipped = all(d.catalogued and d.confidence == "high" for d in redactor.policy.detectors)
        self._small = SMALL if shipped else 0
        self._share = 0.0

    def look(self, items: Sequence[FlatItem | None]) -> dict[int, Any]:
        """Where there is something to do: `Candidates` or `NOT_FLAT` for the number of each such item.

        Args:
            items: None for one that is not flat.
        """
        if self._match is None:
            return dict.fromkeys(range(len(items)), NOT_FLAT)
        seen: dict[int, Any] = {}
        flat = []
        plain = self._plain.issuperset
        for number, item in enumerate(items):
            if item is not None and plain(item[1]):
                flat.append(number)
            else:
                seen[number] = NOT_FLAT
        for at in range(0, len(flat), ROUND):
            some: Sequence[int] = flat[at : at + ROUND]
            share, before, size = self._share, len(seen), len(some)
            count = next((count for below, count in TOGETHER if share < below), 1)
            if count > 1:
                some = [number for k in range(0, size, count) for number in self._suspects(items, some[k : k + count])]
            self._look_at(items, some, seen)
            # Threads may overwrite each other's share: it is a guess, and any will do.
            self._share += ((len(seen) - before) / size - share) / 2
        return seen

    def _suspects(self, items: Sequence[Any], numbers: Sequence[int]) -> Iterable[int]:
        """Which of the items must be looked at alone: those in which a pass over all of them found something."""
        texts: list[Any] = []
        for number in numbers:
            heads, attributes = items[number]
            texts += heads
            texts += attributes.values()
        data = self._joined(texts, _MAX_LENGTH_TOGETHER)
        if data is None:
            return numbers
        candidates = self._match(data)  # type: ignore[misc]  # `look` has seen to it
        if candidates is None:
            return ()
        # Most candidates of clean items are refused, and then nobody has to read the others again.
        hits = self._redactor.scanner.scan(Joined.of_data(data, len(texts)) or self._joined_anew(texts), candidates)
        if not hits:
            return ()
        owners = [number for number in numbers for each in items[number] for _ in each]
        return dict.fromkeys(owners[hit.text] for hit in hits)

    def _look_at(self, items: Sequence[Any], numbers: Iterable[int], seen: dict[int, Any]) -> None:
        """Looks at items one by one."""
        match: Any = self._match
        joined, longest = self._joined, self._max_length
        for number in numbers:
            item = items[number]
            data = joined((*item[0], *item[1].values()), longest)
            if data is None:
                seen[number] = NOT_FLAT
                continue
            candidates = match(data)
            if candidates is not None:
                seen[number] = Candidates(item, data, candidates)

    def _joined(self, values: Sequence[Any], max_length: int) -> bytes | None:
        """The texts of values, joined and encoded; None when one is not flat, or all together are too long."""
        try:
            text = SEPARATOR.join(values)
        except TypeError:
            texts = self._texts_of(values)
            if texts is None:
                return None
            text = SEPARATOR.join(texts)
        if len(text) > max_length:
            return None
        try:
            return text.encode()
        except UnicodeEncodeError:
            return None  # a lone surrogate

    def redact(
        self, found: Candidates, signal: Signal, tenant: str, item: Any = NO_ITEM
    ) -> tuple[Redaction, dict[str, Any]] | None:
        """What is to be done about an item, and its attributes as they may leave; None when nothing is."""
        (heads, attributes), data, numbers = found
        keys = [*self._heads, *attributes]
        joined = Joined.of_data(data, len(keys)) or self._joined_anew([*heads, *attributes.values()])
        redaction = self._redactor.redact_flat(joined, keys, numbers, signal, tenant, item, attributes)
        if redaction is None:
            return None
        new = dict(attributes)
        for number, text in redaction.edits.texts.items():
            if number >= len(heads):
                if text is DELETED:
                    del new[keys[number]]
                else:
                    new[keys[number]] = text
        return redaction, new

    def _joined_anew(self, values: Sequence[Any]) -> Joined:
        """The texts of flat values, one of which has a separator in it."""
        return join_texts(self._texts_of(values) or ())

    def _texts_of(self, values: Iterable[Any]) -> list[str] | None:
        """The texts of flat values, empty for those that are not scanned; None when one is not flat."""
        if _PLAIN_TYPES.issuperset(map(type, values)):
            return list(map(str, values))
        texts = []
        small = self._small
        for value in values:
            kind = type(value)
            if isinstance(value, str):
                texts.append(text_of(value))
            elif kind is int or kind is float:
                texts.append("" if -small < value < small else text_of(value))
            elif kind is bool or value is None:
                texts.append("")
            else:
                return None
        return texts
