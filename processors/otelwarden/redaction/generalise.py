"""Makes a hit coarser instead of hiding it: a network for an address, a year for a date, a bucket for a number."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from otelwarden.redaction.actions import HitFacts

DateUnit: TypeAlias = Literal["year", "month"]

_ISO_DATE: Final = re.compile(r"((?:19|20)\d\d)([-/.]?)(0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01])(?:[T ].*)?")
_DATE: Final = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2((?:19|20)\d\d)")
_YEAR: Final = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_MAIL: Final = re.compile(r"[^@\s]+@([^@\s]+)")
_COORDINATES: Final = re.compile(r"([+-]?\d{1,3}\.\d+)(\s*[,;/ ]\s*)([+-]?\d{1,3}\.\d+)")
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,15})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generalise:
    """Makes a hit coarser by what it looks like; one that looks like nothing known is replaced."""

    ipv4_prefix: int = 24
    """Bits that are kept of an IPv4 address."""
    ipv6_prefix: int = 48
    """Bits that are kept of an IPv6 address."""
    date: DateUnit = "year"
    """What is kept of a date."""
    decimals: int = 1
    """Decimal places that are kept of coordinates; one is about 11 km."""
    bucket: float = 10
    """Width of the buckets that numbers are put into."""

    name = "generalise"
    strictness = 10

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The coarser text, or the detector's."""
        text = hit.strip()
        # The bucket of a card number is most of the card number: only what was chosen by its key is just a number.
        attempts = (self._address, self._date, self._mail, self._coordinates, *([] if facts.entity else [self._number]))
        for attempt in attempts:
            coarse = attempt(text)
            if coarse is not None:
                return coarse
        return facts.text

    def _address(self, text: str) -> str | None:
        try:
            address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
        except ValueError:
            return None
        bits = self.ipv4_prefix if address.version == 4 else self.ipv6_prefix
        return str(ipaddress.ip_network((address, bits), strict=False))

    def _date(self, text: str) -> str | None:
        if match := _ISO_DATE.fullmatch(text):
            return match[1] if self.date == "year" else f"{match[1]}-{match[3]}"
        if match := _DATE.fullmatch(text):
            # Whether day or month comes first depends on the country, unless one of them is no month.
            first, second = int(match[1]), int(match[3])
            month = second if first > 12 else first if second > 12 else None
            return match[4] if self.date == "year" or month is None else f"{match[4]}-{month:02}"
        if not text.isascii() or not re.search(r"[A-Za-z]{3}", text):
            return None
        years = _YEAR.findall(text)
        return years[0] if len(years) == 1 and len(text) <= 32 and "@" not in text else None

    def _mail(self, text: str) -> str | None:
        match = _MAIL.fullmatch(text)
        return match[1] if match else None

    def _coordinates(self, text: str) -> str | None:
        match = _COORDINATES.fullmatch(text)
        if not match:
            return None
        return f"{self._rounded(match[1])}{match[2]}{self._rounded(match[3])}"

    def _rounded(self, number: str) -> str:
        return f"{round(float(number), self.decimals):.{self.decimals}f}"

    def _number(self, text: str) -> str | None:
        if not _NUMBER.fullmatch(text):
            return None
        low = math.floor(float(text) / self.bucket) * self.bucket
        return f"{low:g}-{low + self.bucket:g}"
