"""Check digits that many issuers share. All take digits, or what their docstring says, without separators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_VERHOEFF: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_ROUNDS: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"
)  # fmt: skip


def all_alike(digits: str) -> bool:
    """Whether one digit is repeated: some checks hold for that, and no issuer gives it to anybody."""
    return len(set(digits)) == 1


def weighted_sum(digits: str, weights: Sequence[int]) -> int:
    """The sum of the digits, each times its weight; those beyond the weights do not count."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def luhn(digits: str) -> bool:
    """Whether digits end in their check digit (ISO/IEC 7812-1, annex B)."""
    odd = sum(map(int, digits[-1::-2]))
    return (odd + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def verhoeff(digits: str) -> bool:
    """Whether digits end in Verhoeff's check digit (J. Verhoeff, Error detecting decimal codes, 1969)."""
    check = 0
    for index, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF[check][int(_VERHOEFF_ROUNDS[index % 8][int(digit)])])
    return check == 0


def mod_97_10(text: str) -> bool:
    """Whether letters and digits are 1 modulo 97 (ISO 7064, MOD 97-10)."""
    return int("".join(str(int(char, 36)) for char in text)) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """Whether digits end in their check digit (ISO 7064, hybrid MOD 11,10)."""
    check = 10
    for digit in digits[:-1]:
        check = (check + int(digit)) % 10 or 10
        check = 2 * check % 11
    return (check + int(digits[-1])) % 10 == 1


def mod_11_2(text: str) -> bool:
    """Whether digits end in their check character, a digit or X (ISO 7064, MOD 11-2)."""
    total = 0
    for char in text:
        total = (2 * total + (10 if char == "X" else int(char))) % 11
    return total == 1


def icao_digit(text: str) -> int:
    """The check digit of letters and digits in a travel document (ICAO Doc 9303-3, section 4.9)."""
    return sum(int(char, 36) * (7, 3, 1)[index % 3] for index, char in enumerate(text)) % 10


def is_date(year: int, month: int, day: int) -> bool:
    """Whether a date may exist, February 29 in any year."""
    if not 1 <= month <= 12 or not 0 <= year <= 9999:
        return False
    return 1 <= day <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
