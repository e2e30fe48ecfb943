"""Numbers in use are those that libphonenumber takes for it; the library is the oracle."""

from __future__ import annotations

import random

import phonenumbers
import pytest
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

from otelwarden.redaction.validators import VALIDATORS
from otelwarden.redaction.validators.numbering import COUNTRIES, is_in_use, is_in_use_at_home

KINDS = range(11)
"""Fixed line, mobile and so on, as the library numbers them."""


def digits(number: PhoneNumber, form: int) -> bytes:
    return "".join(filter(str.isdigit, phonenumbers.format_number(number, form))).encode()


def examples(region: str) -> list[PhoneNumber]:
    found = (phonenumbers.example_number_for_type(region, kind) for kind in KINDS)
    return [number for number in found if number is not None]


def library_knows(number: str) -> bool:
    for country in COUNTRIES:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(number, country)):
                return True
        except NumberParseException:
            continue
    return False


@pytest.mark.parametrize("country", COUNTRIES)
def test_examples_of_a_country_are_in_use(country: str) -> None:
    numbers = examples(country)
    assert len(numbers) >= 2
    assert [each for each in numbers if not is_in_use_at_home(digits(each, PhoneNumberFormat.NATIONAL))] == []


def test_examples_of_all_regions_are_in_use_from_abroad() -> None:
    numbers = [number for region in sorted(phonenumbers.SUPPORTED_REGIONS) for number in examples(region)]
    assert len(numbers) > 1000
    assert [each for each in numbers if not is_in_use(digits(each, PhoneNumberFormat.E164))] == []


def test_it_agrees_with_the_library_on_random_numbers() -> None:
    chance = random.Random(20261124)
    numbers = [f"{'0' * chance.randint(0, 1)}{chance.randrange(10 ** chance.randint(5, 12))}" for _ in range(1500)]
    told = [(number, is_in_use_at_home(number.encode())) for number in numbers]
    wrong = [number for number, in_use in told if in_use is not library_knows(number)]
    assert len(wrong) <= 15, wrong
    assert 300 < sum(in_use for _, in_use in told) < 1490


@pytest.mark.parametrize("digits", [b"", b"0", b"00", b"4", b"999", b"0000000000000", b"1" * 15])
def test_what_is_no_number_is_none(digits: bytes) -> None:
    assert not is_in_use_at_home(digits)
    assert not is_in_use(digits)


@pytest.mark.parametrize(
    ("name", "text", "known"),
    [
        ("phone_of_a_country", "020 7946 0958", True),
        ("phone_of_a_country", "011 15 2345-6789", True),
        ("phone_of_a_country", "000 000 0000", False),
        ("phone_with_trunk_prefix", "030/12345678", True),
        ("phone_with_trunk_prefix", "0123-45", False),
        ("phone_with_exit_code", "0044 20 7946 0958", True),
        ("phone_with_exit_code", "00999 20 7946 0958", False),
        ("phone_with_exit_code", "011-44-20-7946-0958", True),
    ],
)
def test_numbers_as_they_are_written(name: str, text: str, known: bool) -> None:
    assert VALIDATORS[name](text.encode(), 0, len(text)) == (len(text) if known else 0)
