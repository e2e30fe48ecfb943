"""The configuration of quota: defaults and plans, what happens beyond them, and where what was used is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

from otelwarden.core import ConfigError, Fault, parse_duration, schema_faults
from otelwarden.quota.blocks import unknown_keys
from otelwarden.quota.limits import SignalLimits, TenantLimits
from otelwarden.quota.reserveconfig import ReserveConfig
from otelwarden.quota.storeconfig import StoreConfig
from otelwarden.quota.usageconfig import UsageConfig

Overflow: TypeAlias = Literal["drop", "sample", "observe", "reroute"]

OVERFLOWS: Final[tuple[Overflow, ...]] = get_args(Overflow)
DEFAULT_MIN_DEBT: Final = 1000

_PLAIN: Final = ("overflow", "sample_ratio", "reroute_exporter", "max_debt", "logs_follow_traces", "notice_period")
_NOTICE_PERIODS: Final = (1.0, 86_400.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempt:
    """What passes whatever its tenant has left: it is charged like anything, and only told of where it was refused.

    Raises:
        ConfigError: a field is not what it should be.
    """

    errors: bool = False
    """Whether spans with the status ERROR and log records of severity ERROR and above are exempt."""
    scopes: tuple[str, ...] = ()
    """Names of instrumentation scopes that are exempt; a `*` at the end stands for anything."""

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.errors, bool):
            faults.append(Fault(pointer="/errors", message="not true or false", given=self.errors))
        if isinstance(self.scopes, str) or not all(isinstance(each, str) and each for each in self.scopes):
            faults.append(Fault(pointer="/scopes", message="not names", given=self.scopes, allowed="texts, none empty"))
        if faults:
            raise ConfigError(faults)
        object.__setattr__(self, "scopes", tuple(self.scopes))

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Exempt:
        """What `{"errors": true, "scopes": ["payments.*"]}` exempts.

        Raises:
            ConfigError: with everything that is wrong, and a pointer relative to the block to each.
        """
        faults = unknown_keys(settings, ("errors", "scopes"))
        if not isinstance(settings.get("scopes", []), list):
            faults.append(Fault(pointer="/scopes", message="not a list", given=settings["scopes"]))
        if faults:
            raise ConfigError(faults)
        return cls(**settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaConfig:
    """The `quota` block of the processors.

    Raises:
        ConfigError: a field is out of range.
    """

    default: TenantLimits = field(default_factory=TenantLimits)
    """Limits of every tenant, for each field that neither its plan nor its own limits give; none: unlimited."""
    plans: Mapping[str, TenantLimits] = field(default_factory=dict)
    """Named limits, each laid over the default; a tenant names its plan."""
    overflow: Overflow = "drop"
    """What happens over a limit: `drop`; `sample`: a share of `sample_ratio` passes; `observe`: count what would have
    been dropped and let it pass; `reroute`: it goes into another pipeline."""
    sample_ratio: float = 0.01
    """The share of traces and log records over a limit that passes with `overflow: sample`; above 0, at most 1."""
    reroute_exporter: str | None = None
    """Id of the exporter that gets what is over a limit with `overflow: reroute`; only for `configure()`."""
    exempt: Exempt = field(default_factory=Exempt)
    """What is never throttled."""
    max_debt: int | None = None
    """Spans by which traces that the sampler kept may overdraw their tenant's limit, so that they stay whole; None
    for as many as the burst, at least 1,000."""
    logs_follow_traces: bool = True
    """Whether a log record is dropped with its trace, when the sampler dropped that for its rate."""
    notice_period: float | None = 60.0
    """Seconds between two log records that tell a tenant, in its own stream, what of its telemetry was dropped; at
    least 1; None for no such records."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """Where it is kept what was used."""
    reserve: ReserveConfig | None = None
    """What is set aside for traces with errors that are over a rate; None for nothing."""
    usage: UsageConfig | None = None
    """How usage is exported for billing; None for not at all."""

    def __post_init__(self) -> None:
        faults = []
        if self.overflow not in OVERFLOWS:
            faults.append(_overflow_fault(self.overflow))
        ratio = self.sample_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio <= 1:
            allowed = "more than 0, at most 1"
            faults.append(Fault(pointer="/sample_ratio", message="not a share", given=ratio, allowed=allowed))
        if self.reroute_exporter is not None and self.overflow != "reroute":
            message = "an exporter to which nothing goes"
            allowed = "with `overflow: reroute`"
            faults.append(
                Fault(pointer="/reroute_exporter", message=message, given=self.reroute_exporter, allowed=allowed)
            )
        if self.max_debt is not None and not (
            isinstance(self.max_debt, int) and not isinstance(self.max_debt, bool) and self.max_debt >= 0
        ):
            allowed = "a whole number of spans, at least 0"
            faults.append(Fault(pointer="/max_debt", message="not a debt", given=self.max_debt, allowed=allowed))
        if not isinstance(self.logs_follow_traces, bool):
            message = "not true or false"
            faults.append(Fault(pointer="/logs_follow_traces", message=message, given=self.logs_follow_traces))
        if self.notice_period is not None and not _is_notice_period(self.notice_period):
            faults.append(_notice_fault(self.notice_period))
        if faults:
            raise ConfigError(faults)
        object.__setattr__(self, "plans", MappingProxyType(dict(self.plans)))

    def debt_items(self, limit: SignalLimits | None) -> int:
        """The debt in force beside `limit`, in items; 0 where there is no rate."""
        if limit is None or (limit.rate is None and limit.byte_rate is None):
            return 0
        return max(limit.burst_items, DEFAULT_MIN_DEBT) if self.max_debt is None else self.max_debt

    def limits_of(self, own: Any, plan: str | None = None, time_zone: str | None = None) -> TenantLimits:
        """The limits of a tenant: its own over those of its plan, over the default, field by field.

        Args:
            own: `{"traces": {"rate": "500/s"}}`, as the tenant's settings have it; None for nothing.
            plan: as the tenant's settings name it; of no concern where no plans are defined.
            time_zone: of the tenant; None for that of its plan or of the default.

        Raises:
            ConfigError: with everything that is wrong, and a pointer to each.
        """
        limits, faults = self.default, []
        if plan is not None and self.plans:
            limits = self.plans.get(plan, limits)
            if plan not in self.plans:
                allowed = ", ".join(sorted(self.plans))
                faults.append(Fault(pointer="/plan", message="unknown plan", given=plan, allowed=allowed))
        try:
            if own:
                limits = TenantLimits.from_mapping(own, over=limits)
        except ConfigError as error:
            faults += [fault.within("/limits") for fault in error.faults]
        try:
            if time_zone is not None:
                limits = replace(limits, time_zone=time_zone)
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
        return limits

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any] | None) -> QuotaConfig:
        """The configuration that the block `processors: quota:` of a file gives; None or empty: all defaults.

        Raises:
            ConfigError: with everything that is wrong, and a pointer relative to the block to each.
        """
        settings = {} if settings is None else settings
        faults: list[Fault] = []
        default, plans, store, usage, reserve = TenantLimits(), {}, StoreConfig(), None, None
        exempt = Exempt()
        rest: dict[str, Any] = {}
        if isinstance(settings, Mapping):
            rest = {key: settings[key] for key in _PLAIN if key in settings}
            default = _read(TenantLimits.from_mapping, settings.get("default"), "/default", faults) or default
            given = settings.get("plans")
            for name, limits in given.items() if isinstance(given, Mapping) else ():
                read = _read(
                    lambda each: TenantLimits.from_mapping(each, over=default), limits, f"/plans/{name}", faults
                )
                plans[name] = read or default
            store = _read(StoreConfig.from_mapping, settings.get("store"), "/store", faults) or store
            exempt = _read(Exempt.from_mapping, settings.get("exempt"), "/exempt", faults) or exempt
            usage = _read(UsageConfig.from_mapping, settings.get("usage"), "/usage", faults)
            reserve = _read(ReserveConfig.from_mapping, settings.get("reserve"), "/reserve", faults)
            if settings.get("notice_period") is not None:
                rest["notice_period"] = _notice_period(settings["notice_period"], faults)
        found = {fault.pointer for fault in faults}
        # The schema knows keys and types, the code knows ranges and says more; each place is named once.
        faults += [fault for fault in schema_faults(settings, "quota") if fault.pointer not in found]
        if faults:
            raise ConfigError(faults)
        parts = {"exempt": exempt, "store": store, "usage": usage, "reserve": reserve}
        return cls(default=default, plans=plans, **parts, **rest)


def _read(read: Any, given: Any, pointer: str, faults: list[Fault]) -> Any:
    """What `read` makes of a part that is a mapping; None, and its faults noted, when it refuses."""
    if not isinstance(given, Mapping):
        return None
    try:
        return read(given)
    except ConfigError as error:
        escaped = pointer if pointer.count("/") < 3 else "/plans/" + pointer[7:].replace("~", "~0").replace("/", "~1")
        faults += [fault.within(escaped) for fault in error.faults]
        return None


def _notice_period(given: Any, faults: list[Fault]) -> float | None:
    try:
        period = parse_duration(given)
    except ConfigError as error:
        faults += [fault.within("/notice_period") for fault in error.faults]
        return None
    if not _is_notice_period(period):
        faults.append(_notice_fault(given))
        return None
    return period


def _is_notice_period(period: Any) -> bool:
    least, most = _NOTICE_PERIODS
    return isinstance(period, (int, float)) and not isinstance(period, bool) and least <= period <= most


def _notice_fault(given: object) -> Fault:
    allowed = "from 1s to 1d, or null for no notices"
    return Fault(pointer="/notice_period", message="out of range", given=given, allowed=allowed)


def _overflow_fault(given: object) -> Fault:
    return Fault(
        pointer="/overflow", message="not one of the allowed values", given=given, allowed=", ".join(OVERFLOWS)
    )
