"""Telephone numbers; those in a country's own notation must be in use."""

from __future__ import annotations

import re
from typing import Final

from otelwarden.redaction.validators.base import digits_go_on, digits_of, in_a_fraction
from otelwarden.redaction.validators.numbering import is_in_use, is_in_use_at_home

_GROUP_BEFORE: Final = re.compile(rb"[0-9][A-Za-z0-9]*[ \-./]\Z")
_SIGNS: Final = (b" ", b".", b"-", b"(", b")")


def phone(text: bytes, start: int, end: int) -> int:
    """A telephone number of 7 to 15 digits (ITU-T E.164), not part of a longer run of digits."""
    if start and (text[start - 1 : start].isalnum() or text[start - 1] in b"-_+" or in_a_fraction(text, start)):
        return 0
    # Greedy: `+44 20 7946 0958 1700000000` has a number of 12 digits and then something else.
    while end > start:
        digits = len(digits_of(text[start:end]))
        if digits < 7:
            return 0
        goes_on = text[end : end + 1].isalnum() or digits_go_on(text, end)
        if digits <= 15 and not goes_on:
            return end
        # `+1-202-555-0143 208ms` ends at the blank; a number of which one group goes on is none.
        end = text.rfind(b" ", start, end) if goes_on else max(text.rfind(sign, start, end) for sign in _SIGNS)
    return 0


def _goes_before(text: bytes, start: int) -> bool:
    """Whether a group with a digit stands before: `HR12 1001 0051 8630 0016` is an account."""
    return _GROUP_BEFORE.search(text, max(0, start - 16), start) is not None


def phone_of_a_country(text: bytes, start: int, end: int) -> int:
    """A number as a country writes it at home, which is in use in one of `numbering.COUNTRIES`."""
    end = 0 if _goes_before(text, start) else phone(text, start, end)
    return end if end and is_in_use_at_home(digits_of(text[start:end])) else 0


def phone_with_trunk_prefix(text: bytes, start: int, end: int) -> int:
    """As `phone_of_a_country`, of nine digits or more: shorter ones are too often something else."""
    end = phone_of_a_country(text, start, end)
    return end if len(digits_of(text[start:end])) >= 9 else 0


def phone_with_exit_code(text: bytes, start: int, end: int) -> int:
    """An international number behind 00 or 011, which is in use."""
    end = 0 if _goes_before(text, start) else phone(text, start, end)
    number = digits_of(text[start:end])
    return end if end and is_in_use(number.removeprefix(b"011" if number.startswith(b"011") else b"00")) else 0


VALIDATORS: Final = (phone, phone_of_a_country, phone_with_exit_code, phone_with_trunk_prefix)
