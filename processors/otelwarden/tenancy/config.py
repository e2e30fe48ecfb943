"""How tenancy decides; the defaults are here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from otelwarden.core import TENANT_ATTRIBUTE, UNATTRIBUTED, ConfigError, Fault, parse_duration, schema_faults
from otelwarden.tenancy.model import TenantStatus
from otelwarden.tenancy.tokenconfig import TokenConfig

Source: TypeAlias = Literal["token", "context", "baggage", "resource", "attribute"]
Action: TypeAlias = Literal["pass", "quarantine", "reject"]

QUARANTINED_ID: Final = "tenant.quarantined_id"
"""The attribute of quarantined telemetry that says which tenant it claims to be of."""

_DEFAULT_STATUSES: Final[Mapping[TenantStatus, Action]] = MappingProxyType(
    {
        TenantStatus.ACTIVE: "pass",
        TenantStatus.PENDING: "quarantine",
        TenantStatus.SUSPENDED: "reject",
        TenantStatus.INACTIVE: "reject",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenancyConfig:
    """How tenancy decides, as under `processors: tenancy:` in a configuration file.

    Raises:
        ConfigError: a value is not allowed by `tenancy.schema.json`, or two of them contradict each other.
    """

    sources: tuple[Source, ...] = ("context", "baggage", "resource")
    """Where a tenant may be named, in order of precedence: `token` (verified; it wins wherever it stands), `context`
    (`use_tenant`), `baggage`, `resource` and `attribute` (of the item)."""
    token: TokenConfig | None = None
    """Which tokens prove who the caller is; given if and only if `token` is among the sources."""
    missing: Literal["default", "reject"] = "default"
    """What happens to telemetry that names no tenant: it belongs to `default_tenant`, or it is dropped."""
    default_tenant: str = UNATTRIBUTED
    """The tenant of telemetry that names none; it need not be registered."""
    unknown: Action = "reject"
    """What happens to telemetry whose tenant is not registered or whose id is invalid. Where unknown ids pass, an
    invalid one belongs to `default_tenant`."""
    quarantine_tenant: str = "quarantine"
    """The tenant that quarantined telemetry belongs to; it need not be registered."""
    quarantine_exporter: str | None = None
    """Id of the exporter that quarantined telemetry leaves through, and through no other; None for the one of
    everything. Only for `configure()`."""
    statuses: Mapping[TenantStatus, Action] = field(default_factory=lambda: _DEFAULT_STATUSES)
    """What happens to telemetry of a registered tenant, by status; those left out keep their default: active passes,
    pending is quarantined, suspended and inactive are rejected."""
    attribute: str = TENANT_ATTRIBUTE
    """The attribute that tags telemetry with its tenant."""
    baggage_key: str = TENANT_ATTRIBUTE
    """The baggage entry that the source `baggage` reads."""
    resource_key: str = TENANT_ATTRIBUTE
    """The resource attribute that the source `resource` reads."""
    attribute_key: str = TENANT_ATTRIBUTE
    """The attribute that the source `attribute` reads: of a span as it starts, a log record, a measurement."""
    stamp: tuple[str, ...] = ()
    """Keys of `TenantSettings.attributes` that are stamped on telemetry as `tenant.<key>`."""
    reload_interval: float = 0.5
    """Seconds between two looks at the tenants file; more than 0."""

    def __post_init__(self) -> None:
        faults = schema_faults(_as_document(self), "tenancy")
        if not faults:
            faults = list(_contradictions(self))
        if faults:
            raise ConfigError(faults)
        statuses: dict[TenantStatus, Action] = dict(_DEFAULT_STATUSES)
        statuses.update({TenantStatus(status): action for status, action in self.statuses.items()})
        object.__setattr__(self, "statuses", MappingProxyType(statuses))
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "stamp", tuple(self.stamp))

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any], *, file: str = "", pointer: str = "") -> TenancyConfig:
        """The configuration that a document describes.

        Args:
            document: what stands under `processors: tenancy:`.
            file: named in errors.
            pointer: where in the file the document stands.

        Raises:
            ConfigError: with everything that is wrong with it.
        """
        faults = schema_faults(document, "tenancy", file=file, pointer=pointer)
        if faults:
            raise ConfigError(faults)
        values = dict(document)
        for key in ("sources", "stamp"):
            if key in values:
                values[key] = tuple(values[key])
        if "reload_interval" in values:
            values["reload_interval"] = parse_duration(values["reload_interval"])
        if values.get("token") is not None:
            try:
                values["token"] = TokenConfig.from_mapping(values["token"])
            except ConfigError as error:
                raise ConfigError(fault.within(f"{pointer}/token", file=file) for fault in error.faults) from None
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(fault.within(pointer, file=file) for fault in error.faults) from None


def _as_document(config: TenancyConfig) -> dict[str, Any]:
    document = {each.name: getattr(config, each.name) for each in fields(config)}
    for key, value in document.items():
        if isinstance(value, tuple):
            document[key] = list(value)
        elif isinstance(value, TokenConfig):
            document[key] = value.as_document()
        elif isinstance(value, Mapping):
            document[key] = {k.value if isinstance(k, TenantStatus) else k: action for k, action in value.items()}
    return document


def _contradictions(config: TenancyConfig) -> list[Fault]:
    faults = []
    tags = [f"tenant.{key}" for key in config.stamp]
    if config.attribute in (*tags, QUARANTINED_ID):
        faults.append(
            Fault(
                pointer="/attribute",
                message="is the name of an attribute that is stamped too",
                given=config.attribute,
                allowed=f"none of {', '.join((*tags, QUARANTINED_ID))}",
            )
        )
    if (config.token is None) == ("token" in config.sources):
        missing = "what verifies it is missing under `token`" if config.token is None else "`token` is not among them"
        faults.append(Fault(pointer="/sources", message=missing, given=list(config.sources)))
    if config.default_tenant == config.quarantine_tenant:
        faults.append(
            Fault(
                pointer="/quarantine_tenant",
                message="is the default tenant too, so that nobody could tell quarantined telemetry apart",
                given=config.quarantine_tenant,
            )
        )
    return faults
