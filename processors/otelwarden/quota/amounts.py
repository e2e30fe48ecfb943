"""Budgets, as they are written: so many items or bytes in an hour, day, week or month."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from otelwarden.core import ConfigError, Fault, parse_bytes
from otelwarden.quota.blocks import unknown_keys
from otelwarden.quota.periods import PERIODS, Period

LARGEST: Final = 1 << 53
"""Larger amounts a store could not count exactly."""

_BUDGET_ALLOWED: Final = (
    f"an amount of at least 1, a slash and one of {', '.join(PERIODS)}, like {{}}; or a list of such"
)


class Amount(NamedTuple):
    """So much in each period."""

    amount: int
    """Items or bytes; at least 1."""
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Amounts for whole periods of the calendar."""

    items: tuple[Amount, ...] = ()
    """Items in each period; at most one for each kind of period."""
    bytes: tuple[Amount, ...] = ()
    """Bytes in each period, as `core.size_of` counts them."""

    def __post_init__(self) -> None:
        faults = []
        for unit in ("items", "bytes"):
            amounts = getattr(self, unit)
            for each in amounts:
                if not is_count(each.amount) or each.period not in PERIODS:
                    allowed = _BUDGET_ALLOWED.format("1000000/day")
                    faults.append(Fault(pointer=f"/{unit}", message="not a budget", given=each, allowed=allowed))
            if len({each.period for each in amounts}) < len(amounts):
                faults.append(Fault(pointer=f"/{unit}", message="two budgets for one period", given=amounts))
        if faults:
            raise ConfigError(faults)

    @classmethod
    def from_mapping(cls, settings: Any, *, over: Budgets | None = None) -> Budgets:
        """The budgets that `{"items": "1000000/day", "bytes": ["1GiB/hour", "5GiB/day"]}` gives.

        Raises:
            ConfigError: with everything that is wrong, and a pointer to each.
        """
        over = over or cls()
        if settings is None:
            return cls()
        if not isinstance(settings, Mapping):
            raise ConfigError([Fault(message="wrong type", given=settings, allowed="a mapping of items and bytes")])
        faults = unknown_keys(settings, ("items", "bytes"))
        found: dict[str, tuple[Amount, ...]] = {"items": over.items, "bytes": over.bytes}
        for unit, parse, example in (("items", int, "1000000/day"), ("bytes", parse_bytes, "5GiB/day")):
            if unit in settings:
                try:
                    found[unit] = _amounts(settings[unit], parse, example)
                except ConfigError as error:
                    faults += [fault.within(f"/{unit}") for fault in error.faults]
        if faults:
            raise ConfigError(faults)
        return cls(**found)


def _amounts(given: Any, parse: Callable[[str], int], example: str) -> tuple[Amount, ...]:
    if given is None:
        return ()
    found, faults = [], []
    for each in given if isinstance(given, (list, tuple)) else [given]:
        text, _, period = each.partition("/") if isinstance(each, str) else ("", "", "")
        try:
            amount = parse(text.strip())
        except (ValueError, ConfigError):
            amount = 0
        if not is_count(amount) or period.strip() not in PERIODS:
            faults.append(Fault(message="not a budget", given=each, allowed=_BUDGET_ALLOWED.format(example)))
        else:
            found.append(Amount(amount, period.strip()))  # type: ignore[arg-type]
    if len({each.period for each in found}) < len(found):
        faults.append(Fault(message="two budgets for one period", given=given, allowed="one for each period"))
    if faults:
        raise ConfigError(faults)
    return tuple(found)


NO_BUDGETS: Final = Budgets()


def is_count(value: Any) -> bool:
    """Whether a value is a whole number of at least 1, and small enough for a double to hold exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST
