"""Western and southern Europe: numbers of people and businesses, by the definitions of those who issue them.

All take letters and digits without separators, in upper case.
"""

from __future__ import annotations

import re
from typing import Final

from otelwarden.redaction.validators.base import Check
from otelwarden.redaction.validators.checksums import all_alike, is_date, luhn, verhoeff, weighted_sum

_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_UTR_DIGITS: Final = "21987654321"
_PPS_LETTERS: Final = "WABCDEFGHIJKLMNOPQRSTUV"
_FISCAL_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
_FISCAL: Final = re.compile(r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPR-T][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]")


def be_national_number(number: str) -> bool:
    """Belgian national register number: 97 less the rest by 97, with a 2 in front from the year 2000 on."""
    bodies = [number[:9], "2" + number[:9]][: 2 if number[0] < "5" else 1]
    return len(number) == 11 and any(97 - int(body) % 97 == int(number[9:]) for body in bodies)


def cy_tic(number: str) -> bool:
    """Cypriot tax number: eight digits and a letter."""
    total = sum(_FISCAL_ODD[digit] for digit in number[0:8:2]) + sum(map(int, number[1:8:2]))
    return len(number) == 9 and chr(ord("A") + total % 26) == number[8]


def es_dni(number: str) -> bool:
    """Spanish DNI and NIE: the letter is the rest by 23 (Ministerio del Interior)."""
    if not re.fullmatch(r"[0-9XYZ][0-9]{6,7}[A-Z]", number):
        return False
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(digits) % 23] == number[-1]


def es_nuss(number: str) -> bool:
    """Spanish social security number: province, number, the rest by 97 (Seguridad Social)."""
    if len(number) not in (11, 12) or not number.isdigit():
        return False
    serial = int(number[2:-2])
    base = serial + int(number[:2]) * 10_000_000 if serial < 10_000_000 else int(number[:-2])
    return base % 97 == int(number[-2:])


def es_cif(number: str) -> bool:
    """Spanish tax number of an organisation: a letter, seven digits, a check digit or letter (AEAT)."""
    if not re.fullmatch(r"[ABCDEFGHJNPQRSUVW][0-9]{7}[0-9A-J]", number):
        return False
    total = sum(map(int, number[2:8:2])) + sum(sum(divmod(2 * int(digit), 10)) for digit in number[1:8:2])
    check = (10 - total % 10) % 10
    return number[8] in (str(check), "JABCDEFGHI"[check])


