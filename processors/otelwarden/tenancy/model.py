"""A tenant, as the registry keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from otelwarden.core import Signal
from otelwarden.tenancy.errors import InvalidTenantIdError
from otelwarden.tenancy.ids import ID_RULE, is_tenant_id

Scalar: TypeAlias = str | bool | int | float

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
"""What settings without an entry have in common; shared, as there are thousands of tenants."""


def _frozen(value: Any) -> Any:
    """A copy of nested mappings that nobody can change; anything else as it is."""
    return MappingProxyType({k: _frozen(v) for k, v in value.items()}) if isinstance(value, Mapping) else value


class TenantStatus(str, Enum):
    """Where a tenant is in its life; what each status does is configured, see `TenancyConfig.statuses`."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    INACTIVE = "inactive"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """What a tenant has of its own."""

    limits: Mapping[str, Any] = field(default_factory=dict)
    """Its limits by signal, `{"traces": {"rate": "500/s", "burst": 2000}, "logs": {...}}`; handed to quota as written.
    Default none: the defaults of quota apply."""
    plan: str | None = None
    """What it booked; quota gives its limits to every field that `limits` leaves out. Default none."""
    time_zone: str | None = None
    """IANA name of the zone in which its days, weeks and months begin. Default UTC."""
    retention: str | None = None
    """How long its telemetry is to be kept, a duration such as `30d`; for whoever keeps it. Default nothing is said."""
    region: str | None = None
    """Where its telemetry must stay. Default anywhere."""
    signals: tuple[Signal, ...] | None = None
    """What it may send: `traces`, `logs`, `metrics`. Default all."""
    destinations: tuple[str, ...] | None = None
    """Names of the endpoints that its telemetry may be sent to. Default all."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers, or gRPC metadata, that requests with its telemetry carry. Default none."""
    features: tuple[str, ...] = ()
    """Words for the application, which finds them by `registry.get(id)`; nothing here reads them. Default none."""
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    """Facts about the tenant, for people and for `TenancyConfig.stamp`. Default none."""

    def __post_init__(self) -> None:
        for name in ("limits", "headers", "attributes"):
            value = getattr(self, name)
            object.__setattr__(self, name, _frozen(value) if value else NOTHING)
        for name in ("signals", "destinations", "features"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))


NO_SETTINGS: Final = TenantSettings()
"""Those of a tenant that has nothing of its own; shared, as there are thousands of tenants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant.

    Raises:
        InvalidTenantIdError: the id cannot be one.
    """

    id: str
    """Unique; see `otelwarden.tenancy.ids`."""
    name: str
    """For people."""
    domain: str = ""
    """The tenant's internet domain; empty when it has none."""
    status: TenantStatus = TenantStatus.ACTIVE
    status_reason: str = ""
    """Why it has this status, a word such as `unpaid`; empty when nobody said."""
    created_at: datetime | None = None
    """UTC; None when a file that was written by hand does not say."""
    updated_at: datetime | None = None
    """UTC, of the last change through the registry's methods; None as above."""
    updated_by: str = ""
    """Who made that change, as `user:<id>` or `service:<id>`; empty when nobody said."""
    settings: TenantSettings = field(default_factory=TenantSettings)

    def __post_init__(self) -> None:
        if not is_tenant_id(self.id):
            raise InvalidTenantIdError(f"not a tenant id; given {self.id!r:.200}; allowed: {ID_RULE}")
