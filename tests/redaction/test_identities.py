"""Our check digits of national numbers against an implementation of other people: python-stdnum."""

from __future__ import annotations

import random
from importlib import import_module

import pytest
from stdnum.exceptions import InvalidComponent, ValidationError

from otelwarden.redaction.validators import (
    identities_europe_central,
    identities_europe_north,
    identities_europe_west,
    identities_world,
)

FAMILIES = (identities_europe_central, identities_europe_north, identities_europe_west, identities_world)
CHECKS = {name: check for family in FAMILIES for name, check in family.CHECKS.items()}

# Name of our check, module of the other, and how a number is written: 9 is any digit; at the end A is any letter, K a
# digit or K, PPP three digits; n is a 9 itself.
PEERS = [
    ("ar_cuit", "ar.cuit", "20999999999"),
    ("at_svnr", "at.vnr", "9999DDMM99"),
    ("au_abn", "au.abn", "59999999999"),
    ("au_acn", "au.acn", "999999999"),
    ("au_tfn", "au.tfn", "999999999"),
    ("baltic_code", "ee.ik", "3YYMMDD9999"),
    ("baltic_code", "lt.asmens", "4YYMMDD9999"),
    ("be_national_number", "be.nn", "YYMMDD99999"),
    ("bg_egn", "bg.egn", "YYMMDD9999"),
    ("birth_number", "cz.rc", "YYMMDD9999"),
    ("br_cnpj", "br.cnpj", "999999990001PP"),
    ("br_cpf", "br.cpf", "999999999PP"),
    ("ca_sin", "ca.sin", "199999999"),
    ("ch_ahv", "ch.ssn", "7569999999999"),
    ("cl_rut", "cl.rut", "99999999K"),
    ("cn_identity", "cn.ric", "11010519YYMMDD9999"),
    ("co_nit", "co.nit", "8999999999"),
    ("cy_tic", "cy.vat", "19999999A"),
    ("de_tax_id", "de.idnr", "99999999999"),
    ("de_vat", "de.vat", "DE199999999"),
    ("dk_cpr", "dk.cpr", "DDMMYY9999"),
    ("emso", "si.emso", "DDMM995509999"),
    ("es_cif", "es.cif", "A99999999"),
    ("es_dni", "es.dni", "99999999A"),
    ("es_dni", "es.nie", "X9999999A"),
    ("fr_nif", "fr.nif", "0999999999PPP"),
    ("fr_nir", "fr.nir", "1YYMM3512399999"),
    ("fr_siren", "fr.siren", "999999999"),
    ("gb_nhs", "gb.nhs", "9999999999"),
    ("gb_utr", "gb.utr", "9999999999"),
    ("gr_afm", "gr.vat", "999999999"),
    ("gr_amka", "gr.amka", "DDMMYY99999"),
    ("hr_oib", "hr.oib", "99999999999"),
    ("ie_pps", "ie.pps", "9999999A"),
    ("il_identity", "il.idnr", "999999999"),
    ("in_aadhaar", "in_.aadhaar", "399999999999"),
    ("it_fiscal_code", "it.codicefiscale", "RSSMRA85T10A999A"),
    ("it_vat", "it.iva", "99999990159"),
    ("lv_code", "lv.pvn", "DDMMYY19999"),
    ("mx_curp", "mx.curp", "BOXW310820HNERXN99"),
    ("nl_bsn", "nl.bsn", "999999999"),
    ("no_birth_number", "no.fodselsnummer", "DDMMYY99999"),
    ("nz_ird", "nz.ird", "99999999"),
    ("pl_nip", "pl.nip", "9999999999"),
    ("pl_pesel", "pl.pesel", "YYMMDD99999"),
    ("pt_nif", "pt.nif", "299999999"),
    ("ro_cnp", "ro.cnp", "1YYMMDD149999"),
    ("se_organisation_number", "se.orgnr", "5569999999"),
    ("se_personal_number", "se.personnummer", "YYMMDD9999"),
    ("si_tax", "si.ddv", "99999999"),
    ("th_identity", "th.pin", "3999999999999"),
    ("tr_identity", "tr.tckimlik", "99999999999"),
    ("ua_taxpayer", "ua.rntrc", "9999999999"),
    ("us_ein", "us.ein", "999999999"),
    ("us_itin", "us.itin", "n99999999"),
    ("us_routing", "us.rtn", "021999999"),
    ("za_identity", "za.idnr", "YYMMDD9999089"),
]


def samples(form: str, draw: random.Random) -> list[str]:
    """Numbers of a form that differ in their last signs: some of them hold. Dates are from 1950 to 1999."""
    base = "".join(str(draw.randrange(10)) if char == "9" else char for char in form)
    for field, value in (("YY", draw.randint(50, 99)), ("MM", draw.randint(1, 12)), ("DD", draw.randint(1, 28))):
        base = base.replace(field, f"{value:02}")
    base = base.replace("n", "9")
    if form.endswith("A"):
        return [base[:-1] + chr(65 + letter) for letter in range(26)]
    if form.endswith("K"):
        return [base[:-1] + digit for digit in "0123456789K"]
    if form.endswith("PPP"):
        return [f"{base[:-3]}{number:03}" for number in range(511)]
    return [f"{base[:-2]}{number:02}" for number in range(100)]


@pytest.mark.parametrize(("name", "module", "form"), PEERS, ids=[f"{name}-{module}" for name, module, _ in PEERS])
def test_agrees_with_an_implementation_of_others(name: str, module: str, form: str) -> None:
    peer = import_module(f"stdnum.{module}")
    draw = random.Random(f"{name} {module}")
    check = CHECKS[name]
    both = 0
    for _ in range(20):
        for number in samples(form, draw):
            try:
                peer.validate(number)
            except InvalidComponent:
                continue  # a date, place or prefix that does not exist: it knows more of them
            except ValidationError:
                assert not check(number), number
            else:
                assert check(number), number
                both += 1
    assert both > 5
