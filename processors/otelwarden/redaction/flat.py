"""The short path, which most items take: their attributes are flat, and their keys tell nothing.

The texts of several items are joined and scanned in one pass; when it finds nothing, nothing was made but the joined
text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from otelwarden.core import Signal
from otelwarden.redaction.actions import DELETED, NO_ITEM
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.document import text_of
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import Joined, Part, Texts
from otelwarden.redaction.patterns import SEPARATOR
from otelwarden.redaction.redactor import Redactor

SMALL: Final = 10**8
"""Below it no shipped detector of high confidence finds anything in a number that stands alone: a card number has 12
digits or more, and shorter ones need their word or key."""

_TOGETHER: Final = 1 << 14
"""Characters after which no further item is joined for one pass. A pass has a price of its own, a third of what the
text of one span takes."""

_PLAIN_TYPES: Final = frozenset([str, int])


FlatItem: TypeAlias = tuple[tuple[str, ...], Mapping[str, Any]]
"""The texts of an item that has no others: those beside its attributes, empty where there is none, and these."""


_NO_ITEM: Final[FlatItem] = ((), {})


class FlatHits(NamedTuple):
    """An item in which something was found."""

    item: FlatItem
    texts: Texts
    """The texts of the item."""
    hits: list[Hit]
    """What was found in them."""


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
        self._scanner = redactor.scanner
        self._all_long = not (self._scanner.reads_joined and redactor.ruled_places.isdisjoint(heads))
        self._max_length = redactor.max_value_length
        shipped = all(d.catalogued and d.confidence == "high" for d in redactor.policy.detectors)
        self._small = SMALL if shipped else 0

    def look(self, items: Sequence[FlatItem | None]) -> dict[int, Any]:
        """Where there is something to do: `FlatHits` or `NOT_FLAT` for the number of each such item.

        Args:
            items: None for one that is not flat.
        """
        if self._all_long:
            return dict.fromkeys(range(len(items)), NOT_FLAT)
        seen: dict[int, Any] = {}
        plain, text_of_item, longest = self._plain.issuperset, self._text_of, self._max_length
        some: list[tuple[int, FlatItem]] = []
        texts: list[str] = []
        size = 0
        for number, item in enumerate(items):
            text = text_of_item(item) if item is not None and plain(item[1]) else None
            if item is None or text is None or len(text) > longest:
                seen[number] = NOT_FLAT
                continue
            some.append((number, item))
            texts.append(text)
            size += len(text)
            if size >= _TOGETHER:
                self._scan(some, texts, seen)
                some, texts, size = [], [], 0
        if some:
            self._scan(some, texts, seen)
        return seen

    def _scan(self, some: Sequence[tuple[int, FlatItem]], texts: Sequence[str], seen: dict[int, Any]) -> None:
        """Adds what is found in some items.

        Args:
            texts: the joined texts of each.
        """
        count = sum([len(heads) + len(attributes) for _, (heads, attributes) in some])
        try:
            joined = Joined.of_data(SEPARATOR.join(texts).encode(), count)
        except UnicodeEncodeError:  # a lone surrogate
            joined = None
        if joined is not None:
            self._share_out(some, joined, self._scanner.scan(joined), seen)
        elif len(some) == 1:
            seen[some[0][0]] = NOT_FLAT
        else:
            for item, text in zip(some, texts, strict=True):
                self._scan([item], [text], seen)

    def _share_out(
        self, some: Iterable[tuple[int, FlatItem]], joined: Joined, hits: Sequence[Hit], seen: dict[int, Any]
    ) -> None:
        """Gives each item its hits, which are ordered by text."""
        following = iter(some)
        number, item, first, past = -1, _NO_ITEM, 0, 0
        for hit in hits:
            while hit.text >= past:
                number, item = next(following)
                first, past = past, past + len(item[0]) + len(item[1])
            if number not in seen:
                seen[number] = FlatHits(item, Part(joined, first), [])
            seen[number].hits.append(hit._replace(text=hit.text - first))

    def _text_of(self, item: FlatItem) -> str | None:
        """The texts of an item, joined; None when one is not flat."""
        heads, attributes = item
        try:
            return SEPARATOR.join((*heads, *attributes.values()))
        except TypeError:
            texts = self._texts_of((*heads, *attributes.values()))
            return None if texts is None else SEPARATOR.join(texts)

    def redact(
        self, found: FlatHits, signal: Signal, tenant: str, item: Any = NO_ITEM
    ) -> tuple[Redaction, dict[str, Any]] | None:
        """What is to be done about an item, and its attributes as they may leave; None when nothing is."""
        (heads, attributes), texts, hits = found
        keys = [*self._heads, *attributes]
        redaction = self._redactor.redact_flat(texts, keys, hits, signal, tenant, item, attributes)
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
