"""Numbers of people and businesses that countries outside Europe issue, by the definitions of those who issue them.

All take letters and digits without separators, in upper case.
"""

from __future__ import annotations

import re
from typing import Final

from otelwarden.redaction.validators.base import Check
from otelwarden.redaction.validators.checksums import all_alike, is_date, luhn, mod_11_2, verhoeff, weighted_sum

_SINGAPORE: Final = {"S": "JZIHGFEDCBA", "T": "GFEDCBAJZIH", "F": "XWUTRQPNMLK", "G": "RQPNMLKXWUT", "M": "KLJNPQRTUWX"}
_GSTIN: Final = re.compile(r"(?:0[1-9]|[12][0-9]|3[0-7]|9[79])[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]")
_MBI: Final = re.compile(
    r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]"
    r"[AC-HJKMNP-RT-Y]{2}[0-9]{2}"
)
_CURP: Final = re.compile(r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]")
_CURP_VALUES: Final = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ"
_VIN_VALUES: Final = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True))
_TAIWAN: Final = "ABCDEFGHJKLMNPQRSTUVXYWZIO"


def ae_emirates_id(number: str) -> bool:
    """Emirates ID: 784, year of birth, serial, Luhn's digit (ICP)."""
    return len(number) == 15 and number.startswith("784") and luhn(number)


