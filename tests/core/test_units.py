from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from otelwarden.core import ConfigError, parse_bytes, parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604_800), ("1.5h", 5400), ("30", 30),
        (" 30 s ", 30), (30, 30), (0.5, 0.5), (0, 0), ("0s", 0),
    ],
)  # fmt: skip
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512KiB", 524_288), ("64MB", 64_000_000), ("5GiB", 5 << 30), ("1.5kB", 1500), ("7B", 7), ("7", 7), (7, 7),
        ("1TiB", 1 << 40), ("0.3B", 0), (2.9, 2),
    ],
)  # fmt: skip
def test_sizes(text: str | float, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "rate"), [("500/s", 500), ("3000/m", 50), ("0.5/s", 0.5), ("86400/d", 1), (" 5 / s ", 5), (12, 12)]
)
def test_rates(text: str | float, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


NOTHING = [
    "", " ", "-1", "-1s", "+1s", "1e3s", "1,5s", "1.s", ".5s", "nan", "inf", "s", "1s1s", "1 2", "\u0661s", "1s\n2s",
    "0x10", "1_000", -1, -0.5, math.nan, math.inf, True, None, [1], {"s": 1}, b"1s",
    10**400, "9" * 400, "9" * 400 + "d", "9" * 400 + "TiB", "9" * 400 + "/s",
]  # fmt: skip


@pytest.mark.parametrize("value", NOTHING, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("parse", [parse_duration, parse_bytes, parse_rate])
def test_what_is_none_is_refused(parse: Callable[[Any], float], value: Any) -> None:
    with pytest.raises(ConfigError, match=r"not a (duration|size|rate)"):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (parse_duration, "1M"), (parse_duration, "1S"), (parse_duration, "1/s"), (parse_duration, "1kB"),
        (parse_bytes, "1KB"), (parse_bytes, "1Mb"), (parse_bytes, "1s"), (parse_bytes, "1gib"),
        (parse_rate, "1"), (parse_rate, "1s"), (parse_rate, "1/S"), (parse_rate, "1/week"), (parse_rate, "/s"),
    ],
)  # fmt: skip
def test_units_are_spelled_as_they_are(parse: Callable[[Any], float], value: str) -> None:
    with pytest.raises(ConfigError, match=f"given '{value}'; allowed: "):
        parse(value)
