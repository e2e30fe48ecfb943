"""What a tenant may send: rates, budgets and sizes, as they are written and laid over each other field by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from otelwarden.core import (
    LOGS,
    METRICS,
    TRACES,
    ConfigError,
    Fault,
    Signal,
    parse_byte_rate,
    parse_bytes,
    parse_rate,
)
from otelwarden.quota.amounts import LARGEST, NO_BUDGETS, Budgets, is_count
from otelwarden.quota.blocks import unknown_keys
from otelwarden.quota.periods import read_zone

Scope: TypeAlias = Literal["traces", "logs", "metrics", "all"]
"""What a limit is on: one signal, or `all` of a tenant's signals together."""

ALL: Final[Scope] = "all"

_NO_METRICS: Final = "metrics have no rate and no budget: they never lose a measurement"
_RATE_ALLOWED: Final = "more than 0 items a second, like 500/s, 3000/m or 0.5/s"
_BYTE_RATE_ALLOWED: Final = "more than 0 bytes a second, like 5MiB/s or 300kB/m"
_COUNT_ALLOWED: Final = "a whole number of items, at least 1"
_BYTES_ALLOWED: Final = "a number of bytes, at least 1, like 64KiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLimits:
    """The limits on one signal of one tenant, or on all of its signals together. None means no such limit.

    Raises:
        ConfigError: a field is out of range; lists every such field, with pointers like `/rate`.
    """

    rate: float | None = None
    """Items per second; more than 0."""
    burst: int | None = None
    """Items that may come at once after a pause, at least 1; None for one second of the rate, at least 1."""
    byte_rate: float | None = None
    """Bytes per second, as `core.size_of` counts them; more than 0."""
    byte_burst: int | None = None
    """Bytes that may come at once after a pause, and the largest item that passes; None for one second of the rate, at
    least 64 KiB."""
    max_item_size: int | None = None
    """Bytes of the largest item that passes."""
    budget: Budgets = NO_BUDGETS
    """What may pass in an hour, day, week or month; nothing more does."""
    soft_budget: Budgets = NO_BUDGETS
    """What should not be exceeded: only warned of."""

    def __post_init__(self) -> None:
        faults = [
            Fault(pointer=f"/{name}", message=message, given=value, allowed=allowed)
            for name, (_, good, message, allowed) in _FIELDS.items()
            if (value := getattr(self, name)) is not None and not good(value)
        ]
        if not faults:
            faults = [
                Fault(pointer=f"/{burst}", message=f"a burst without `{rate}`", given=getattr(self, burst))
                for rate, burst in (("rate", "burst"), ("byte_rate", "byte_burst"))
                if getattr(self, rate) is None and getattr(self, burst) is not None
            ]
        if not faults and self.max_item_size is not None and self.max_item_size > (self.burst_bytes or math.inf):
            message = "a burst below the largest item, which could never pass"
            allowed = f"at least `max_item_size`, which is {self.max_item_size}"
            faults.append(Fault(pointer="/byte_burst", message=message, given=self.burst_bytes, allowed=allowed))
        if faults:
            raise ConfigError(faults)

    @property
    def burst_items(self) -> int:
        """The burst in force, in items."""
        return max(1, math.floor(self.rate or 0)) if self.burst is None else self.burst

    @property
    def burst_bytes(self) -> int:
        """The burst in force, in bytes; 0 without a rate of bytes."""
        if self.byte_rate is None:
            return 0
        return max(_LEAST_BYTE_BURST, math.floor(self.byte_rate)) if self.byte_burst is None else self.byte_burst

    @property
    def largest_item(self) -> int | None:
        """Bytes of the largest item that can pass; None for any."""
        sizes = [size for size in (self.max_item_size, self.burst_bytes) if size]
        return min(sizes, default=None)

    @property
    def counts_bytes(self) -> bool:
        """Whether the size of items must be known."""
        return bool(self.byte_rate or self.max_item_size or self.budget.bytes or self.soft_budget.bytes)

    @property
    def limits_anything(self) -> bool:
        """Whether any field is set."""
        return self != NO_LIMITS

    @classmethod
    def from_mapping(cls, settings: Any, *, over: SignalLimits | None = None) -> SignalLimits:
        """The limits that `settings` gives, field by field over others.

        Args:
            settings: `{"rate": "500/s", "burst": 2000, "budget": {"bytes": "5GiB/day"}}`; null takes a limit away.
            over: what a field is taken from that `settings` leaves out.

        Raises:
            ConfigError: with everything that is wrong, and a pointer to each.
        """
        if not isinstance(settings, Mapping):
            raise ConfigError([Fault(message="wrong type", given=settings, allowed="a mapping of limits")])
        over = over or NO_LIMITS
        faults = unknown_keys(settings, [each.name for each in fields(cls)])
        values: dict[str, Any] = {each.name: getattr(over, each.name) for each in fields(cls)}
        for name, given in settings.items():
            if name in _FIELDS:
                parse, good, message, allowed = _FIELDS[name]
                try:
                    values[name] = None if given is None else parse(given)
                except ConfigError as error:
                    faults += [fault.within(f"/{name}") for fault in error.faults]
                    values[name] = None
                else:
                    if given is not None and not good(values[name]):
                        faults.append(Fault(pointer=f"/{name}", message=message, given=given, allowed=allowed))
            elif name in ("budget", "soft_budget"):
                try:
                    values[name] = Budgets.from_mapping(given, over=values[name])
                except ConfigError as error:
                    faults += [fault.within(f"/{name}") for fault in error.faults]
        if faults:
            raise ConfigError(faults)
        if settings.get("rate", 0) is None and "burst" not in settings:
            values["burst"] = None
        if settings.get("byte_rate", 0) is None and "byte_burst" not in settings:
            values["byte_burst"] = None
        return cls(**values)


