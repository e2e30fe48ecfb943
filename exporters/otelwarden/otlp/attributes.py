"""Attributes, a repeated `KeyValue` in OTLP.

Keys come again and again while values rarely do, so what is kept is the wire before a value, by its key and length; no
value is kept. With a text of up to 127 bytes, that leaves an attribute two pieces to put down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otelwarden.otlp.repair import Repairs
from otelwarden.otlp.values import DOUBLE, FALSE, INT, MAX_LEVELS, TEXT, TRUE, distinct, encode_value
from otelwarden.otlp.wire import KNOWN_VARINTS, VARINTS, optional, pack_double, tag, varint

MAX_HEADS: Final = 8192
"""Heads kept for one field, of at most 0.3 kB each with what it takes to keep them; beyond, all are forgotten."""

MAX_KEY: Final = 128
"""Bytes of the longest key that is kept."""

_MAX_TEXT: Final = 127
_KEY: Final = b"\x0a"
_VALUE: Final = b"\x12"


class Attributes:
    """Writes the attributes of one kind of message.

    Args:
        field: their number in the message.
        level: how many messages the message is in, the request being the first.
    """

    def __init__(self, field: int, *, level: int) -> None:
        self._tag: Final = tag(field)
        self._room: Final = MAX_LEVELS - level - 2
        self._known: Final[dict[str, _Heads]] = {}
        self._kept = 0

    @property
    def kept(self) -> int:
        """Heads kept at the moment."""
        return sum(1 + len(heads.texts) for heads in list(self._known.values()))

    def write(self, attributes: Mapping[str, Any], parts: list[bytes], repairs: Repairs) -> None:
        """Adds the wire of `attributes` to `parts`."""
        known, append = self._known, parts.append
        repaired: set[bytes] | None = None
        for key, value in attributes.items():
            heads = known.get(key) if type(key) is str else None
            if heads is None:
                if repaired is None:
                    repaired = set()
                heads = self._heads(key, attributes, repaired, repairs)
            kind = type(value)
            if kind is str:
                try:
                    encoded = value.encode()
                except UnicodeEncodeError:
                    encoded = repairs.utf8(value)
                append(heads.texts[len(encoded)])
                append(encoded)
            elif kind is int and 0 <= value < KNOWN_VARINTS:
                append(heads.short_int if value < 128 else heads.int)
                append(VARINTS[value])
            elif kind is bool:
                append(heads.true if value else heads.false)
            elif kind is float:
                append(heads.double)
                append(pack_double(value))
            else:
                encoded = encode_value(value, repairs, self._room)
                append(heads.before(len(encoded)))
                append(encoded)

    def keep(self) -> None:
        """Told of each head that is kept."""
        self._kept += 1
        if self._kept > MAX_HEADS:
            self._known.clear()
            self._kept = 0

    def _heads(self, key: Any, attributes: Mapping[str, Any], repaired: set[bytes], repairs: Repairs) -> _Heads:
        before = repairs.count
        name = repairs.utf8_of(key)
        if repairs.count != before:
            name = distinct(name, attributes, repaired)
        heads = _Heads(self, self._tag, name)
        if type(key) is str and len(name) <= MAX_KEY and repairs.count == before:
            self.keep()
            self._known[key] = heads
        return heads


class _Heads:
    """The wire of one key before its values."""

    __slots__ = ("_key", "_tag", "double", "false", "int", "short_int", "texts", "true")

    def __init__(self, owner: Attributes, field_tag: bytes, name: bytes) -> None:
        self._tag = field_tag
        self._key = optional(_KEY, name) + _VALUE
        self.true = self.before(len(TRUE)) + TRUE
        self.false = self.before(len(FALSE)) + FALSE
        self.double = self.before(9) + DOUBLE
        self.short_int = self.before(2) + INT
        self.int = self.before(3) + INT
        self.texts = _TextHeads(self, owner)

    def before(self, size: int) -> bytes:
        """What comes before a value of `size` bytes."""
        length = varint(size)
        return self._tag + varint(len(self._key) + len(length) + size) + self._key + length


class _TextHeads(dict[int, bytes]):
    """What comes before a text, by its length in bytes; found out when first needed."""

    __slots__ = ("_heads", "_owner")

    def __init__(self, heads: _Heads, owner: Attributes) -> None:
        super().__init__()
        self._heads = heads
        self._owner = owner

    def __missing__(self, size: int) -> bytes:
        length = varint(size)
        head = self._heads.before(1 + len(length) + size) + TEXT + length
        if size <= _MAX_TEXT:
            self._owner.keep()
            self[size] = head
        return head
