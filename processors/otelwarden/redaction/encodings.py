"""What an encoded text says: percent- and form-encoding, the escapes of JSON strings, base64 of JSON and PEM.

A text that has some of it is scanned as it stands and in each of its views, which are the text decoded, with a map
back: a hit in a view is cut out of the encoded text. Views are few and none is longer than the text, so the work stays
linear in its length.
"""

from __future__ import annotations

import binascii
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from typing_extensions import Self

from otelwarden.redaction.patterns import compile_pattern, find_by

MAX_LAYERS: Final = 3
"""How often a text is decoded: a URL in a query string within a query string has `%252540` for an `@`."""

_BASE64: Final = "(?:ey[IJ]|eyAi|ew[o0k][gJKi]|W3s[iK]|Wy[IJ]|LS0tLS1CRUdJTi)"
"""How base64 begins of `{"`, `{ "`, `{` and a line break, `[{`, `["` and `-----BEGIN `."""

_SIGNS: Final = rf"%[0-9A-Fa-f]{{2}}|\\u[0-9A-Fa-f]{{4}}|\\/|\b{_BASE64}[A-Za-z0-9+/_\-]{{13}}"

GATE: Final = rf"{_SIGNS}|[0-9A-Z]\+[0-9A-Z(]"
"""Where there may be something to decode for the shipped detectors: none has a blank behind a lower-case letter."""

LOOSE_GATE: Final = rf"{_SIGNS}|\+[0-9A-Z(]"
"""What occurs wherever `GATE` does. It begins at a rare sign, so that a gate over much else keeps few states."""

WIDE_GATE: Final = rf"{GATE}|[^\x00- ]\+[^\x00- ]"
"""As `GATE`, for detectors that may expect a blank anywhere."""

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})|\\(?:u([0-9A-Fa-f]{4})|([/\"\\bfnrt]))")
_SHORT: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_FORM_VALUE: Final = re.compile(rb"=[^\s&=+]*\+")
_find_token: Final = find_by(compile_pattern(rf"(?:^|[^A-Za-z0-9+/_\-])((?:{_BASE64})[A-Za-z0-9+/_\-]{{13,}})"))
_UNPRINTABLE: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


class View:
    """A text, or what it says when it is decoded.

    Args:
        data: the bytes; of the text itself, its UTF-8.
        outer: what it was decoded from; None for the text itself.
    """

    __slots__ = ("data", "outer")

    def __init__(self, data: bytes, outer: View | None = None) -> None:
        self.data = data
        self.outer = outer

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The range of the text itself that a range of the view, which is not empty, was decoded from."""
        start, end = self._in_outer(start, end)
        return (start, end) if self.outer is None else self.outer.source(start, end)

    def _in_outer(self, start: int, end: int) -> tuple[int, int]:
        return start, end


class _Unescaped(View):
    """A view without its escapes."""

    __slots__ = ("_begins", "_ends", "_outer_begins", "_outer_ends")

    def __init__(self, outer: View, data: bytes) -> None:
        # Where each escape begins and ends, here and there. Arrays, as a list of 350,000 integers takes 14 MB.
        self._begins, self._ends = array("L"), array("L")
        self._outer_begins, self._outer_ends = array("L"), array("L")
        pieces: list[bytes] = []
        done = size = 0
        for match in _ESCAPE.finditer(data):
            start, end = match.span()
            says = _says(match)
            pieces += (data[done:start], says)
            size += start - done
            self._begins.append(size)
            size += len(says)
            self._ends.append(size)
            self._outer_begins.append(start)
            self._outer_ends.append(end)
            done = end
        pieces.append(data[done:])
        super().__init__(b"".join(pieces), outer)

    @classmethod
    def of(cls, outer: View, data: bytes) -> Self | None:
        """The view of `data`, which is as long as the outer one; None when there is no escape in it."""
        escapes = (b"%" in data or b"\\" in data) and _ESCAPE.search(data) is not None
        return cls(outer, data) if escapes else None

    def _in_outer(self, start: int, end: int) -> tuple[int, int]:
        before = bisect_right(self._begins, start) - 1
        if before >= 0:
            inside = start < self._ends[before]
            start = self._outer_begins[before] if inside else self._outer_ends[before] + start - self._ends[before]
        last = bisect_right(self._begins, end - 1) - 1
        if last >= 0:
            end = self._outer_ends[last] + max(0, end - self._ends[last])
        return start, end


class _Token(View):
    """What a base64 token says. Whatever is found in it, all of the token is the hit."""

    __slots__ = ("_end", "_start")

    def __init__(self, outer: View, data: bytes, start: int, end: int) -> None:
        super().__init__(data, outer)
        self._start = start
        self._end = end

    def _in_outer(self, start: int, end: int) -> tuple[int, int]:
        return self._start, self._end


def _says(match: re.Match[bytes]) -> bytes:
    percent, unicode, short = match.groups()
    if percent is not None:
        return binascii.unhexlify(percent)
    if unicode is not None:
        return chr(int(unicode, 16)).encode("utf-8", "replace")
    return _SHORT.get(short, short)


def views(data: bytes) -> Iterator[View]:
    """What a text says when it is decoded, in every way and as often as it can be.

    At most `MAX_LAYERS` views without escapes, one more with blanks for plus signs, and for each base64 token in the
    text and in the former one that says what is in it.

    Args:
        data: the UTF-8 of the text.
    """
    layer: View | None = View(data)
    for depth in range(MAX_LAYERS + 1):
        if layer is None:
            return
        if depth:
            yield layer
        yield from _tokens(layer)
        if b"+" in layer.data and _FORM_VALUE.search(layer.data) is not None:
            # Beside the other one and not in its stead: many write a plus sign for itself.
            blanks = layer.data.replace(b"+", b" ")
            yield _Unescaped.of(layer, blanks) or View(blanks, layer)
        layer = _Unescaped.of(layer, layer.data) if depth < MAX_LAYERS else None


def _tokens(outer: View) -> Iterator[View]:
    text, at = outer.data, 0
    while (span := _find_token(text, at, len(text))[1])[0] >= 0:
        start, end = span
        at = end
        token = text[start:end].translate(_URL_SAFE)
        # Without its padding, or cut at the limit for values: one character left over says nothing.
        token = token[:-1] if len(token) % 4 == 1 else token
        data = binascii.a2b_base64(token + b"=" * (-len(token) % 4))
        while text[end : end + 1] == b"=" and end - at < 2:
            end += 1
        if _UNPRINTABLE.search(data) is None:
            yield _Token(outer, data, start, end)
