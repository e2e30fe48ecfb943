"""Periods against an oracle that walks through time minute by minute and looks at the clocks of the zone."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import ConfigError
from otelwarden.quota.periods import PERIODS, bounds, read_zone

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",  # half an hour beside the others
    "Asia/Kathmandu",  # three quarters
    "Australia/Lord_Howe",  # clocks change by half an hour
    "America/Sao_Paulo",  # clocks were changed at midnight
    "America/St_Johns",  # clocks went back over midnight
    "Asia/Beirut",
    "Pacific/Apia",  # skipped a whole day
    "Africa/Casablanca",
]
CHANGES = [
    ("Europe/Berlin", "2024-03-31T00:59:00"),
    ("Europe/Berlin", "2024-10-27T00:59:00"),
    ("America/New_York", "2024-11-03T05:59:00"),
    ("America/Sao_Paulo", "2018-11-04T02:59:00"),
    ("America/Sao_Paulo", "2018-02-18T01:59:00"),
    ("America/St_Johns", "2010-11-07T02:29:00"),
    ("Australia/Lord_Howe", "2024-04-06T14:59:00"),
    ("Australia/Lord_Howe", "2024-10-05T15:29:00"),
    ("Pacific/Apia", "2011-12-30T09:59:00"),
    ("Asia/Beirut", "2024-03-30T21:59:00"),
]


@lru_cache(maxsize=1 << 20)
def clocks(zone: str, moment: int) -> datetime:
    return datetime.fromtimestamp(moment, ZoneInfo(zone))


def label(period: str, zone: str, moment: int) -> tuple[int, ...]:
    shown = clocks(zone, moment)
    if period == "day":
        return (shown.year, shown.month, shown.day)
    if period == "week":
        return tuple(shown.isocalendar())[:2]
    return (shown.year, shown.month)


def starts(period: str, zone: str, first: int, last: int) -> list[int]:
    """The full minutes in (first, last] at which a period begins."""
    found = []
    reached = label(period, zone, first) if period != "hour" else ()
    for moment in range(first + 60, last + 1, 60):
        if period == "hour":
            before, now = clocks(zone, moment - 60), clocks(zone, moment)
            moved = now.utcoffset() - before.utcoffset()
            if now.minute == 0 or moved.total_seconds() % 3600:
                found.append(moment)
        elif label(period, zone, moment) > reached:  # a date that comes once more begins nothing
            reached = label(period, zone, moment)
            found.append(moment)
    return found


def agrees(period: str, zone: str, now: int, reach: int) -> None:
    since, until = bounds(period, ZoneInfo(zone), now)
    assert since <= now < until
    first = (now - reach) // 60 * 60
    found = starts(period, zone, first, now // 60 * 60 + reach)
    before, after = [s for s in found if s <= now], [s for s in found if s > now]
    if before:
        assert since == before[-1]
    if after:
        assert until == after[0]


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=[f"{zone} {change}" for zone, change in CHANGES])
@pytest.mark.parametrize("period", ["hour", "day"])
def test_where_clocks_are_changed(period, zone, change):
    moment = int(datetime.fromisoformat(change + "+00:00").timestamp())
    for minutes in range(-150, 150, 7):
        agrees(period, zone, moment + minutes * 60 + 13, 50 * 3600 if period == "day" else 3 * 3600)


@settings(max_examples=150, deadline=None)
@given(zone=st.sampled_from(ZONES), now=st.integers(1_230_000_000, 1_900_000_000))
def test_hours_and_days_are_what_the_clocks_show(zone, now):
    agrees("hour", zone, now, 2 * 3600)
    agrees("day", zone, now, 26 * 3600)


@settings(max_examples=8, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    now=st.integers(1_230_000_000, 1_900_000_000),
    period=st.sampled_from(["week", "month"]),
)
def test_weeks_and_months_are_what_the_clocks_show(period, zone, now):
    # To the edge only: near the start, and near the end.
    since, until = bounds(period, ZoneInfo(zone), now)
    for edge in (since, until):
        for moment in (edge - 61, edge - 1, edge, edge + 59):
            agrees(period, zone, moment, 3 * 3600)
    assert label(period, zone, since) == label(period, zone, until - 1)


@settings(max_examples=200, deadline=None)
@given(zone=st.sampled_from(ZONES), now=st.integers(1_230_000_000, 1_900_000_000), period=st.sampled_from(PERIODS))
def test_periods_follow_each_other_without_gap(period, zone, now):
    since, until = bounds(period, ZoneInfo(zone), now)
    assert bounds(period, ZoneInfo(zone), since) == bounds(period, ZoneInfo(zone), until - 1) == (since, until)
    assert bounds(period, ZoneInfo(zone), until)[0] == until
    assert bounds(period, ZoneInfo(zone), since - 1)[1] == since


def test_a_day_is_23_24_or_25_hours_long():
    berlin = ZoneInfo("Europe/Berlin")
    noon = [int(datetime(2024, *day, 12, tzinfo=berlin).timestamp()) for day in ((3, 31), (6, 15), (10, 27))]
    assert [(until - since) // 3600 for since, until in (bounds("day", berlin, each) for each in noon)] == [23, 24, 25]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "UTC\0", None, 5])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ConfigError, match="unknown time zone"):
        read_zone(name)
