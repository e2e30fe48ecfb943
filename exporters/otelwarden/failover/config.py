"""The settings of failover, with their defaults in one place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from otelwarden.core import ConfigError, Fault, parse_bytes, parse_duration
from otelwarden.failover.checks import HealthCheck
from otelwarden.failover.endpoint import Endpoint, parse_endpoints
from otelwarden.failover.headers import header_faults
from otelwarden.failover.selection import check_selection
from otelwarden.failover.spool import SpoolConfig
from otelwarden.failover.terms import RESIDENCIES, Residency

_QUANTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)", re.ASCII)


def quantile_of(text: str) -> float:
    """The share that a text such as `p95` stands for."""
    found = _QUANTILE.fullmatch(text)
    if found is None or not float(found[1]) > 0:
        raise ValueError(text)
    return float(found[1]) / 100


def _is_quantile(given: object) -> bool:
    if not isinstance(given, str):
        return False
    try:
        return quantile_of(given) > 0
    except ValueError:
        return False


_PARSERS: Final[dict[str, Callable[[Any], Any]]] = {
    "endpoints": parse_endpoints,
    "health_check": lambda given: None if given is None else HealthCheck.from_mapping(given),
    "degraded_latency": lambda given: None if given is None else parse_duration(given),
    "max_queue_bytes": parse_bytes,
    "max_age": parse_duration,
    "metrics_max_age": lambda given: None if given is None else parse_duration(given),
    "hedge_after": lambda given: given if given is None or _is_quantile(given) else parse_duration(given),
    "initial_backoff": parse_duration,
    "max_backoff": parse_duration,
    "shutdown_patience": parse_duration,
}


def _parse_spool(given: Any) -> SpoolConfig | None:
    if given is None or isinstance(given, SpoolConfig):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError([Fault(pointer="/spool", message="wrong type", given=given, allowed="a mapping")])
    try:
        return SpoolConfig.from_mapping(given)
    except ConfigError as error:
        raise ConfigError([fault.within("/spool") for fault in error.faults]) from error


_PARSERS["spool"] = _parse_spool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverConfig:
    """How batches are kept, endpoints judged and outages waited out. Raises ConfigError for what cannot be."""

    endpoints: tuple[Endpoint, ...] = ()
    """Where batches may go; default none: the standard OTLP environment names the one endpoint."""
    selection: str = "priority"
    """Who of equals in health gets a batch: `priority`, `round_robin`, `weighted`, `least_in_flight`, `random`,
    `consistent`, or the name of an entry point of the group `otelwarden.failover.selection`; default `priority`."""
    region: str | None = None
    """Where this process is: among equals in health, endpoints there are chosen first; default None."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request, over the endpoint's own; `{tenant.id}` in a value stands for the id of the tenant, and
    each then gets requests of its own; default none."""
    residency: Residency = "strict"
    """Whether the region of a tenant forbids endpoints that are not in it (`strict`), or only prefers those that are
    (`prefer`); default `strict`: who gives a tenant a region means it, and what was sent elsewhere cannot be undone."""
    hedge_after: float | str | None = None
    """Seconds after which a batch of spans or log records goes to the next endpoint too, unless the first has answered;
    or a quantile of the latest latencies such as `p99`; default None: it does not."""
    health_check: HealthCheck | None = None
    """How endpoints in good health are asked whether they still are; default None: only live telemetry tells."""
    degraded_latency: float | None = None
    """Seconds: an endpoint whose last requests took longer on average is degraded; default None: none is."""
    degraded_failure_rate: float | None = None
    """Share of the last requests from which an endpoint that failed them is degraded; default None: none is."""
    max_queue_bytes: int = 32 << 20
    """Bytes of encoded batches in memory, for each signal; beyond, the oldest is dropped; default 32 MiB."""
    max_age: float = 300.0
    """Seconds for all attempts at a batch, after which it is dropped; the one of the spool where there is one; default
    300."""
    metrics_max_age: float | None = None
    """The same for metrics, in place of either: many backends refuse points that are late; default None."""
    failure_threshold: int = 3
    """Failures in a row from which an endpoint counts as unhealthy, and not just as degraded; default 3."""
    recovery_threshold: int = 2
    """Successes in a row after which a failed endpoint counts as healthy again; default 2."""
    initial_backoff: float = 0.5
    """Seconds, about, that an endpoint is left alone after its first failure; doubled with each; default 0.5."""
    max_backoff: float = 5.0
    """Seconds, about, that an endpoint is left alone at most, unless it asks for more; default 5."""
    shutdown_patience: float = 2.0
    """Seconds without a delivery after which a shutdown gives up what is left; default 2."""
    spool: SpoolConfig | None = None
    """Keeps batches on disk until they are delivered; default None: in memory, up to `max_queue_bytes`."""

    def __post_init__(self) -> None:
        faults = [
            Fault(pointer=f"/{name}", message=f"not at least {least:g}", given=getattr(self, name))
            for name, least in _LEAST.items()
            if isinstance(getattr(self, name), bool)
            or not isinstance(getattr(self, name), (int, float))
            or not least <= getattr(self, name) < float("inf")
        ]
        if not faults and self.max_backoff < self.initial_backoff:
            faults.append(Fault(pointer="/max_backoff", message="less than initial_backoff", given=self.max_backoff))
        faults += [*_choice_faults(self), *_tenant_faults(self)]
        if faults:
            raise ConfigError(faults)

    @property
    def successes_to_recover(self) -> int:
        """Successes in a row after which a failed endpoint is healthy again."""
        own = self.health_check.recovery_threshold if self.health_check is not None else None
        return own or self.recovery_threshold

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> FailoverConfig:
        """The block `exporters: failover:` of a configuration, of the shape that `failover.schema.json` asks for.

        Raises:
            ConfigError: with everything that is wrong with it; pointers are relative to the block.
        """
        faults: list[Fault] = []
        values: dict[str, Any] = {}
        known = [each.name for each in fields(cls)]
        for name, value in settings.items():
            if name not in known:
                faults.append(Fault(pointer=f"/{name}", message="unknown key", given=name, allowed=", ".join(known)))
                continue
            try:
                values[name] = _PARSERS[name](value) if name in _PARSERS else value
            except ConfigError as error:
                faults += [replace(fault, pointer=fault.pointer or f"/{name}") for fault in error.faults]
        try:
            config = cls(**{name: value for name, value in values.items() if name != "endpoints"})
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
        return replace(config, endpoints=values.get("endpoints", ()))


_LEAST: Final[dict[str, float]] = {
    "max_queue_bytes": 1,
    "max_age": 0.001,
    "failure_threshold": 1,
    "recovery_threshold": 1,
    "initial_backoff": 0.001,
    "max_backoff": 0.001,
    "shutdown_patience": 0,
}


def _choice_faults(config: FailoverConfig) -> list[Fault]:
    faults: list[Fault] = []
    try:
        check_selection(config.selection)
    except ConfigError as error:
        faults += error.faults
    if config.region is not None and (not isinstance(config.region, str) or not config.region):
        faults.append(Fault(pointer="/region", message="not a region", given=config.region, allowed="text, not empty"))
    if config.health_check is not None and not isinstance(config.health_check, HealthCheck):
        faults.append(Fault(pointer="/health_check", message="wrong type", allowed="a HealthCheck"))
    for name, most in (("degraded_latency", 3600), ("degraded_failure_rate", 1)):
        value = getattr(config, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
            faults.append(Fault(pointer=f"/{name}", message="out of range", given=value, allowed=f"above 0 to {most}"))
    return faults


def _tenant_faults(config: FailoverConfig) -> Iterator[Fault]:
    # Any of the endpoints may speak gRPC, which is the stricter one.
    yield from header_faults(config.headers, grpc=True)
    if config.residency not in RESIDENCIES:
        allowed = ", ".join(RESIDENCIES)
        yield Fault(pointer="/residency", message="unknown residency", given=config.residency, allowed=allowed)
    for name in ("hedge_after", "metrics_max_age"):
        value = getattr(config, name)
        if value is None or (name == "hedge_after" and _is_quantile(value)):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.001 <= value < float("inf"):
            allowed = "a duration, at least 1 ms" + (", or a quantile such as p99" if name == "hedge_after" else "")
            yield Fault(pointer=f"/{name}", message="not a duration", given=value, allowed=allowed)
