"""Texts joined for one scan, and which of them a place in it belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Protocol

from typing_extensions import Self

from otelwarden.redaction.patterns import SEPARATOR

_SEPARATOR: Final = SEPARATOR.encode()


class Texts(Protocol):
    """Texts by their numbers."""

    def text(self, number: int) -> bytes:
        """The UTF-8 of a text."""


class Joined:
    """Texts joined by the separator, in UTF-8. It belongs to one scan, and so to one thread.

    Args:
        count: how many texts there are.
        bounds: where each begins and, at last, where one more would; None when no text has a separator in it.
    """

    __slots__ = ("_bounds", "_last", "_placed", "count", "data")

    def __init__(self, data: bytes, count: int, bounds: list[int] | None) -> None:
        self.data = data
        self.count = count
        self._bounds = bounds
        self._last = (0, 0, -1)
        self._placed: dict[int, tuple[int, int]] = {}

    @classmethod
    def of_one(cls, data: bytes) -> Self:
        """One text."""
        return cls(data, 1, [0, len(data) + 1])

    @classmethod
    def of_data(cls, data: bytes, count: int) -> Self | None:
        """Texts that were joined already; None when that does not tell where each begins."""
        return cls(data, count, None) if data.count(_SEPARATOR) == count - 1 else None

    def place(self, at: int) -> tuple[int, int, int]:
        """The number of the text at an offset, where it begins and where it ends; a separator belongs to the former.

        To be asked in order: without bounds, a step back counts separators from the beginning.
        """
        last = self._last
        number, begin, end = last
        if begin <= at <= end:
            return last
        bounds, data = self._bounds, self.data
        if bounds is None:
            low = data.rfind(_SEPARATOR, 0, at) + 1
            high = data.find(_SEPARATOR, at)
            if low < begin:
                number = begin = 0
            last = (number + data.count(_SEPARATOR, begin, low), low, high if high >= 0 else len(data))
            self._placed[last[0]] = last[1:]
        else:
            text = bisect_right(bounds, at) - 1
            last = (text, bounds[text], bounds[text + 1] - 1)
        self._last = last
        return last

    def text(self, number: int) -> bytes:
        """The UTF-8 of a text; without bounds, of one that `place` has named."""
        bounds = self._bounds
        if bounds is None:
            low, high = self._placed[number]
            return self.data[low:high]
        return self.data[bounds[number] : bounds[number + 1] - 1]


class Part:
    """Some of the texts that are joined, numbered from the first of them."""

    __slots__ = ("_first", "_joined")

    def __init__(self, joined: Joined, first: int) -> None:
        self._joined = joined
        self._first = first

    def text(self, number: int) -> bytes:
        """The UTF-8 of a text."""
        return self._joined.text(self._first + number)


def encode_text(text: str) -> bytes:
    """The UTF-8 of a text; lone surrogates, which UTF-8 cannot carry, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def join_texts(texts: Sequence[str]) -> Joined:
    """The texts as one."""
    parts = [encode_text(text) for text in texts]
    return Joined(_SEPARATOR.join(parts), len(parts), [*accumulate([len(part) + 1 for part in parts], initial=0)])
