"""Whether digits are a telephone number that is in use: libphonenumber's tables, compiled.

The library tries a number in one country after the other, 20 us each, and 800 us for one that is nobody's. What its
tables say of all these countries fits into one automaton, which answers in 1 us. They differ on three numbers of a
thousand random ones, such as a domestic form dialled with another country's prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from otelwarden.redaction.patterns import Gate

COUNTRIES: Final = tuple(
    re.findall(
        r"\w+",
        "US GB DE FR IT ES NL BE CH AT PL SE NO DK FI IE PT GR CZ HU RO TR RU UA IL ZA NG KE EG IN PK BD ID PH MY SG "
        "TH VN JP KR CN TW HK AU NZ BR MX AR CO CL",
    )
)
"""Whose national numbers are known."""

_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
_GROUP: Final = re.compile(r"\((?!\?)")
_END: Final = b"#"


def is_in_use_at_home(digits: bytes) -> bool:
    """Whether one of `COUNTRIES` writes a number in use like this, with or without its national prefix."""
    return _at_home()(digits + _END) is not None


def is_in_use(digits: bytes) -> bool:
    """Whether digits, the calling code of a country first, are a number in use."""
    return any(_abroad(int(digits[:size]))(digits[size:] + _END) is not None for size in (1, 2, 3) if digits[size:])


@lru_cache(maxsize=1)
def _at_home() -> Callable[[bytes], list[int] | None]:
    # 60 ms and 5 MB for the tables, 50 ms for the automaton; for the first candidate only.
    from phonenumbers import PhoneMetadata

    tables: list[Any] = [PhoneMetadata.metadata_for_region(country) for country in COUNTRIES]
    plans = [(each.country_code, pattern) for each in tables for pattern in _plan(each.country_code)]
    return Gate(plans, characters=False).match


@lru_cache(maxsize=1000)
def _abroad(calling_code: int) -> Callable[[bytes], list[int] | None]:
    return Gate([(0, pattern) for pattern in _plan(calling_code)] or [(0, "#.")], characters=False).match


def _plan(calling_code: int) -> Iterator[str]:
    """How numbers of a calling code are written: whole numbers, and `_END`."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    regions = COUNTRY_CODE_TO_REGION_CODE.get(calling_code, ())
    numbers: dict[str, None] = {}
    prefix = ""
    for region in regions:
        nowhere = region == "001"
        tables: Any = (
            PhoneMetadata.metadata_for_nongeo_region(calling_code)
            if nowhere
            else PhoneMetadata.metadata_for_region(region)
        )
        prefix = prefix or tables.national_prefix_for_parsing or ""
        kinds = [getattr(tables, kind) for kind in _KINDS]
        patterns = (kind.national_number_pattern for kind in kinds if kind is not None)
        numbers.update(dict.fromkeys(pattern for pattern in patterns if pattern))
    if not numbers:
        return
    # `$` stands where the whole number ends, as all do here.
    prefix, number = (_GROUP.sub("(?:", text.replace("$", "")) for text in (prefix, "|".join(numbers)))
    yield rf"\A(?:{prefix})?(?:{number})#"
    if calling_code == _ARGENTINA:
        # The only plan with digits within a number: mobile ones have a 15 behind their area, of ten digits in all.
        yield r"\A0?(?:1115[0-9]{8}|[23][0-9]{2}15[0-9]{7}|[23][0-9]{3}15[0-9]{6})#"


_ARGENTINA: Final = 54