def fr_nir(number: str) -> bool:
    """French social security number: sex, year, month, place, serial, key (INSEE)."""
    if not re.fullmatch(r"[1-478][0-9]{4}[0-9][0-9AB][0-9]{8}", number):
        return False
    month = int(number[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return False
    body = number[:13].replace("A", "0").replace("B", "0")
    less = 1_000_000 if "A" in number else 2_000_000 if "B" in number else 0
    return 97 - (int(body) - less) % 97 == int(number[13:])


def fr_nif(number: str) -> bool:
    """French tax number: the first digit 0 to 3, the last three the rest by 511 (DGFiP)."""
    return len(number) == 13 and number[0] in "0123" and int(number[:10]) % 511 == int(number[10:])


def fr_siren(number: str) -> bool:
    """French SIREN, and SIRET with its establishment (INSEE)."""
    return len(number) in (9, 14) and luhn(number[:9]) and luhn(number) and not all_alike(number)


def gb_nino(number: str) -> bool:
    """British national insurance number: prefixes that are issued, suffix A to D (HMRC NIM39110)."""
    form = r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]"
    return bool(re.fullmatch(form, number)) and number[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def gb_driving_licence(number: str) -> bool:
    """British driver number: surname, birth, initials (DVLA INF45/1); with a letter that no hexadecimal digit is."""
    if not re.fullmatch(
        r"(?:[A-Z]{5}|[A-Z]{4}9|[A-Z]{3}99|[A-Z]{2}999|[A-Z]9999)[0-9]{6}[A-Z9]{2}[0-9A-Z][A-Z]{2}", number
    ):
        return False
    month = int(number[6:8])
    born = is_date(0, month - 50 if month > 50 else month, int(number[8:10]))
    return born and not re.fullmatch(r"[0-9A-F]+", number)


def gb_nhs(number: str) -> bool:
    """British NHS number: ten digits, the last by 11 (NHS Data Dictionary)."""
    check = (11 - weighted_sum(number, range(10, 1, -1)) % 11) % 11
    return len(number) == 10 and check == int(number[9]) and not all_alike(number)


def gb_utr(number: str) -> bool:
    """British unique taxpayer reference: the first of ten digits checks; a K may follow, zeros lead (HMRC)."""
    number = number.removesuffix("K")
    number = number[3:] if len(number) == 13 else number
    check = weighted_sum(number[1:], (6, 7, 8, 9, 10, 5, 4, 3, 2)) % 11
    return number.isdigit() and len(number) == 10 and _UTR_DIGITS[check] == number[0]


def gb_vat(number: str) -> bool:
    """British VAT number: nine digits, by 97, with or without 55 (HMRC)."""
    number = number.removeprefix("GB")
    total = weighted_sum(number, range(8, 1, -1)) + int(number[7:9])
    return number.isdigit() and len(number) == 9 and total % 97 in (0, 42)


def gr_amka(number: str) -> bool:
    """Greek AMKA: date of birth, serial, Luhn's digit (IDIKA)."""
    return len(number) == 11 and is_date(0, int(number[2:4]), int(number[:2])) and luhn(number)


def gr_afm(number: str) -> bool:
    """Greek tax number: nine digits, powers of two by 11 (AADE)."""
    check = weighted_sum(number, (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10
    return len(number) == 9 and check == int(number[8]) and not all_alike(number)


def ie_pps(number: str) -> bool:
    """Irish PPS number: seven digits, a check letter and perhaps one more (Department of Social Protection)."""
    if not re.fullmatch(r"[0-9]{7}[A-W][A-IWT]?", number):
        return False
    more = number[8:] if number[8:] not in ("W", "T") else ""
    total = weighted_sum(number, range(8, 1, -1)) + 9 * (ord(more) - 64 if more else 0)
    return _PPS_LETTERS[total % 23] == number[7]


def it_fiscal_code(number: str) -> bool:
    """Italian codice fiscale: name, birth, place and a check letter (DM 23/12/1976)."""
    if not _FISCAL.fullmatch(number):
        return False
    even = sum(int(char, 36) - (0 if char.isdigit() else 10) for char in number[1:15:2])
    return chr(65 + (even + sum(_FISCAL_ODD[char] for char in number[0:15:2])) % 26) == number[15]


def it_vat(number: str) -> bool:
    """Italian partita IVA: eleven digits, Luhn's digit (Agenzia delle Entrate)."""
    return len(number) == 11 and number[:7] != "0000000" and luhn(number)


def lu_nin(number: str) -> bool:
    """Luxembourgish identification number: date, serial, Luhn's digit, Verhoeff's digit (law of 19 June 2013)."""
    if len(number) != 13 or not is_date(int(number[:4]), int(number[4:6]), int(number[6:8])):
        return False
    return luhn(number[:12]) and verhoeff(number[:11] + number[12])


def nl_bsn(number: str) -> bool:
    """Dutch BSN: the eleven test, the last digit counted negative (RvIG)."""
    number = number.zfill(9)
    total = weighted_sum(number, (9, 8, 7, 6, 5, 4, 3, 2, -1))
    return len(number) == 9 and int(number) > 0 and total % 11 == 0 and not all_alike(number)


def pt_nif(number: str) -> bool:
    """Portuguese tax number: nine digits, by 11 (Autoridade Tributaria)."""
    check = -weighted_sum(number, range(9, 1, -1)) % 11 % 10
    return len(number) == 9 and (number[0] in "12356789" or number[:2] == "45") and check == int(number[8])


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        be_national_number, cy_tic, es_cif, es_dni, es_nuss, fr_nif, fr_nir, fr_siren, gb_driving_licence,
        gb_nhs, gb_nino, gb_utr, gb_vat, gr_afm, gr_amka, ie_pps, it_fiscal_code, it_vat, lu_nin, nl_bsn,
        pt_nif,
    )
}  # fmt: skip
