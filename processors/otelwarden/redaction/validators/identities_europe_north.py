"""The Nordic and Baltic countries: numbers of people and businesses, by the definitions of those who issue them.

All take letters and digits without separators, in upper case.
"""

from __future__ import annotations

from typing import Final

from otelwarden.redaction.validators.base import Check
from otelwarden.redaction.validators.checksums import is_date, luhn, weighted_sum

_HETU_LETTERS: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def baltic_code(number: str) -> bool:
    """Estonian isikukood and Lithuanian asmens kodas: sex, date, serial, check digit (EVS 585)."""
    if len(number) != 11 or number[0] not in "123456":
        return False
    if not is_date(0, int(number[3:5]), int(number[5:7])):
        return False
    check = weighted_sum(number, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted_sum(number, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return check == int(number[10])


def dk_cpr(number: str) -> bool:
    """Danish CPR number: a date and four digits, no check digit since 2007 (CPR-kontoret)."""
    return len(number) == 10 and is_date(0, int(number[2:4]), int(number[:2]))


def fi_hetu(number: str) -> bool:
    """Finnish personal identity code; the sign of the century was taken for a separator where it is one (DVV)."""
    digits = number[:6] + number[-4:-1]
    if not digits.isdigit() or not is_date(0, int(number[2:4]), int(number[:2])):
        return False
    return _HETU_LETTERS[int(digits) % 31] == number[-1]


def lv_code(number: str) -> bool:
    """Latvian personal code: a date, serial and check digit; since 2017 it begins with 32 and has none (PMLP)."""
    if len(number) != 11:
        return False
    if number.startswith("32"):
        return True
    check = (1 + weighted_sum(number, (10, 5, 8, 4, 2, 1, 6, 3, 7, 9))) % 11 % 10
    return is_date(0, int(number[2:4]), int(number[:2])) and check == int(number[10])


def no_birth_number(number: str) -> bool:
    """Norwegian fodselsnummer: a date, serial and two check digits; D numbers add 40 to the day (Skatteetaten)."""
    if len(number) != 11:
        return False
    day, month = int(number[:2]), int(number[2:4])
    first = -weighted_sum(number, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -weighted_sum(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    born = is_date(0, month - 40 if month > 40 else month, day - 40 if day > 40 else day)
    return born and [first, second] == [int(number[9]), int(number[10])]


def se_personal_number(number: str) -> bool:
    """Swedish personnummer, and samordningsnummer with 60 added to the day: Luhn's digit over ten (Skatteverket)."""
    number = number.replace("+", "")
    if len(number) == 12 and number[:2] not in ("18", "19", "20"):
        return False
    number = number[-10:] if len(number) == 12 else number
    if len(number) != 10 or not number.isdigit():
        return False
    day = int(number[4:6])
    return is_date(0, int(number[2:4]), day - 60 if day > 60 else day) and luhn(number)


def se_organisation_number(number: str) -> bool:
    """Swedish organisationsnummer: ten digits, the third 2 or more, Luhn's digit (Bolagsverket)."""
    number = number.removeprefix("16") if len(number) == 12 else number
    return len(number) == 10 and number[2] >= "2" and luhn(number)


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        baltic_code, dk_cpr, fi_hetu, lv_code, no_birth_number, se_organisation_number, se_personal_number,
    )
}  # fmt: skip
