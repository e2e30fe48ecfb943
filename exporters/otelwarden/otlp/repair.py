"""Makes values encodable that protobuf refuses, changing as little as can be.

lone surrogates         U+FFFD, one for each (text of other programs, `os.fsdecode`, cut JSON escapes)
ints beyond 64 bits     their decimal digits as text; on a metric point, the nearest float
keys that are no text   their text
unknown types           their text
what is nested too deep `TOO_DEEP` in its place; beyond a number of lists and mappings, `TOO_MANY`
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_DEPTH: Final = 30
"""Lists and mappings within one another. Protobuf parsers refuse messages nested deeper than 100; a mapping takes three
levels, and an exemplar's attribute starts at the ninth."""

MAX_CONTAINERS: Final = 10_000
"""Lists and mappings in one value, so that a list that contains itself twice has an end."""

TOO_DEEP: Final = "[nested too deep]"
TOO_MANY: Final = "[too many lists and mappings]"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64: Final = range(-(1 << 63), 1 << 63)
_SCALARS: Final = (type(None), bool, float, bytes)


class Repairs:
    """Repairs values, and counts those that it had to change."""

    def __init__(self) -> None:
        self.count = 0
        """Values and keys changed so far."""
        self._containers = 0

    def text(self, value: Any) -> Any:
        """A text that can be encoded; None stays None."""
        if value is None:
            return None
        text = value if isinstance(value, str) else self._text_of(value)
        if not text.isascii() and _SURROGATE.search(text):
            self.count += 1
            return _SURROGATE.sub("\ufffd", text)
        return text

    def _text_of(self, value: Any) -> str:
        self.count += 1
        try:
            return str(value)
        except Exception:
            # Whatever an application's own __str__ does wrong.
            return f"[{type(value).__qualname__}]"

    def value(self, value: Any) -> Any:
        """An attribute value or log body that can be encoded; the same object when it could be before."""
        self._containers = 0
        return self._value(value, 0)

    def attributes(self, attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Attributes that can be encoded; the same object when they could be before."""
        if attributes is None:
            return {}
        before = self.count
        self._containers = 0
        repaired = self._mapping(attributes, 0)
        return attributes if self.count == before else repaired

    def number(self, value: Any) -> Any:
        """The value of a metric point that can be encoded; raises OverflowError when no float is near it."""
        if isinstance(value, int) and value not in _INT64:
            self.count += 1
            return float(value)
        return value

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, _SCALARS):
            return value
        if isinstance(value, int):
            return value if value in _INT64 else self._digits(value)
        if isinstance(value, (Mapping, Sequence)):
            return self._container(value, depth)
        return self.text(value)

    def _digits(self, value: int) -> str:
        self.count += 1
        try:
            return str(value)
        except ValueError:
            return hex(value)  # beyond the interpreter's limit for decimal digits

    def _container(self, value: Mapping[Any, Any] | Sequence[Any], depth: int) -> Any:
        if depth >= MAX_DEPTH:
            self.count += 1
            return TOO_DEEP
        self._containers += 1
        if self._containers > MAX_CONTAINERS:
            self.count += 1
            return TOO_MANY
        before = self.count
        if isinstance(value, Mapping):
            repaired: Any = self._mapping(value, depth + 1)
        else:
            repaired = [self._value(item, depth + 1) for item in value]
        return value if self.count == before else repaired

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        repaired: dict[str, Any] = {}
        for key, value in mapping.items():
            name = self.text(key) if key is not None else self._text_of(key)
            while name in repaired:  # two keys that the repair made equal
                name += "\ufffd"
            repaired[name] = self._value(value, depth)
        return repaired
