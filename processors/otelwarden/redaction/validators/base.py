"""What validators share: the shape of one, and looks around a candidate.

A validator is given the text and a candidate's range in it, and answers where the confirmed part ends. A greedy
pattern may take too much (an IBAN followed by a number), so a validator may confirm a shorter end; never a longer one.
Offsets are bytes. It may look around the range, but takes a NUL for the end of the text: it separates two values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Validator: TypeAlias = Callable[[bytes, int, int], int]
"""`(text, start, end) -> end of what is confirmed`, or 0 when nothing is."""

Check: TypeAlias = Callable[[str], bool]
"""Whether letters and digits without their separators, in upper case, are a number of some kind."""

DIGITS: Final = frozenset(b"0123456789")
_NO_DIGITS: Final = bytes(byte for byte in range(256) if byte not in DIGITS)
_SEPARATORS: Final = b" -./:,'\\()\xc2\xa0\t"


def before(text: bytes, start: int, size: int) -> bytes:
    """So many bytes before an offset, or what there is of them in the same value."""
    low = max(0, start - size)
    return text[max(low, text.rfind(b"\0", low, start) + 1) : start]


def in_a_fraction(text: bytes, start: int) -> bool:
    """Whether the range continues a decimal fraction: `0.4111111111111111` is no card."""
    return start >= 2 and text[start - 1] == 0x2E and text[start - 2] in DIGITS


def digits_go_on(text: bytes, end: int) -> bool:
    """Whether a point or hyphen and a digit follow: the range is the beginning of something longer."""
    after = text[end : end + 2]
    return len(after) == 2 and after[0] in b"-." and after[1] in DIGITS


def digits_of(value: bytes) -> bytes:
    """The digits of a candidate. In one call of C: a loop over bytes takes twenty times as long."""
    return value.translate(None, _NO_DIGITS)


def compact(value: bytes) -> str:
    """The letters and digits of a candidate, in upper case."""
    return value.translate(None, _SEPARATORS).decode("ascii", "replace").upper()


def validator_of(check: Check) -> Validator:
    """The check of a number as a validator: it must stand alone, and hold without its separators."""

    def validate(text: bytes, start: int, end: int) -> int:
        if in_a_fraction(text, start) or digits_go_on(text, end):
            return 0
        if start >= 2 and text[start - 1] == 0x2D and text[start - 2] in DIGITS:
            return 0  # the end of something longer
        try:
            return end if check(compact(text[start:end])) else 0
        except (ValueError, IndexError, KeyError):
            return 0  # not of the shape that the check expects: the pattern is another's

    return validate
