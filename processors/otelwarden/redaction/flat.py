"""The short path, which most items take: their attributes are flat, and their keys tell nothing.

One join, one pass of the gate; when that finds nothing, nothing was made but the joined text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from otelwarden.core import Signal
from otelwarden.redaction.actions import DELETED, NO_ITEM
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.document import text_of
from otelwarden.redaction.patterns import SEPARATOR
from otelwarden.redaction.redactor import Redactor

SMALL: Final = 10**8
"""Below it no shipped detector finds anything in a number that stands alone: a card number has 12 digits or more, and
shorter ones need their word or key."""


class Candidates(NamedTuple):
    """An item in which there may be something."""

    texts: Sequence[str]
    attributes: Mapping[str, Any]
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
        shipped = all(each.catalogued and each.confidence == "high" for each in redactor.policy.detectors)
        self._small = SMALL if shipped else 0

    def look(self, heads: Sequence[str], attributes: Mapping[str, Any]) -> Candidates | _NotFlat | None:
        """Looks at an item; None when there is nothing in it.

        Args:
            heads: the texts beside the attributes, in the order of their names.
        """
        if self._match is None or not self._plain.issuperset(attributes):
            return NOT_FLAT
        texts = [*heads, *attributes.values()]
        try:
            text = SEPARATOR.join(texts)
        except TypeError:
            texts = list(heads)
            for _, value in self._texts_of(attributes):
                if value is None:
                    return NOT_FLAT
                texts.append(value)
            text = SEPARATOR.join(texts)
        if len(text) > self._max_length:
            return NOT_FLAT  # the texts must be measured one by one
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return NOT_FLAT  # a lone surrogate
        numbers = self._match(data)
        return None if numbers is None else Candidates(texts, attributes, data, numbers)

    def redact(
        self, found: Candidates, signal: Signal, tenant: str, item: Any = NO_ITEM
    ) -> tuple[Redaction, dict[str, Any]] | None:
        """What is to be done about an item, and its attributes as they may leave; None when nothing is."""
        texts, attributes, data, numbers = found
        heads = self._heads
        keys = [*heads, *attributes]
        if len(keys) != len(texts):
            keys = [*heads, *(key for key, _ in self._texts_of(attributes))]
        redaction = self._redactor.redact_flat(texts, keys, data, numbers, signal, tenant, item, attributes)
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

    def _texts_of(self, attributes: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
        """The values that must be scanned, as texts; None for one that is not flat."""
        small = self._small
        for key, value in attributes.items():
            kind = type(value)
            if kind is str:
                yield key, value
            elif kind is int or kind is float:
                if not -small < value < small:
                    yield key, text_of(value)
            elif kind is not bool and value is not None:
                yield key, None
