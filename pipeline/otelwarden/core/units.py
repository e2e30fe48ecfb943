"""Quantities as people write them in a configuration: `30s`, `5GiB`, `500/s`."""

from __future__ import annotations

import math
import re
from typing import Final

from otelwarden.core.errors import ConfigError, Fault

DURATIONS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds in each unit of time."""

BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
"""Bytes in each unit of size: SI prefixes and IEC 60027-2 prefixes mean what they say."""

_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_BYTE_RATE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?\s*[A-Za-z]*)\s*/\s*([a-z]+)\s*", re.ASCII)
_RATE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*([a-z]+)\s*", re.ASCII)


def _refuse(what: str, text: object, allowed: str) -> ConfigError:
    return ConfigError([Fault(message=f"not a {what}", given=text, allowed=allowed)])


def _number(what: str, text: object, allowed: str) -> float:
    """The number, checked: a float can be infinite or none at all, an integer too large for a float."""
    try:
        number = float(text) if isinstance(text, (int, float)) and not isinstance(text, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise _refuse(what, text, allowed)
    return number


def parse_duration(value: str | int | float) -> float:
    """Seconds: of a text like `250ms`, `30s`, `5m`, `1h`, `7d`, or a bare number of seconds.

    Raises:
        ConfigError: it is none of these, negative or not finite.
    """
    allowed = "a number of seconds, or one with a unit: " + ", ".join(DURATIONS)
    if not isinstance(value, str):
        return _number("duration", value, allowed)
    match = _QUANTITY.fullmatch(value)
    if match is None or (unit := match[2] or "s") not in DURATIONS:
        raise _refuse("duration", value, allowed)
    return _number("duration", float(match[1]) * DURATIONS[unit], allowed)


def parse_bytes(value: str | int | float) -> int:
    """Bytes: of a text like `512KiB`, `64MB`, `5GiB`, or a bare number of bytes.

    Raises:
        ConfigError: it is none of these, negative or not finite.
    """
    allowed = "a number of bytes, or one with a unit: " + ", ".join(BYTES)
    if not isinstance(value, str):
        return int(_number("size", value, allowed))
    match = _QUANTITY.fullmatch(value)
    if match is None or (unit := match[2] or "B") not in BYTES:
        raise _refuse("size", value, allowed)
    return int(_number("size", float(match[1]) * BYTES[unit], allowed))


def parse_rate(value: str | int | float) -> float:
    """Items a second: of a text like `500/s`, `3000/m`, `0.5/s`, or a bare number a second.

    Raises:
        ConfigError: it is none of these, negative or not finite.
    """
    allowed = "a number, a slash and a unit of time: " + ", ".join(DURATIONS)
    if not isinstance(value, str):
        return _number("rate", value, allowed)
    match = _RATE.fullmatch(value)
    if match is None or match[2] not in DURATIONS:
        raise _refuse("rate", value, allowed)
    return _number("rate", float(match[1]) / DURATIONS[match[2]], allowed)


def parse_byte_rate(value: str | int | float) -> float:
    """Bytes a second: of a text like `5MiB/s`, `300kB/m`, or a bare number a second.

    Raises:
        ConfigError: it is none of these, negative or not finite.
    """
    allowed = f"a number of bytes ({', '.join(BYTES)}), a slash and a unit of time: " + ", ".join(DURATIONS)
    if not isinstance(value, str):
        return _number("rate of bytes", value, allowed)
    match = _BYTE_RATE.fullmatch(value)
    if match is None or match[2] not in DURATIONS:
        raise _refuse("rate of bytes", value, allowed)
    try:
        amount = parse_bytes(match[1])
    except ConfigError:
        raise _refuse("rate of bytes", value, allowed) from None
    return _number("rate of bytes", amount / DURATIONS[match[2]], allowed)
