"""Makes values encodable that protobuf refuses, changing as little as can be.

lone surrogates         U+FFFD, one for each (text of other programs, `os.fsdecode`, cut JSON escapes)
ints beyond 64 bits     their decimal digits as text; on a metric point, the nearest float
keys that are no text   their text
unknown types           their text
what is nested too deep `TOO_DEEP` in its place; where that alone does not end it, `TOO_LARGE`
"""

from __future__ import annotations

import re
from typing import Any, Final

TOO_DEEP: Final = "[nested too deep]"
TOO_LARGE: Final = "[too large]"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Repairs:
    """Counts the values of one batch that had to be changed. Clean values never come here."""

    def __init__(self) -> None:
        self.count = 0
        """Values and keys changed so far."""

    def utf8(self, text: str) -> bytes:
        """A text as UTF-8."""
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.count += 1
            return _SURROGATE.sub("\ufffd", text).encode()

    def text_of(self, value: Any) -> str:
        """The text that stands for a value of a type that cannot be encoded; it may have surrogates left."""
        self.count += 1
        try:
            return str.__str__(str(value))
        except Exception:
            # Whatever an application's own __str__ does wrong.
            return f"[{type(value).__qualname__}]"

    def utf8_of(self, value: Any) -> bytes:
        """The UTF-8 of text that is to be one: nothing for None, bytes that are UTF-8 as they are."""
        if type(value) is str:
            return self.utf8(value)
        if value is None:
            return b""
        if isinstance(value, str):
            return self.utf8(str.__str__(value))  # not what a subclass may make of itself
        if isinstance(value, bytes):
            raw = b"".join((value,))
            if _is_utf8(raw):
                return raw
        return _SURROGATE.sub("\ufffd", self.text_of(value)).encode()

    def digits(self, value: int) -> str:
        """An int beyond 64 bits as text."""
        self.count += 1
        try:
            return str(value)
        except ValueError:
            return hex(value)  # beyond the interpreter's limit for decimal digits

    def number(self, value: int) -> float:
        """An int beyond 64 bits as the nearest float; raises OverflowError when none is near."""
        nearest = float(value)
        self.count += 1
        return nearest


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
