"""Numbers of people and businesses that European countries issue, by the definitions of those who issue them.

All take letters and digits without separators, in upper case.
"""

from __future__ import annotations

import re
from typing import Final

from otelwarden.redaction.validators.base import Check
from otelwarden.redaction.validators.checksums import (
    icao_digit,
    is_date,
    luhn,
    mod_11_10,
    verhoeff,
    weighted_sum,
)

_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_LETTERS: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_UTR_DIGITS: Final = "21987654321"
_PPS_LETTERS: Final = "WABCDEFGHIJKLMNOPQRSTUV"
_FISCAL_MONTHS: Final = "ABCDEHLMPRST"
_FISCAL_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
_FISCAL: Final = re.compile(r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPR-T][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]")


def _all_alike(digits: str) -> bool:
    return len(set(digits)) == 1


def at_svnr(number: str) -> bool:
    """Austrian social insurance number: serial, check digit, date of birth (Dachverband der Sozialversicherungen)."""
    check = weighted_sum(number[:3] + number[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
    return len(number) == 10 and number[0] != "0" and check == int(number[3])


def be_national_number(number: str) -> bool:
    """Belgian national register number: 97 less the rest by 97, with a 2 in front from the year 2000 on."""
    bodies = [number[:9], "2" + number[:9]][: 2 if number[0] < "5" else 1]
    return len(number) == 11 and any(97 - int(body) % 97 == int(number[9:]) for body in bodies)


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


def cy_tic(number: str) -> bool:
    """Cypriot tax number: eight digits and a letter."""
    total = sum(_FISCAL_ODD[digit] for digit in number[0:8:2]) + sum(map(int, number[1:8:2]))
    return len(number) == 9 and chr(ord("A") + total % 26) == number[8]


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


def dk_cpr(number: str) -> bool:
    """Danish CPR number: a date and four digits, no check digit since 2007 (CPR-kontoret)."""
    return len(number) == 10 and is_date(0, int(number[2:4]), int(number[:2]))


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


def fi_hetu(number: str) -> bool:
    """Finnish personal identity code; the sign of the century was taken for a separator where it is one (DVV)."""
    digits = number[:6] + number[-4:-1]
    if not digits.isdigit() or not is_date(0, int(number[2:4]), int(number[:2])):
        return False
    return _HETU_LETTERS[int(digits) % 31] == number[-1]


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
    return len(number) in (9, 14) and luhn(number[:9]) and luhn(number) and not _all_alike(number)


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
    return len(number) == 10 and check == int(number[9]) and not _all_alike(number)


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
    return len(number) == 9 and check == int(number[8]) and not _all_alike(number)


def hr_oib(number: str) -> bool:
    """Croatian OIB: eleven digits, ISO 7064 MOD 11,10 (Porezna uprava)."""
    return len(number) == 11 and mod_11_10(number)


def hu_taj(number: str) -> bool:
    """Hungarian social security number (TAJ): nine digits, weights 3 and 7."""
    return len(number) == 9 and weighted_sum(number, (3, 7) * 4) % 10 == int(number[8]) and not _all_alike(number)


def hu_tax_id(number: str) -> bool:
    """Hungarian tax identification number: an 8 and nine more digits (NAV)."""
    return len(number) == 10 and number[0] == "8" and weighted_sum(number, range(1, 10)) % 11 == int(number[9])


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


def lv_code(number: str) -> bool:
    """Latvian personal code: a date, serial and check digit; since 2017 it begins with 32 and has none (PMLP)."""
    if len(number) != 11:
        return False
    if number.startswith("32"):
        return True
    check = (1 + weighted_sum(number, (10, 5, 8, 4, 2, 1, 6, 3, 7, 9))) % 11 % 10
    return is_date(0, int(number[2:4]), int(number[:2])) and check == int(number[10])


def nl_bsn(number: str) -> bool:
    """Dutch BSN: the eleven test, the last digit counted negative (RvIG)."""
    number = number.zfill(9)
    total = weighted_sum(number, (9, 8, 7, 6, 5, 4, 3, 2, -1))
    return len(number) == 9 and int(number) > 0 and total % 11 == 0 and not _all_alike(number)


def no_birth_number(number: str) -> bool:
    """Norwegian fodselsnummer: a date, serial and two check digits; D numbers add 40 to the day (Skatteetaten)."""
    if len(number) != 11:
        return False
    day, month = int(number[:2]), int(number[2:4])
    first = -weighted_sum(number, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -weighted_sum(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    born = is_date(0, month - 40 if month > 40 else month, day - 40 if day > 40 else day)
    return born and [first, second] == [int(number[9]), int(number[10])]


def pl_pesel(number: str) -> bool:
    """Polish PESEL: a date with the century in the month, serial, check digit (law of 24 September 2010)."""
    check = -weighted_sum(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    born = len(number) == 11 and is_date(0, int(number[2:4]) % 20, int(number[4:6]))
    return born and check == int(number[10])


def pl_nip(number: str) -> bool:
    """Polish tax number: ten digits, by 11."""
    number = number.removeprefix("PL")
    check = weighted_sum(number, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11
    return number.isdigit() and len(number) == 10 and check == int(number[9]) and not _all_alike(number)


def pl_identity_card(number: str) -> bool:
    """Polish identity card: three letters, a check digit, five digits."""
    if not re.fullmatch(r"[A-Z]{3}[0-9]{6}", number):
        return False
    values = [int(char, 36) for char in number]
    return sum(v * w for v, w in zip(values, (7, 3, 1, 0, 7, 3, 1, 7, 3), strict=True)) % 10 == values[3]


def pt_nif(number: str) -> bool:
    """Portuguese tax number: nine digits, by 11 (Autoridade Tributaria)."""
    check = -weighted_sum(number, range(9, 1, -1)) % 11 % 10
    return len(number) == 9 and (number[0] in "12356789" or number[:2] == "45") and check == int(number[8])


def ro_cnp(number: str) -> bool:
    """Romanian CNP: sex, date, county, serial, check digit (OUG 97/2005)."""
    check = weighted_sum(number, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    born = len(number) == 13 and number[0] != "0" and is_date(0, int(number[3:5]), int(number[5:7]))
    return born and (1 if check == 10 else check) == int(number[12])


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
    return len(number) == 10 and check == int(number[9]) and not _all_alike(number)


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        at_svnr, baltic_code, be_national_number, bg_egn, birth_number, ch_ahv, cy_tic, de_document,
        de_health_insurance, de_passport, de_pension_number, de_physician_number, de_tax_id, de_tax_number, de_vat,
        dk_cpr, emso, es_cif, es_dni, es_nuss, fi_hetu, fr_nif, fr_nir, fr_siren, gb_driving_licence, gb_nhs,
        gb_nino, gb_utr, gb_vat,
        gr_afm, gr_amka, hr_oib, hu_taj, hu_tax_id, ie_pps, it_fiscal_code, it_vat, lu_nin, lv_code, nl_bsn,
        no_birth_number, pl_identity_card, pl_nip, pl_pesel, pt_nif, ro_cnp, se_organisation_number,
        se_personal_number, si_tax, ua_taxpayer,
    )
}  # fmt: skip