_LEAST_BYTE_BURST: Final = 64 << 10


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= LARGEST


def _as_given(value: Any) -> Any:
    return value


_FIELDS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], bool], str, str]]] = {
    "rate": (parse_rate, _is_rate, "not a rate that lets anything pass", _RATE_ALLOWED),
    "burst": (_as_given, is_count, "not a burst", _COUNT_ALLOWED),
    "byte_rate": (parse_byte_rate, _is_rate, "not a rate that lets anything pass", _BYTE_RATE_ALLOWED),
    "byte_burst": (parse_bytes, is_count, "not a burst", _BYTES_ALLOWED),
    "max_item_size": (parse_bytes, is_count, "not a size", _BYTES_ALLOWED),
}
"""Field -> how it is read, what is in range, and what is said of what is not."""

NO_LIMITS: Final = SignalLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLimits:
    """The limit on the metrics of one tenant, of which no measurement is ever lost."""

    cardinality: int | None = None
    """Active series; further ones are folded into one overflow series. At least 1; None for no limit."""

    def __post_init__(self) -> None:
        if self.cardinality is not None and not is_count(self.cardinality):
            allowed = "a whole number of series, at least 1"
            raise ConfigError(
                [
                    Fault(
                        pointer="/cardinality",
                        message="not a number of series",
                        given=self.cardinality,
                        allowed=allowed,
                    )
                ]
            )

    @classmethod
    def from_mapping(cls, settings: Any, *, over: MetricLimits | None = None) -> MetricLimits:
        """The limits that `{"cardinality": 10000}` gives.

        Raises:
            ConfigError: with everything that is wrong; a rate or a budget is, as metrics have none.
        """
        if not isinstance(settings, Mapping):
            raise ConfigError([Fault(message="wrong type", given=settings, allowed="a mapping with `cardinality`")])
        has_rate = [key for key in settings if key in {each.name for each in fields(SignalLimits)}]
        faults = [Fault(pointer=f"/{key}", message=_NO_METRICS, given=settings[key]) for key in has_rate]
        faults += unknown_keys({key: 0 for key in settings if key not in has_rate}, ("cardinality",))
        limit = settings.get("cardinality", over.cardinality if over is not None else None)
        try:
            found = cls(cardinality=limit)
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """The limits of one tenant; what has none may be sent without end."""

    traces: SignalLimits | None = None
    """Limits on spans."""
    logs: SignalLimits | None = None
    """Limits on log records."""
    metrics: MetricLimits | None = None
    """Limits on metrics."""
    all: SignalLimits | None = None
    """Limits on spans and log records together, beside those on each."""
    time_zone: str = "UTC"
    """Where the tenant's days, weeks and months begin; a name of the IANA database."""

    def __post_init__(self) -> None:
        read_zone(self.time_zone)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return read_zone(self.time_zone)

    def of(self, scope: Scope | Signal) -> SignalLimits | None:
        """The limits on spans, log records or `all`; None for none."""
        if scope == TRACES:
            return self.traces
        if scope == LOGS:
            return self.logs
        return self.all if scope == ALL else None

    @classmethod
    def from_mapping(cls, settings: Any, *, over: TenantLimits | None = None) -> TenantLimits:
        """The limits that `settings` gives, field by field over others.

        Args:
            settings: `{"traces": {"rate": "500/s", "burst": 2000}, "all": {...}, "time_zone": "Europe/Berlin"}`.
            over: what is taken from where `settings` is silent.

        Raises:
            ConfigError: with everything that is wrong, and a pointer to each.
        """
        if not isinstance(settings, Mapping):
            raise ConfigError([Fault(message="wrong type", given=settings, allowed="a mapping of limits by signal")])
        over = over or cls()
        faults = unknown_keys(settings, [each.name for each in fields(cls)])
        values: dict[str, Any] = {each.name: getattr(over, each.name) for each in fields(cls)}
        for scope, reader in (
            (TRACES, SignalLimits),
            (LOGS, SignalLimits),
            (ALL, SignalLimits),
            (METRICS, MetricLimits),
        ):
            if scope in settings:
                try:
                    values[scope] = reader.from_mapping(settings[scope], over=values[scope])
                except ConfigError as error:
                    faults += [fault.within(f"/{scope}") for fault in error.faults]
        if "time_zone" in settings:
            values["time_zone"] = settings["time_zone"]
            try:
                read_zone(values["time_zone"])
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)
        return cls(**values)
