"""The wire format of protocol buffers, as far as OTLP needs it.

https://protobuf.dev/programming-guides/encoding/. Fields are written in the order of their numbers, as protobuf's own
serializers do; a field without presence is left out when it has its default.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

MIN_INT64: Final = -(1 << 63)
MAX_INT64: Final = (1 << 63) - 1
_UINT64: Final = (1 << 64) - 1
# Bounds rather than ranges: whether a range holds an int of a subclass, such as an IntEnum, is found out one by one.

pack_double: Final[Callable[[Any], bytes]] = struct.Struct("<d").pack
pack_fixed64: Final[Callable[[Any], bytes]] = struct.Struct("<Q").pack
pack_sfixed64: Final[Callable[[Any], bytes]] = struct.Struct("<q").pack
pack_fixed32: Final[Callable[[Any], bytes]] = struct.Struct("<I").pack


def _long_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


VARINTS: Final = tuple(_long_varint(number) for number in range(4096))
"""The varints of small numbers: lengths, above all."""

KNOWN_VARINTS: Final = len(VARINTS)


def varint(number: int) -> bytes:
    """A number from 0 to 2^64 - 1."""
    return VARINTS[number] if number < KNOWN_VARINTS else _long_varint(number)


def signed_varint(number: int) -> bytes:
    """A number from -2^63 to 2^63 - 1; negative ones take ten bytes."""
    return varint(number & _UINT64)


def tag(field: int) -> bytes:
    """What comes before the length of a text, bytes or message."""
    return varint(field << 3 | 2)


def delimited(field_tag: bytes, body: bytes) -> bytes:
    """A text, bytes or message with its tag and length."""
    return field_tag + varint(len(body)) + body


def optional(field_tag: bytes, body: bytes) -> bytes:
    """A text without presence: nothing for an empty one."""
    return field_tag + varint(len(body)) + body if body else b""


def fixed64(field_tag: bytes, number: int | None) -> bytes:
    """A number of eight bytes without presence: nothing for 0, and for None."""
    return field_tag + pack_fixed64(number) if number else b""


def double(field_tag: bytes, number: Any) -> bytes:
    """A number with presence: nothing for None alone."""
    return b"" if number is None else field_tag + pack_double(number)


def uint32(field_tag: bytes, number: int | None) -> bytes:
    """A number without presence: nothing for 0, and for None. Raises ValueError for one that does not fit."""
    if not number:
        return b""
    if not 0 < number < 1 << 32:
        raise ValueError(f"{number} is no unsigned number of 32 bits")
    return field_tag + varint(number)


def enumeration(field_tag: bytes, number: int | None) -> bytes:
    """A number of an enumeration, without presence. Raises ValueError for one that does not fit."""
    if not number:
        return b""
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError(f"{number} is no signed number of 32 bits")
    return field_tag + signed_varint(number)


def sint32(field_tag: bytes, number: int | None) -> bytes:
    """A number in ZigZag form, without presence. Raises ValueError for one that does not fit."""
    if not number:
        return b""
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError(f"{number} is no signed number of 32 bits")
    return field_tag + varint(number << 1 if number > 0 else (-number << 1) - 1)


def packed(field_tag: bytes, form: str, numbers: Iterable[Any] | None) -> bytes:
    """Repeated numbers of eight bytes each.

    Args:
        form: `Q` or `d`, as in `struct`.
    """
    listed = () if numbers is None else tuple(numbers)
    return delimited(field_tag, struct.pack(f"<{len(listed)}{form}", *listed)) if listed else b""


def packed_varints(field_tag: bytes, numbers: Iterable[int]) -> bytes:
    """Repeated numbers from 0 to 2^64 - 1. Raises ValueError for one that does not fit."""
    listed = tuple(numbers)
    if not listed:
        return b""
    if min(listed) < 0 or max(listed) > _UINT64:
        raise ValueError("a number does not fit 64 bits without a sign")
    return delimited(field_tag, b"".join([varint(number) for number in listed]))
