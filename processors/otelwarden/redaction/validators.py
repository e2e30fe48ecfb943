"""Checks that tell a real number from digits that look like one: checksums, issuers' ranges, what stands around.

A validator is given the text and a candidate's range in it, and answers where the confirmed part ends. A greedy
pattern may take too much (an IBAN followed by a number), so a validator may confirm a shorter end; never a longer one.
Offsets are bytes. It may look around the range, but takes a NUL for the end of the text: it separates two values.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Final, TypeAlias

Validator: TypeAlias = Callable[[bytes, int, int], int]
"""`(text, start, end) -> end of what is confirmed`, or 0 when nothing is."""

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

_DIGITS: Final = frozenset(b"0123456789")
_PHONE_SIGNS: Final = (b" ", b".", b"-", b"(", b")")
_DOUBLED: Final = bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9])
_USERINFO: Final = re.compile(rb"//[^\s/?#@\0]*:[^\s/?#@\0]*\Z")
_IMAGE_SCALE: Final = re.compile(rb"@[0-9]x\.[a-z]")
_NO_SECRET: Final = re.compile(
    rb"(?i)(?:[?*#.\-_]|x{3}|\xe2\x80\xa2)+|\$\d+|\$?\{.*\}?|%\(?\w*\)?s|:\w+|@\w+|<.*>?|\[.*\]?|(?:\[?redacted\]?[:@]?)+|"
    rb"null|none|nil|undefined|true|false|yes|no|on|off|required|missing|empty|invalid|incorrect|wrong|hidden|masked|"
    rb"filtered|str|string|text|bytes|varchar"
)


def luhn_valid(digits: bytes) -> bool:
    """Whether ASCII digits end in their check digit (ISO/IEC 7812-1, annex B)."""
    values = digits.translate(_DIGIT_VALUES)
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_DOUBLE))) % 10 == 0


_DIGIT_VALUES: Final = bytes((byte - 48) & 0xFF for byte in range(256))
_DOUBLE: Final = bytes(_DOUBLED[byte] if byte < 10 else 0 for byte in range(256))


def card_lengths(digits: bytes) -> tuple[int, ...]:
    """How many digits a card number with these first digits may have, the longest first; none if no issuer has it.

    Ranges as the networks publish them: Visa 4, Mastercard 51-55 and 2221-2720, American Express 34 and 37, Discover
    6011, 644-649 and 65, Diners Club 300-305, 36, 38 and 39, JCB 3528-3589, UnionPay 62, Maestro 50, 56-58 and 6.
    """
    two, three, four = int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[:1] == b"4":
        return (19, 16, 13)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return (16,)
    if two in (34, 37):
        return (15,)
    if four == 6011 or 644 <= three <= 649 or two in (62, 65):
        return (19, 18, 17, 16)
    if 300 <= three <= 305 or two in (36, 38, 39):
        return (19, 18, 17, 16, 15, 14)
    if 3528 <= four <= 3589:
        return (19, 18, 17, 16)
    if two == 50 or 56 <= two <= 58 or two in (60, 61, 63, 66, 67, 68, 69):
        return (19, 18, 17, 16)
    return ()


def _in_a_fraction(text: bytes, start: int) -> bool:
    """Whether the range continues a decimal fraction: `0.4111111111111111` is no card."""
    return start >= 2 and text[start - 1] == 0x2E and text[start - 2] in _DIGITS


def email(text: bytes, start: int, end: int) -> int:
    """An e-mail address, not the name of an image at twice its size (`logo@2x.png`), nor a URL's password and host."""
    if _IMAGE_SCALE.search(text, start, end):
        return 0
    return 0 if _USERINFO.search(text, max(0, start - 128), start) else end


def userinfo(text: bytes, start: int, end: int) -> int:
    """The `user:password` of a URL, unless the password is a placeholder."""
    return secret_value(text, text.index(b":", start, end) + 1, end)


def payment_card(text: bytes, start: int, end: int) -> int:
    """A card number: an issuer's range and length, Luhn's check digit, ending where its digits end."""
    if _in_a_fraction(text, start) or (start and text[start - 1] == 0x2D and text[start - 2 : start - 1].isdigit()):
        return 0
    positions = [at for at in range(start, end) if text[at] in _DIGITS]
    digits = bytes(text[at] for at in positions)
    for length in card_lengths(digits):
        if length > len(digits):
            continue
        stop = positions[length - 1] + 1
        if stop < len(text) and text[stop] in _DIGITS:
            continue
        if luhn_valid(digits[:length]) and len(set(digits[:length])) > 1:
            return stop
    return 0


def iban(text: bytes, start: int, end: int) -> int:
    """An IBAN: the length of its country, and 1 modulo 97 (ISO 13616, ISO 7064 MOD 97-10)."""
    length = IBAN_LENGTHS.get(text[start : start + 2].decode("ascii", "replace").upper(), 0)
    positions = [at for at in range(start, end) if text[at] != 0x20 and text[at] != 0x2D]
    if not length or len(positions) < length:
        return 0
    stop = positions[length - 1] + 1
    if stop < len(text) and (text[stop : stop + 1].isalnum()):
        return 0
    compact = bytes(text[at] for at in positions[:length]).decode("ascii", "replace")
    try:
        number = int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4]))
    except ValueError:
        return 0
    return stop if number % 97 == 1 else 0


