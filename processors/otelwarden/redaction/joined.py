"""Texts joined for one scan, and which of them a place in it belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from typing_extensions import Self

from otelwarden.redaction.patterns import SEPARATOR

_SEPARATOR: Final = SEPARATOR.encode()

MAX_COUNTED: Final = 64
"""Texts among which one is found by counting separators; with more of them that would be quadratic."""


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
        self._placed: dict[int, tuple[int, int, int]] = {}

    @classmethod
    def of_one(cls, data: bytes) -> Self:
        """One text."""
        return cls(data, 1, [0, len(data) + 1])

    @classmethod
    def of_data(cls, data: bytes, count: int) -> Self | None:
        """Texts that were joined already; None when that does not tell where each begins."""
        plain = count <= MAX_COUNTED and data.count(_SEPARATOR) == count - 1
        return cls(data, count, None) if plain else None

    def place(self, at: int) -> tuple[int, int, int]:
        """The number of the text at an offset, where it begins and where it ends; a separator belongs to the former."""
        last = self._last
        if last[1] <= at <= last[2]:
            return last
        bounds, data = self._bounds, self.data
        if bounds is None:
            low = data.rfind(_SEPARATOR, 0, at) + 1
            high = data.find(_SEPARATOR, at)
            last = (data.count(_SEPARATOR, 0, low), low, high if high >= 0 else len(data))
        else:
            text = bisect_right(bounds, at) - 1
            last = (text, bounds[text], bounds[text + 1] - 1)
        self._last = self._placed[last[0]] = last
        return last

    def text(self, number: int) -> bytes:
        """The UTF-8 of a text; without bounds, of one that `place` has named."""
        bounds = self._bounds
        if bounds is None:
            _, low, high = self._placed[number]
            return self.data[low:high]
        return self.data[bounds[number] : bounds[number + 1] - 1]


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
