"""How much telemetry a tenant may send: limits, their defaults, and what happens beyond them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from otelwarden.core import LOGS, TRACES, ConfigError, Fault, Signal, parse_rate, schema_faults

Overflow: TypeAlias = Literal["drop", "observe"]

OVERFLOWS: Final[tuple[Overflow, ...]] = ("drop", "observe")
LIMITED_SIGNALS: Final[tuple[Signal, ...]] = (TRACES, LOGS)
DEFAULT_MIN_DEBT: Final = 1000

_NO_METRICS: Final = (
    "metrics have no rate: they never lose a measurement; limits on their cardinality will come instead"
)
_RATE_ALLOWED: Final = "more than 0 items a second, like 500/s, 3000/m or 0.5/s"
_BURST_ALLOWED: Final = "a whole number of items, at least 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLimits:
    """The limit on one signal of one tenant.

    Raises:
        ConfigError: a field is out of range; lists every such field, with pointers like `/rate`.
    """

    rate: float
    """Items per second; more than 0."""
    burst: int | None = None
    """Items that may come at once after a pause, at least 1; None for one second of the rate, at least 1."""

    def __post_init__(self) -> None:
        faults = [*_rate_faults(self.rate), *_burst_faults(self.burst)]
        if faults:
            raise ConfigError(faults)

    @property
    def burst_items(self) -> int:
        """The burst in force, in items."""
        return max(1, math.floor(self.rate)) if self.burst is None else self.burst

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], *, over: SignalLimits | None = None) -> SignalLimits:
        """The limit that `settings` gives, field by field over another one.

        Args:
            settings: `{"rate": "500/s", "burst": 2000}`; rates as `core.parse_rate` reads them.
            over: what a field is taken from that `settings` leaves out.

        Raises:
            ConfigError: with everything that is wrong, and a pointer to each.
        """
        faults = [
            Fault(pointer=f"/{key}", message="unknown key", given=key, allowed="burst, rate")
            for key in settings
            if key not in ("rate", "burst")
        ]
        rate: Any = over.rate if over is not None else None
        if "rate" in settings:
            rate = _read_rate(settings["rate"], faults)
        elif over is None:
            faults.append(Fault(message="missing key `rate`", allowed=_RATE_ALLOWED))
        burst = settings.get("burst", over.burst if over is not None else None)
        faults += _burst_faults(burst)
        if faults:
            raise ConfigError(faults)
        return cls(rate=rate, burst=burst)


def _read_rate(given: Any, faults: list[Fault]) -> float:
    try:
        rate = parse_rate(given)
    except ConfigError as error:
        faults += [fault.within("/rate") for fault in error.faults]
        return 1.0
    faults += _rate_faults(rate)
    return rate


def _rate_faults(rate: Any) -> list[Fault]:
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if number and math.isfinite(rate) and rate > 0:
        return []
    return [Fault(pointer="/rate", message="not a rate that lets anything pass", given=rate, allowed=_RATE_ALLOWED)]


def _burst_faults(burst: Any) -> list[Fault]:
    if burst is None or (isinstance(burst, int) and not isinstance(burst, bool) and burst >= 1):
        return []
    return [Fault(pointer="/burst", message="not a burst", given=burst, allowed=_BURST_ALLOWED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """The limits on all signals of one tenant; a signal without one may send as much as it likes."""

    traces: SignalLimits | None = None
    """Limit on spans."""
    logs: SignalLimits | None = None
    """Limit on log records."""

    def of(self, signal: Signal) -> SignalLimits | None:
        """The limit on `signal`; None for none."""
        if signal == TRACES:
            return self.traces
        return self.logs if signal == LOGS else None

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], *, over: TenantLimits | None = None) -> TenantLimits:
        """The limits that `settings` gives, field by field over others.

        Args:
            settings: `{"traces": {"rate": "500/s", "burst": 2000}, "logs": {...}}`.
            over: what is taken from where `settings` is silent.

        Raises:
            ConfigError: with everything that is wrong, and a pointer to each.
        """
        faults: list[Fault] = []
        limits: dict[Signal, SignalLimits] = {}
        for signal in settings:
            if signal == "metrics":
                faults.append(Fault(pointer="/metrics", message=_NO_METRICS, given=settings[signal]))
            elif signal not in LIMITED_SIGNALS:
                faults.append(Fault(pointer=f"/{signal}", message="unknown key", given=signal, allowed="logs, traces"))
        for signal in LIMITED_SIGNALS:
            try:
                limit = signal_limits(settings, signal, over)
            except ConfigError as error:
                faults += [fault.within(f"/{signal}") for fault in error.faults]
            else:
                if limit is not None:
                    limits[signal] = limit
        if faults:
            raise ConfigError(faults)
        return cls(traces=limits.get(TRACES), logs=limits.get(LOGS))


def signal_limits(settings: Mapping[str, Any], signal: Signal, over: TenantLimits | None) -> SignalLimits | None:
    """The limit on one signal that a tenant's `settings` give, field by field over `over`; None for none.

    Raises:
        ConfigError: with everything that is wrong with this signal's limit, and a pointer relative to it.
    """
    default = over.of(signal) if over is not None else None
    if signal not in settings:
        return default
    given = settings[signal]
    if not isinstance(given, Mapping):
        raise ConfigError([Fault(message="wrong type", given=given, allowed="a mapping of rate and burst")])
    return SignalLimits.from_mapping(given, over=default)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaConfig:
    """The `quota` block of the processors.

    Raises:
        ConfigError: a field is out of range.
    """

    default: TenantLimits = TenantLimits()
    """Limits of every tenant, for each field that the tenant's own limits do not give; none: unlimited."""
    overflow: Overflow = "drop"
    """What happens over a limit: `drop`, or `observe`: count what would have been dropped and let it pass."""
    max_debt: int | None = None
    """Spans by which traces that the sampler kept may overdraw their tenant's limit, so that they stay whole; None
    for as many as the burst, at least 1,000."""

    def __post_init__(self) -> None:
        faults = []
        if self.overflow not in OVERFLOWS:
            faults.append(_overflow_fault(self.overflow))
        if self.max_debt is not None and not (
            isinstance(self.max_debt, int) and not isinstance(self.max_debt, bool) and self.max_debt >= 0
        ):
            allowed = "a whole number of spans, at least 0"
            faults.append(Fault(pointer="/max_debt", message="not a debt", given=self.max_debt, allowed=allowed))
        if faults:
            raise ConfigError(faults)

    def debt_items(self, limit: SignalLimits) -> int:
        """The debt in force beside `limit`, in items."""
        return max(limit.burst_items, DEFAULT_MIN_DEBT) if self.max_debt is None else self.max_debt

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any] | None) -> QuotaConfig:
        """The configuration that the block `processors: quota:` of a file gives; None or empty: all defaults.

        Raises:
            ConfigError: with everything that is wrong, and a pointer relative to the block to each.
        """
        settings = {} if settings is None else settings
        faults: list[Fault] = []
        default = TenantLimits()
        given = settings.get("default", {}) if isinstance(settings, Mapping) else {}
        if isinstance(given, Mapping):
            try:
                default = TenantLimits.from_mapping(given)
            except ConfigError as error:
                faults += [fault.within("/default") for fault in error.faults]
        found = {fault.pointer for fault in faults}
        # The schema knows keys and types, the code knows ranges and says more; each place is named once.
        faults += [fault for fault in schema_faults(settings, "quota") if fault.pointer not in found]
        if faults:
            raise ConfigError(faults)
        rest = {key: settings[key] for key in ("overflow", "max_debt") if key in settings}
        return cls(default=default, **rest)


def _overflow_fault(given: object) -> Fault:
    return Fault(
        pointer="/overflow", message="not one of the allowed values", given=given, allowed=", ".join(OVERFLOWS)
    )
