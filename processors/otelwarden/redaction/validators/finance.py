"""Numbers that pay: cards, accounts, banks. And the US social security number, which opens accounts."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import Final

from otelwarden.redaction.validators.base import DIGITS, before, digits_go_on, digits_of, in_a_fraction

IBAN_LENGTHS: Final = {
    country[:2]: int(country[2:])
    for country in re.findall(
        r"\w+",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 "
        "DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 "
        "HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 "
        "MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 "
        "RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 "
        "VA22 VG24 XK20 YE30",
    )
}
"""Characters of an IBAN by country. Source: SWIFT IBAN registry (ISO 13616)."""

_LETTER_VALUES: Final = {ord(letter): str(10 + index) for index, letter in enumerate(string.ascii_uppercase)}
_DIGIT_VALUES: Final = bytes((byte - 48) & 0xFF for byte in range(256))
_DOUBLE: Final = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(246)


def luhn_valid(digits: bytes) -> bool:
    """Whether ASCII digits end in their check digit (ISO/IEC 7812-1, annex B). On bytes, as every card pays for it."""
    values = digits.translate(_DIGIT_VALUES)
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_DOUBLE))) % 10 == 0


@lru_cache(maxsize=10_000)
def card_lengths(digits: bytes) -> tuple[int, ...]:
    """How many digits a card number with these first digits may have, the longest first; none if no issuer has it.

    Ranges as the networks publish them: Visa 4, Mastercard 51-55 and 2221-2720, American Express 34 and 37, Discover
    6011, 644-649 and 65, Diners Club 300-305, 36, 38 and 39, JCB 3528-3589, UnionPay 62, Maestro 50, 56-58 and 6,
    Mir 2200-2204, RuPay 60, 65, 81, 82 and 508, UATP 1.
    """
    two, three, four = int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[:1] == b"4":
        return (19, 16, 13)
    if 51 <= two <= 55 or 2221 <= four <= 2720 or two in (81, 82):
        return (16,)
    if two in (34, 37) or digits[:1] == b"1":
        return (15,)
    if 2200 <= four <= 2204:
        return (19, 18, 17, 16)
    if four == 6011 or 644 <= three <= 649 or two in (62, 65):
        return (19, 18, 17, 16)
    if 300 <= three <= 305 or two in (36, 38, 39):
        return (19, 18, 17, 16, 15, 14)
    if 3528 <= four <= 3589:
        return (19, 18, 17, 16)
    if two == 50 or 56 <= two <= 58 or two in (60, 61, 63, 66, 67, 68, 69):
        return (19, 18, 17, 16)
    return ()


def payment_card(text: bytes, start: int, end: int) -> int:
    """A card number: an issuer's range and length, Luhn's check digit, ending where its digits end."""
    if in_a_fraction(text, start) or (start and text[start - 1] == 0x2D and text[start - 2 : start - 1].isdigit()):
        return 0
    digits = digits_of(text[start:end])
    positions: list[int] = []
    for length in card_lengths(digits[:4]):
        if length > len(digits):
            continue
        if length == end - start:
            stop = end
        else:
            positions = positions or [at for at in range(start, end) if text[at] in DIGITS]
            stop = positions[length - 1] + 1
        if stop < len(text) and text[stop] in DIGITS:
            continue
        if luhn_valid(digits[:length]) and len(set(digits[:length])) > 1:
            return stop
    return 0


def iban(text: bytes, start: int, end: int) -> int:
    """An IBAN: the length of its country, and 1 modulo 97 (ISO 13616, ISO 7064 MOD 97-10)."""
    length = IBAN_LENGTHS.get(text[start : start + 2].decode("ascii", "replace").upper(), 0)
    characters = text[start:end].translate(None, b" -")
    if not length or len(characters) < length:
        return 0
    stop = end
    if length < end - start:
        stop = [at for at in range(start, end) if text[at] != 0x20 and text[at] != 0x2D][length - 1] + 1
    if stop < len(text) and (text[stop : stop + 1].isalnum()):
        return 0
    compact = characters[:length].decode("ascii", "replace").upper()
    try:
        number = int((compact[4:] + compact[:4]).translate(_LETTER_VALUES))
    except ValueError:
        return 0
    return stop if number % 97 == 1 else 0


def swift_code(text: bytes, start: int, end: int) -> int:
    """A business identifier code: its country exists (ISO 9362)."""
    country = text[start + 4 : start + 6].decode("ascii", "replace").upper()
    return end if country in IBAN_LENGTHS or country in _OTHER_COUNTRIES else 0


_OTHER_COUNTRIES: Final = frozenset(
    re.findall(
        r"\w+",
        "AR AU BD BM BO CA CL CN CO EC HK ID IN JP KE KR KY LK MA MO MX MY NG NZ PA PE PH PR PY SG TH TW US UY UZ VE "
        "VN ZA",
    )
)


def us_ssn(text: bytes, start: int, end: int) -> int:
    """A US social security number: area 001-899 without 666, group 01-99, serial 0001-9999 (SSA, RM 10201.035)."""
    digits = digits_of(text[start:end])
    if len(digits) != 9 or in_a_fraction(text, start):
        return 0
    area, group, serial = int(digits[:3]), int(digits[3:5]), int(digits[5:])
    if not (0 < area < 900 and area != 666 and group and serial) or len(set(digits)) == 1:
        return 0
    return 0 if digits_go_on(text, end) else end


def us_ssn_apart(text: bytes, start: int, end: int) -> int:
    """As `us_ssn`, written with blanks: not three of many numbers in a row, as a web server logs them."""
    ahead, after = before(text, start, 2), text[end : end + 2]
    if (len(ahead) == 2 and (ahead[:1].isdigit() or ahead[:1] == b'"')) or (after[:1] == b" " and after[1:].isdigit()):
        return 0
    return us_ssn(text, start, end)


VALIDATORS: Final = (iban, payment_card, swift_code, us_ssn, us_ssn_apart)
