"""The configuration of compliance, as it stands under `compliance:`; the defaults are here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from otelwarden.core import ConfigError, Fault, parse_bytes, parse_duration, schema_faults

Inline: TypeAlias = Literal["off", "observe", "block"]

BUILT_IN: Final = (
    "ccpa",
    "gdpr",
    "hipaa",
    "iso-27001-2022",
    "nist-800-53-r5",
    "nist-csf-2.0",
    "pci-dss-4.0.1",
    "soc-2",
    "sox",
)
"""The frameworks that are shipped, by id."""

SCHEDULES: Final[Mapping[str, float]] = {"hourly": 3600.0, "daily": 86_400.0, "weekly": 7 * 86_400.0}
"""Names of schedules, and the seconds from one assessment to the next."""

_DURATIONS: Final = ("interval", "sample_window", "review_within")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Somebody who gets telemetry."""

    endpoint: str
    """Start of the URLs that belong to them."""
    name: str
    """Who they are."""
    purposes: tuple[str, ...] = ()
    """What they may use telemetry for."""
    region: str | None = None
    """Where they keep it; default None: what the endpoint itself says."""
    agreements: Mapping[str, str] = field(default_factory=dict)
    """Kind of agreement (`dpa`, `baa`, `service_provider` ...) -> where it is filed; default none."""

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> Recipient:
        """The recipient that an entry of a file describes, whose schema has been checked."""
        values = dict(document)
        if "purposes" in values:
            values["purposes"] = tuple(values["purposes"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplianceConfig:
    """What is assessed, when, and what the operator declares.

    Raises:
        ConfigError: a value is not allowed.
    """

    frameworks: tuple[str, ...] = BUILT_IN
    """Frameworks by id, or paths of files; default all that are shipped."""
    path: str = "./compliance"
    """Directory of findings, assessments and what processes saw; made when it is missing."""
    schedule: float | None = SCHEDULES["daily"]
    """Seconds from one whole assessment to the next; None: only by command; default a day."""
    inline: Inline = "observe"
    """What the pipeline does by itself: `off`, `observe` (look at a sample of what leaves, tell what is wrong), `block`
    (what fails a critical requirement does not leave either); default `observe`."""
    interval: float = 10.0
    """Seconds between two looks at the sample; at least 0.1; default 10."""
    sample_items: int = 512
    """Items of each signal, the latest, that one look reads; 0 takes no sample; default 512."""
    sample_window: float = 3600.0
    """Seconds for which the finds of a look count; at least 0.1; default an hour."""
    review_within: float = 7 * 86_400.0
    """Seconds within which somebody must have looked at a new finding; default a week."""
    min_free_bytes: int = 256 << 20
    """Bytes that must be free where trail, spool and findings are kept; default 256 MiB."""
    recipients: tuple[Recipient, ...] = ()
    """Who gets telemetry; default nobody is declared."""
    regions: tuple[str, ...] = ()
    """Where telemetry may be kept; default none is declared."""
    retention: Mapping[str, float] = field(default_factory=dict)
    """Seconds for which `traces`, `logs`, `metrics` and the `audit` trail are kept; default none is declared."""
    inventory: tuple[str, ...] = ()
    """Globs of the attribute keys that telemetry may have; default none is declared."""

    def __post_init__(self) -> None:
        faults = [
            Fault(pointer=f"/{name}", message=f"not at least {least:g}", given=getattr(self, name))
            for name, least in (("interval", 0.1), ("sample_window", 0.1), ("review_within", 1), ("sample_items", 0))
            if not getattr(self, name) >= least
        ]
        if self.schedule is not None and not self.schedule >= 1:
            faults.append(Fault(pointer="/schedule", message="not at least 1s", given=self.schedule))
        if self.inline == "block" and not self.sample_items:
            message = "`block` without a sample: nothing would ever show that it may end"
            faults.append(Fault(pointer="/sample_items", message=message, given=0, allowed="at least 1"))
        if not self.frameworks:
            faults.append(Fault(pointer="/frameworks", message="no framework is named", allowed=", ".join(BUILT_IN)))
        for index, name in enumerate(self.frameworks):
            if name in self.frameworks[:index]:
                faults.append(Fault(pointer=f"/frameworks/{index}", message="is named twice", given=name))
        if faults:
            raise ConfigError(faults)
        object.__setattr__(self, "retention", MappingProxyType(dict(self.retention)))

    @classmethod
    def from_mapping(cls, block: Mapping[str, Any], *, file: str = "", pointer: str = "") -> ComplianceConfig:
        """The configuration that a block of a file describes.

        Args:
            file: named in errors.
            pointer: where in the file the block stands, as a JSON pointer.

        Raises:
            ConfigError: with everything that is wrong with it.
        """
        faults = schema_faults(block, "compliance", file=file, pointer=pointer)
        if faults:
            raise ConfigError(faults)
        values = dict(block)
        for name in ("frameworks", "regions", "inventory"):
            if name in values:
                values[name] = tuple(values[name])
        for name in _DURATIONS:
            if name in values:
                values[name] = parse_duration(values[name])
        if "schedule" in values:
            values["schedule"] = _schedule(values["schedule"])
        if "min_free_bytes" in values:
            values["min_free_bytes"] = parse_bytes(values["min_free_bytes"])
        values["retention"] = {what: parse_duration(given) for what, given in block.get("retention", {}).items()}
        values["recipients"] = tuple(Recipient.from_mapping(each) for each in block.get("recipients", ()))
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(fault.within(pointer, file=file) for fault in error.faults) from None


def _schedule(given: str | float) -> float | None:
    if isinstance(given, str):
        if given == "off":
            return None
        if given in SCHEDULES:
            return SCHEDULES[given]
    return parse_duration(given)
