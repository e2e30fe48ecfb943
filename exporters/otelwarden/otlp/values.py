"""Attribute values and log bodies, `AnyValue` in OTLP."""

from __future__ import annotations

from collections import UserString
from collections.abc import Mapping, Sequence
from typing import Any, Final

from otelwarden.otlp.repair import TOO_DEEP, TOO_LARGE, Repairs
from otelwarden.otlp.wire import (
    KNOWN_VARINTS,
    MAX_INT64,
    MIN_INT64,
    VARINTS,
    delimited,
    optional,
    pack_double,
    signed_varint,
    varint,
)

MAX_LEVELS: Final = 100
"""Messages within one another, the request not counted. Protobuf's parsers refuse all of a request that goes deeper;
the public encoder makes such ones, up to four levels deeper. A list takes two levels, a mapping three."""

MAX_BYTES: Final = 20 << 20
"""Bytes of the values in one list or mapping: the largest request that a Collector takes unless told otherwise."""

MAX_BYTES_CUT: Final = 256 << 10
"""The same for one that goes too deep or is too large: it may contain itself, and more than once."""

_CONTAINER: Final = 6
"""Bytes of the tags and lengths of a list or mapping of some size."""

TEXT: Final = b"\x0a"
TRUE: Final = b"\x10\x01"
FALSE: Final = b"\x10\x00"
INT: Final = b"\x18"
DOUBLE: Final = b"\x21"
_ARRAY: Final = b"\x2a"
_KEY_VALUES: Final = b"\x32"
_BYTES: Final = b"\x3a"
_ITEM: Final = b"\x0a"
_KEY: Final = b"\x0a"
_VALUE: Final = b"\x12"


def encode_value(value: Any, repairs: Repairs, room: int) -> bytes:
    """A value as an `AnyValue`, without tag and length.

    Args:
        room: how many levels of messages there may be below it.
    """
    encoded = _encode_scalar(value, repairs)
    return _encode_nested(value, repairs, room) if encoded is None else encoded


def encode_int(value: int, repairs: Repairs) -> bytes:
    """An int as an `AnyValue`; beyond 64 bits, a text."""
    if 0 <= value < KNOWN_VARINTS:
        return INT + VARINTS[value]
    if MIN_INT64 <= value <= MAX_INT64:
        return INT + signed_varint(value)
    return _encode_text(repairs.digits(value), repairs)


def _encode_text(value: str, repairs: Repairs) -> bytes:
    encoded = repairs.utf8(value)
    return TEXT + varint(len(encoded)) + encoded


def _encode_scalar(value: Any, repairs: Repairs) -> bytes | None:
    """A value that contains no others; None for a list or mapping."""
    kind = type(value)
    if kind is str:
        return _encode_text(value, repairs)
    if kind is bool:
        return TRUE if value else FALSE
    if kind is int:
        return encode_int(value, repairs)
    if kind is float:
        return DOUBLE + pack_double(value)
    if value is None:
        return b""
    if kind is list or kind is tuple or kind is dict:
        return None
    return _encode_unusual(value, repairs)


def _encode_unusual(value: Any, repairs: Repairs) -> bytes | None:
    # A value may be of several of these types; the order is that of the public encoder. It takes what a subclass is,
    # not what its methods say.
    if isinstance(value, str):
        return _encode_text(str.__str__(value), repairs)
    if isinstance(value, int):
        return encode_int(int.__index__(value), repairs)
    if isinstance(value, float):
        return DOUBLE + pack_double(value)
    if isinstance(value, bytes):
        return delimited(_BYTES, b"".join((value,)))
    if isinstance(value, (Sequence, Mapping)) and not _is_text(value):
        return None
    return _encode_text(repairs.text_of(value), repairs)


def _is_text(value: Any) -> bool:
    """Whether it is a sequence of sequences without end, each of the same text."""
    return isinstance(value, UserString) and len(value) > 0


class _TooMuchError(Exception):
    """Raised when a list or mapping must be cut."""


def _encode_nested(value: Any, repairs: Repairs, room: int) -> bytes:
    before = repairs.count
    try:
        return _Nested(repairs, MAX_BYTES, cut=False).encode(value, room)
    except _TooMuchError:
        repairs.count = before
        return _Nested(repairs, MAX_BYTES_CUT, cut=True).encode(value, room)


class _Nested:
    """One list or mapping with all that is in it.

    Args:
        max_bytes: of the values in it.
        cut: whether to cut what is too much, else raise `_TooMuchError`.
    """

    __slots__ = ("_bytes_left", "_cut", "_repairs")

    def __init__(self, repairs: Repairs, max_bytes: int, *, cut: bool) -> None:
        self._repairs = repairs
        self._bytes_left = max_bytes
        self._cut = cut

    def encode(self, value: Any, room: int) -> bytes:
        """A list or mapping as an `AnyValue`."""
        try:
            if isinstance(value, Sequence):
                if room < 2 and (room < 1 or len(value)):
                    return self._instead(TOO_DEEP)
                return delimited(_ARRAY, self._items(value, room - 2))
            if room < 3 and (room < 1 or len(value)):
                return self._instead(TOO_DEEP)
            return delimited(_KEY_VALUES, self._pairs(value, room - 3))
        except _TooMuchError:
            raise
        except Exception:
            # Whatever an application's own container does wrong while it is looked through.
            return _encode_text(self._repairs.text_of(value), self._repairs)

    def _items(self, values: Sequence[Any], room: int) -> bytes:
        parts: list[bytes] = []
        for value in values:
            full = self._bytes_left < 0
            encoded = self._instead(TOO_LARGE) if full else self._value(value, room)
            parts += _ITEM, varint(len(encoded)), encoded
            if full:
                break
        return b"".join(parts)

    def _pairs(self, mapping: Mapping[Any, Any], room: int) -> bytes:
        parts: list[bytes] = []
        repaired: set[bytes] = set()
        for key, value in mapping.items():
            name = self._name(key, mapping, repaired)
            full = self._bytes_left < 0
            self._bytes_left -= len(name)
            encoded = self._instead(TOO_LARGE) if full else self._value(value, room)
            pair = optional(_KEY, name) + delimited(_VALUE, encoded)
            parts += _ITEM, varint(len(pair)), pair
            if full:
                break
        return b"".join(parts)

    def _value(self, value: Any, room: int) -> bytes:
        encoded = _encode_scalar(value, self._repairs)
        self._bytes_left -= _CONTAINER if encoded is None else len(encoded) + 2
        if self._bytes_left < 0:
            return self._instead(TOO_LARGE)
        return self.encode(value, room) if encoded is None else encoded

    def _name(self, key: Any, mapping: Mapping[Any, Any], repaired: set[bytes]) -> bytes:
        before = self._repairs.count
        if type(key) is str:
            name = self._repairs.utf8(key)
        else:
            try:
                name = self._repairs.utf8(str.__str__(str(key)))
            except Exception:
                name = self._repairs.utf8_of(key)  # its __str__ raises
        return name if self._repairs.count == before else distinct(name, mapping, repaired)

    def _instead(self, text: str) -> bytes:
        if not self._cut:
            raise _TooMuchError
        self._repairs.count += 1
        self._bytes_left -= len(text)
        return _encode_text(text, self._repairs)


def distinct(name: bytes, mapping: Mapping[Any, Any], repaired: set[bytes]) -> bytes:
    """A repaired key, made to differ from the other keys of `mapping`.

    Args:
        repaired: the keys that were repaired so far; this one is added.
    """
    while name in repaired or name.decode() in mapping:
        name += b"\xef\xbf\xbd"  # U+FFFD
    repaired.add(name)
    return name