def ar_cuit(number: str) -> bool:
    """Argentine CUIT and CUIL: kind, number, check digit (AFIP)."""
    check = -weighted_sum(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    kind = len(number) == 11 and number[:2] in ("20", "23", "24", "27", "30", "33", "34")
    return kind and min(check, 9) == int(number[10])


def au_abn(number: str) -> bool:
    """Australian business number: eleven digits, one off the first, by 89 (ATO)."""
    total = weighted_sum(number, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10
    return len(number) == 11 and number[0] != "0" and total % 89 == 0


def au_acn(number: str) -> bool:
    """Australian company number: nine digits (ASIC)."""
    return len(number) == 9 and -weighted_sum(number, range(8, 0, -1)) % 10 == int(number[8])


def au_medicare(number: str) -> bool:
    """Australian Medicare number: eight digits, check digit, issue and perhaps the person (Services Australia)."""
    check = weighted_sum(number, (1, 3, 7, 9) * 2) % 10
    return 9 <= len(number) <= 11 and number[0] in "23456" and check == int(number[8])


def au_tfn(number: str) -> bool:
    """Australian tax file number: eight or nine digits, by 11 (ATO)."""
    weights = (10, 7, 8, 4, 6, 3, 5, 1) if len(number) == 8 else (1, 4, 3, 7, 5, 8, 6, 9, 10)
    return len(number) in (8, 9) and weighted_sum(number, weights) % 11 == 0 and not all_alike(number)


def br_cpf(number: str) -> bool:
    """Brazilian CPF: nine digits and two check digits (Receita Federal)."""
    first = 11 - weighted_sum(number, range(10, 1, -1)) % 11
    second = 11 - weighted_sum(number, range(11, 1, -1)) % 11
    checks = f"{0 if first > 9 else first}{0 if second > 9 else second}"
    return len(number) == 11 and not all_alike(number) and checks == number[9:]


def br_cnpj(number: str) -> bool:
    """Brazilian CNPJ: twelve digits and two check digits (Receita Federal)."""
    first = 11 - weighted_sum(number, (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    second = 11 - weighted_sum(number, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    checks = f"{0 if first > 9 else first}{0 if second > 9 else second}"
    return len(number) == 14 and not all_alike(number) and checks == number[12:]


def ca_sin(number: str) -> bool:
    """Canadian social insurance number: nine digits, the first neither 0 nor 8, Luhn's digit (Service Canada)."""
    return len(number) == 9 and number[0] not in "08" and luhn(number) and not all_alike(number)


def cl_rut(number: str) -> bool:
    """Chilean RUT: seven or eight digits, a check digit or K (SII)."""
    body = number[:-1]
    if not body.isdigit() or len(body) not in (7, 8):
        return False
    total = sum(int(digit) * (2 + index % 6) for index, digit in enumerate(reversed(body)))
    return "0K987654321"[total % 11] == number[-1]


def cn_identity(number: str) -> bool:
    """Chinese resident identity number: place, date, serial, ISO 7064 MOD 11-2 (GB 11643)."""
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", number):
        return False
    return is_date(int(number[6:10]), int(number[10:12]), int(number[12:14])) and mod_11_2(number)


def co_nit(number: str) -> bool:
    """Colombian NIT: nine digits and a check digit (DIAN)."""
    total = weighted_sum(number[-2::-1], (3, 7, 13, 17, 19, 23, 29, 37, 41))
    return len(number) == 10 and "01987654321"[total % 11] == number[-1]


def hk_identity(number: str) -> bool:
    """Hong Kong identity card: one or two letters, six digits, check character (Immigration Department)."""
    if not re.fullmatch(r"[A-Z]{1,2}[0-9]{6}[0-9A]", number):
        return False
    values = [36, *(int(char, 36) for char in number)][-9:]
    return sum(value * weight for value, weight in zip(values, range(9, 0, -1), strict=True)) % 11 == 0


def id_nik(number: str) -> bool:
    """Indonesian NIK: place, date with 40 added to the day for women, serial (Dukcapil)."""
    if len(number) != 16 or number[0] == "0":
        return False
    return is_date(0, int(number[8:10]), int(number[6:8]) % 40) and number[12:] != "0000"


def il_identity(number: str) -> bool:
    """Israeli identity number: nine digits, Luhn's digit (Population Authority)."""
    return len(number) == 9 and int(number) > 0 and luhn(number) and not all_alike(number)


def in_aadhaar(number: str) -> bool:
    """Indian Aadhaar: twelve digits from 2 on, Verhoeff's digit (UIDAI)."""
    return len(number) == 12 and number[0] >= "2" and verhoeff(number) and number != number[::-1]


def in_gstin(number: str) -> bool:
    """Indian GSTIN: state, PAN, entity, Z, check character: the form alone (GSTN)."""
    return bool(_GSTIN.fullmatch(number))


def jp_my_number(number: str) -> bool:
    """Japanese individual number: eleven digits and a check digit (ministerial ordinance 85 of 2014)."""
    rest = weighted_sum(number[10::-1], (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)) % 11
    return len(number) == 12 and (0 if rest < 2 else 11 - rest) == int(number[11]) and not all_alike(number)


def kr_resident(number: str) -> bool:
    """Korean resident registration number: date, sex, seven digits; by 11 until 2020 (Ministry of the Interior)."""
    if len(number) != 13 or number[6] not in "012349" or not is_date(0, int(number[2:4]), int(number[4:6])):
        return False
    check = (11 - weighted_sum(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    since_2020 = number[6] in "34" and int(number[:2]) >= 20
    return check == int(number[12]) or since_2020


def kr_foreigner(number: str) -> bool:
    """Korean registration number of a foreigner: as of a resident, 5 to 8 for the sex, other check digit."""
    if len(number) != 13 or number[6] not in "5678" or not is_date(0, int(number[2:4]), int(number[4:6])):
        return False
    check = (13 - weighted_sum(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return check == int(number[12])


def kr_business(number: str) -> bool:
    """Korean business registration number: ten digits (National Tax Service)."""
    if len(number) != 10 or not number.isdigit():
        return False
    total = weighted_sum(number, (1, 3, 7, 1, 3, 7, 1, 3)) + sum(divmod(int(number[8]) * 5, 10))
    return (10 - total % 10) % 10 == int(number[9])


def mx_curp(number: str) -> bool:
    """Mexican CURP: name, birth, sex, state, check digit (RENAPO)."""
    if not _CURP.fullmatch(number) or not is_date(0, int(number[6:8]), int(number[8:10])):
        return False
    total = sum(_CURP_VALUES.index(char) * weight for char, weight in zip(number, range(18, 1, -1), strict=False))
    return -total % 10 == int(number[17])


def my_identity(number: str) -> bool:
    """Malaysian identity card: date, place, serial (JPN)."""
    return len(number) == 12 and is_date(0, int(number[2:4]), int(number[4:6])) and "01" <= number[6:8] <= "99"


def nz_ird(number: str) -> bool:
    """New Zealand IRD number: eight or nine digits, by 11 (Inland Revenue)."""
    number = number.zfill(9)
    if len(number) != 9 or not 10_000_000 < int(number) < 150_000_000:
        return False
    check = -weighted_sum(number, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
    if check == 10:
        check = -weighted_sum(number, (7, 4, 3, 2, 5, 2, 7, 6)) % 11
    return check == int(number[8])


def ph_tin(number: str) -> bool:
    """Philippine TIN: nine digits, by 11, and perhaps a branch (BIR)."""
    check = weighted_sum(number, range(9, 1, -1)) % 11
    return len(number) in (9, 12, 13, 14) and check == int(number[8]) and int(number[:9]) > 0


def sg_nric(number: str) -> bool:
    """Singapore NRIC and FIN: a letter, seven digits, a check letter (ICA)."""
    if not re.fullmatch(r"[STFGM][0-9]{7}[A-Z]", number):
        return False
    total = weighted_sum(number[1:8], (2, 7, 6, 5, 4, 3, 2)) + (3 if number[0] == "M" else 0)
    letters = _SINGAPORE[number[0]]
    index = 10 - total % 11 if number[0] == "M" else total % 11
    return letters[index] == number[8]


def th_identity(number: str) -> bool:
    """Thai identity number: thirteen digits, by 11 (DOPA)."""
    check = (11 - weighted_sum(number, range(13, 1, -1)) % 11) % 10
    return len(number) == 13 and number[0] in "12345678" and check == int(number[12])


def tr_identity(number: str) -> bool:
    """Turkish identity number: eleven digits, the last two check (NVI)."""
    if len(number) != 11 or number[0] == "0":
        return False
    digits = [int(digit) for digit in number]
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return tenth == digits[9] and sum(digits[:10]) % 10 == digits[10]


def tw_identity(number: str) -> bool:
    """Taiwanese identity number: a letter, nine digits (Ministry of the Interior)."""
    if not re.fullmatch(r"[A-Z][1289][0-9]{8}", number):
        return False
    letter = _TAIWAN.index(number[0]) + 10
    return (letter // 10 + letter % 10 * 9 + weighted_sum(number[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))) % 10 == 0


def us_itin(number: str) -> bool:
    """US individual taxpayer number: 9xx, group 50-65, 70-88, 90-92, 94-99 (IRS)."""
    group = int(number[3:5])
    issued = 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99
    return len(number) == 9 and number[0] == "9" and issued


def us_ein(number: str) -> bool:
    """US employer number: a prefix that a campus assigns, seven digits (IRS)."""
    missing = {0, 7, 8, 9, 17, 18, 19, 28, 29, 49, 69, 70, 78, 79, 89, 96, 97}
    return len(number) == 9 and int(number[:2]) not in missing


def us_npi(number: str) -> bool:
    """US national provider identifier: ten digits, Luhn's digit behind 80840 (CMS)."""
    return len(number) == 10 and number[0] in "12" and luhn("80840" + number)


def us_dea(number: str) -> bool:
    """US DEA number: two letters, six digits, check digit (DEA)."""
    if not re.fullmatch(r"[A-HJ-NPR-UX][A-Z9][0-9]{7}", number):
        return False
    total = weighted_sum(number[2:], (1, 2, 1, 2, 1, 2))
    return total % 10 == int(number[8])


def us_mbi(number: str) -> bool:
    """US Medicare beneficiary identifier: eleven places, each with its alphabet (CMS)."""
    return bool(_MBI.fullmatch(number))


def us_routing(number: str) -> bool:
    """US routing transit number: nine digits, weights 3, 7, 1, districts that exist (ABA)."""
    district = int(number[:2])
    exists = district <= 12 or 21 <= district <= 32 or 61 <= district <= 72 or district == 80
    return len(number) == 9 and exists and int(number) > 0 and weighted_sum(number, (3, 7, 1) * 3) % 10 == 0


def za_identity(number: str) -> bool:
    """South African identity number: date, serial, citizenship, Luhn's digit (Department of Home Affairs)."""
    if len(number) != 13 or not is_date(0, int(number[2:4]), int(number[4:6])):
        return False
    return number[10] in "012" and luhn(number)


def imei(number: str) -> bool:
    """Identity of a mobile device: fifteen digits, Luhn's digit (3GPP TS 23.003)."""
    return len(number) == 15 and luhn(number) and not all_alike(number)


def vin(number: str) -> bool:
    """Vehicle identification number: seventeen places, the ninth checks (ISO 3779, 49 CFR 565)."""
    values = [int(char) if char.isdigit() else _VIN_VALUES[char] for char in number]
    total = sum(v * w for v, w in zip(values, (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2), strict=True))
    return "0123456789X"[total % 11] == number[8]


CHECKS: Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        ae_emirates_id, ar_cuit, au_abn, au_acn, au_medicare, au_tfn, br_cnpj, br_cpf, ca_sin, cl_rut, cn_identity,
        co_nit, hk_identity, id_nik, il_identity, in_aadhaar, imei, in_gstin, jp_my_number, kr_business, kr_foreigner,
        kr_resident, mx_curp, my_identity, nz_ird, ph_tin, sg_nric, th_identity, tr_identity, tw_identity, us_dea,
        us_ein, us_itin, us_mbi, us_npi, us_routing, vin, za_identity,
    )
}  # fmt: skip
