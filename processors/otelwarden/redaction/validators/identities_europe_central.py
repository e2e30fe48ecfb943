"""Central and eastern Europe: numbers of people and businesses, by the definitions of those who issue them.

All take letters and digits without separators, in upper case.
"""

from __future__ import annotations

import re
from typing import Final

from otelwarden.redaction.validators.base import Check
from otelwarden.redaction.validators.checksums import all_alike, icao_digit, is_date, mod_11_10, weighted_sum


def at_svnr(number: str) -> bool:
    """Austrian social insurance number: serial, check digit, date of birth (Dachverband der Sozialversicherungen)."""
    check = weighted_sum(number[:3] + number[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
    return len(number) == 10 and number[0] != "0" and check == int(number[3])


def bg_egn(number: str) -> bool:
    """Bulgarian EGN: month plus 20 before 1900, plus 40 after 1999 (GRAO)."""
    month = int(number[2:4])
    month -= 40 if month > 40 else 20 if month > 20 else 0
    check = weighted_sum(number, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return len(number) == 10 and is_date(0, month, int(number[4:6])) and check == int(number[9])


def birth_number(number: str) -> bool:
    """Czech and Slovak rodne cislo: a multiple of 11, nine digits and no check before 1954 (law 133/2000 Sb.)."""
    number = number.removeprefix("CZ").removeprefix("SK")
    if not number.isdigit() or len(number) not in (9, 10):
        return False
    month = int(number[2:4]) % 50
    month -= 20 if month > 20 else 0
    if not is_date(0, month, int(number[4:6])):
        return False
    if len(number) == 9:
        return int(number[:2]) < 54
    return int(number) % 11 == 0 or (int(number[:9]) % 11 == 10 and number[9] == "0")


def ch_ahv(number: str) -> bool:
    """Swiss AHV number: 756 and the check digit of EAN-13 (ZAS)."""
    return len(number) == 13 and number.startswith("756") and weighted_sum(number, (1, 3) * 7) % 10 == 0


def de_tax_id(number: str) -> bool:
    """German tax identification number: in ten digits one comes twice or thrice, the last checks (section 139b AO)."""
    counts = sorted(map(number[:10].count, set(number[:10])))
    repeats = [count for count in counts if count > 1]
    once = len(number) == 11 and number[0] != "0" and len(repeats) == 1 and repeats[0] in (2, 3)
    return once and mod_11_10(number)


def de_pension_number(number: str) -> bool:
    """German pension insurance number: area, birth, initial, serial, check digit (section 2 VKVV)."""
    if not re.fullmatch(r"[0-9]{8}[A-Z][0-9]{3}", number):
        return False
    digits = f"{number[:8]}{ord(number[8]) - 64:02}{number[9:11]}"
    total = sum(
        sum(divmod(int(digit) * weight, 10))
        for digit, weight in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True)
    )
    day = int(number[2:4])
    born = is_date(0, int(number[4:6]), day - 50 if day > 50 else day)
    return born and total % 10 == int(number[11])


def de_health_insurance(number: str) -> bool:
    """German health insurance number: a letter, eight digits, check digit (section 290 SGB V)."""
    if not re.fullmatch(r"[A-Z][0-9]{9}", number):
        return False
    digits = f"{ord(number[0]) - 64:02}{number[1:9]}"
    total = sum(sum(divmod(int(digit) * (1 + index % 2), 10)) for index, digit in enumerate(digits))
    return total % 10 == int(number[9])


def de_vat(number: str) -> bool:
    """German VAT number: DE and nine digits (BZSt)."""
    return bool(re.fullmatch(r"DE[1-9][0-9]{8}", number)) and mod_11_10(number[2:])


def de_document(number: str) -> bool:
    """Serial number of a German passport or identity card, the last of nine or ten its check digit (ICAO Doc 9303)."""
    if re.fullmatch(r"T[0-9]{8}", number):
        return True  # cards until 2010
    form = r"[CFGHJKLMNPRTVWXYZ][0-9CFGHJKLMNPRTVWXYZ]{7,8}[0-9]D?"
    number = number.removesuffix("D")
    return bool(re.fullmatch(form, number)) and icao_digit(number[:-1]) == int(number[-1])


def de_document_in_context(number: str) -> bool:
    """As `de_document`, beside its word, where nine characters need no check digit: it stands apart from them."""
    number = number.removesuffix("D")
    return len(number) < 10 or icao_digit(number[:9]) == int(number[9])


def de_passport(number: str) -> bool:
    """German passport: as `de_document`, beginning with a letter of the passport offices."""
    return number[:1] in "CFGHJK" and de_document(number)


def de_physician_number(number: str) -> bool:
    """German physician number (LANR): six digits, their check digit, two of the speciality (KBV)."""
    check = (10 - weighted_sum(number, (4, 9) * 3) % 10) % 10
    return len(number) == 9 and number.isdigit() and check == int(number[6])


def de_tax_number(number: str) -> bool:
    """German tax number of a state (11 digits) or of all (13): the form alone."""
    return number.isdigit() and len(number) in (10, 11)


def hr_oib(number: str) -> bool:
    """Croatian OIB: eleven digits, ISO 7064 MOD 11,10 (Porezna uprava)."""
    return len(number) == 11 and mod_11_10(number)


def hu_taj(number: str) -> bool:
    """Hungarian social security number (TAJ): nine digits, weights 3 and 7."""
    return len(number) == 9 and weighted_sum(number, (3, 7) * 4) % 10 == int(number[8]) and not all_alike(number)


def hu_tax_id(number: str) -> bool:
    """Hungarian tax identification number: an 8 and nine more digits (NAV)."""
    return len(number) == 10 and number[0] == "8" and weighted_sum(number, range(1, 10)) % 11 == int(number[9])


def pl_pesel(number: str) -> bool:
    """Polish PESEL: a date with the century in the month, serial, check digit (law of 24 September 2010)."""
    check = -weighted_sum(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    born = len(number) == 11 and is_date(0, int(number[2:4]) % 20, int(number[4:6]))
    return born and check == int(number[10])


def pl_nip(number: str) -> bool:
    """Polish tax number: ten digits, by 11."""
    number = number.removeprefix("PL")
    check = weighted_sum(number, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11
    return number.isdigit() and len(number) == 10 and check == int(number[9]) and not all_alike(number)


def pl_identity_card(number: str) -> bool:
    """Polish identity card: three letters, a check digit, five digits."""
    if not re.fullmatch(r"[A-Z]{3}[0-9]{6}", number):
        return False
    values = [int(char, 36) for char in number]
    return sum(v * w for v, w in zip(values, (7, 3, 1, 0, 7, 3, 1, 7, 3), strict=True)) % 10 == values[3]


def ro_cnp(number: str) -> bool:
    """Romanian CNP: sex, date, county, serial, check digit (OUG 97/2005)."""
    check = weighted_sum(number, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    born = len(number) == 13 and number[0] != "0" and is_date(0, int(number[3:5]), int(number[5:7]))
    return born and (1 if check == 10 else check) == int(number[12])


def si_tax(number: str) -> bool:
    """Slovenian tax number: eight digits, by 11 (FURS)."""
    number = number.removeprefix("SI")
    check = (11 - weighted_sum(number, range(8, 1, -1)) % 11) % 10
    rest = weighted_sum(number, range(8, 1, -1)) % 11
    return number.isdigit() and len(number) == 8 and number[0] != "0" and rest != 0 and check == int(number[7])


def emso(number: str) -> bool:
    """EMSO and JMBG of Slovenia and the other states of former Yugoslavia: date, region, serial, check digit."""
    check = -weighted_sum(number, (7, 6, 5, 4, 3, 2) * 2) % 11 % 10
    return len(number) == 13 and is_date(0, int(number[2:4]), int(number[:2])) and check == int(number[12])


def ua_taxpayer(number: str) -> bool:
    """Ukrainian taxpayer number: ten digits, by 11 (State Tax Service)."""
    check = weighted_sum(number, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10
    return len(number) == 10 and check == int(number[9]) and not all_alike(number)


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        at_svnr, bg_egn, birth_number, ch_ahv, de_document, de_document_in_context, de_health_insurance,
        de_passport, de_pension_number, de_physician_number, de_tax_id, de_tax_number, de_vat, emso, hr_oib,
        hu_taj, hu_tax_id, pl_identity_card, pl_nip, pl_pesel, ro_cnp, si_tax, ua_taxpayer,
    )
}  # fmt: skip