def us_ssn(text: bytes, start: int, end: int) -> int:
    """A US social security number: area 001-899 without 666, group 01-99, serial 0001-9999 (SSA, RM 10201.035)."""
    digits = bytes(byte for byte in text[start:end] if byte in _DIGITS)
    if len(digits) != 9 or _in_a_fraction(text, start):
        return 0
    area, group, serial = int(digits[:3]), int(digits[3:5]), int(digits[5:])
    if not (0 < area < 900 and area != 666 and group and serial) or len(set(digits)) == 1:
        return 0
    return 0 if _digits_go_on(text, end) else end


def _digits_go_on(text: bytes, end: int) -> bool:
    after = text[end : end + 2]
    return len(after) == 2 and after[0] in b"-." and after[1] in _DIGITS


def ipv4(text: bytes, start: int, end: int) -> int:
    """An IPv4 address of somebody: not the loopback, not part of a longer number, not a product's version."""
    if _digits_go_on(text, end) or _in_a_fraction(text, start):
        return 0
    before = text[max(0, start - 2) : start]
    if before[-1:] == b"/" and before[:1].isalpha() and text[end : end + 1] != b":":
        return 0  # Chrome/120.0.0.0
    address = text[start:end]
    if address.startswith((b"127.", b"0.")) or address == b"255.255.255.255":
        return 0
    return end


def ipv6(text: bytes, start: int, end: int) -> int:
    """An IPv6 address of somebody (RFC 4291), not the loopback, not a time of day, not part of a longer run."""
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    if any(chr(byte).isalnum() or byte == 0x3A for byte in around if byte < 0x80):
        return 0
    address = text[start:end]
    groups = [group for group in address.split(b":") if group]
    if address.count(b"::") > 1 or len(groups) > 8 or (b"::" not in address and len(groups) != 8):
        return 0
    if len(groups) < 3 and (len(groups[0]) < 3 or not any(byte in _DIGITS for byte in groups[0])):
        return 0  # the scope operator of C++ and Rust: `dad::add`
    return end


def mac_address(text: bytes, start: int, end: int) -> int:
    """A MAC address: six pairs and no more, not all alike (00:00:00:00:00:00 and the broadcast)."""
    if text[end : end + 1] in (b":", b"-") or (start and text[start - 1 : start] in (b":", b"-")):
        return 0
    pairs = re.split(rb"[:-]", text[start:end])
    return end if len(set(pairs)) > 1 else 0


def phone(text: bytes, start: int, end: int) -> int:
    """A telephone number of 7 to 15 digits (ITU-T E.164), not part of a longer run of digits."""
    if start and (text[start - 1 : start].isalnum() or text[start - 1] in b"-_+" or _in_a_fraction(text, start)):
        return 0
    # Greedy: `+44 20 7946 0958 1700000000` has a number of 12 digits and then something else.
    while end > start:
        digits = sum(byte in _DIGITS for byte in text[start:end])
        if digits < 7:
            return 0
        goes_on = text[end : end + 1].isalnum() or _digits_go_on(text, end)
        if digits <= 15 and not goes_on:
            return end
        # `+1-202-555-0143 208ms` ends at the blank; a number of which one group goes on is none.
        end = text.rfind(b" ", start, end) if goes_on else max(text.rfind(sign, start, end) for sign in _PHONE_SIGNS)
    return 0


def secret_value(text: bytes, start: int, end: int) -> int:
    """Something that is not a placeholder, a bind variable, or a word that says there is none."""
    return 0 if _NO_SECRET.fullmatch(text, start, end) else end


def stated_secret(text: bytes, start: int, end: int) -> int:
    """A secret after a colon and a blank, where prose looks alike (`password: too short`): a word is none."""
    value = text[start:end]
    if text[max(0, start - 2) : start] in (b": ", b":\t") and value.islower() and value.isalpha():
        return 0
    return secret_value(text, start, end)


def token_like(text: bytes, start: int, end: int) -> int:
    """Something random: letters of both cases or digits among letters, and 3 bits of entropy a character or more."""
    value = text[start:end]
    mixed = any(byte in _DIGITS for byte in value) or (value.lower() != value and value.upper() != value)
    return secret_value(text, start, end) if mixed and entropy(value) >= 3.0 else 0


def basic_credentials(text: bytes, start: int, end: int) -> int:
    """The base64 of `user:password` (RFC 7617)."""
    value = text[start:end]
    try:
        decoded = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return 0
    return end if b":" in decoded else 0


def entropy(value: bytes) -> float:
    """Shannon's entropy of the bytes, in bits a byte."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in map(value.count, set(value)))


VALIDATORS: Final[dict[str, Validator]] = {
    validator.__name__: validator
    for validator in (
        basic_credentials,
        email,
        iban,
        ipv4,
        ipv6,
        mac_address,
        payment_card,
        phone,
        secret_value,
        stated_secret,
        token_like,
        us_ssn,
        userinfo,
    )
}
"""Validators by the name that a detector gives."""
