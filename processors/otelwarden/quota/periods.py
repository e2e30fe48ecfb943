"""Hours, days, weeks and months in a time zone, as stretches of real time."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from otelwarden.core import ConfigError, Fault

Period: TypeAlias = Literal["hour", "day", "week", "month"]

PERIODS: Final[tuple[Period, ...]] = get_args(Period)

_HOUR: Final = 3600


@lru_cache(maxsize=1024)
def read_zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ConfigError: the IANA database of this machine (or of the package `tzdata`) has none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        allowed = "a name of the IANA time zone database, like Europe/Berlin or UTC"
        raise ConfigError(
            [Fault(pointer="/time_zone", message="unknown time zone", given=name, allowed=allowed)]
        ) from None


def bounds(period: Period, zone: ZoneInfo, now: int) -> tuple[int, int]:
    """Start and end of the period in which a moment lies, in seconds since the Unix epoch; `start <= now < end`.

    Days, weeks (from Monday, ISO 8601) and months begin at the first moment that has their date in the zone, so they
    are 23 or 25 hours long, or the like, where clocks are changed. Hours are hours of real time that begin when the
    zone's clocks show a full hour, and are cut short only where clocks move by a part of one.
    """
    if period == "hour":
        return _hour(zone, now)
    start = _calendar_start(period, _local_date(zone, now))
    # Where clocks go back over midnight, moments after a day's first one have the date of the day before once more.
    following = _next(period, start)
    if _first_moment(zone, following) <= now:
        start, following = following, _next(period, following)
    return _first_moment(zone, start), _first_moment(zone, following)


def _local_date(zone: ZoneInfo, now: int) -> date:
    return datetime.fromtimestamp(now, zone).date()


def _calendar_start(period: Period, day: date) -> date:
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def _next(period: Period, start: date) -> date:
    if period == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if period == "week" else 1)


def _first_moment(zone: ZoneInfo, day: date) -> int:
    # Of two such midnights the first (fold 0). One that clocks skip is reckoned with the offset before they do, which
    # is the moment of the change itself.
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _offset(zone: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    return int(offset.total_seconds()) % _HOUR if offset is not None else 0


def _hour(zone: ZoneInfo, now: int) -> tuple[int, int]:
    offset = _offset(zone, now)
    start = now - (now + offset) % _HOUR
    end = start + _HOUR
    if _offset(zone, start) != offset:
        start = _change(zone, start, now)
    if _offset(zone, end - 1) != offset:
        end = _change(zone, now, end - 1)
    return start, end


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The first moment with the offset of `after`, where that of `before` is another one."""
    offset = _offset(zone, after)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _offset(zone, middle) == offset else (middle, after)
    return after


def utc_text(moment: float) -> str:
    """A moment as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
