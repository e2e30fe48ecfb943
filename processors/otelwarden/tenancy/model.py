"""A tenant, as the registry keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeAlias

from otelwarden.tenancy.errors import InvalidTenantIdError
from otelwarden.tenancy.ids import ID_RULE, is_tenant_id

Scalar: TypeAlias = str | bool | int | float


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
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    """Facts about the tenant. Those that `TenancyConfig.stamp` names are stamped on telemetry as `tenant.<key>`."""
    region: str | None = None
    """The region that its telemetry is to stay in, that of an endpoint; default None: any."""
    destinations: tuple[str, ...] | None = None
    """The names of the endpoints that its telemetry may go to; default None: all."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of the requests with its telemetry, which may be credentials; default none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", _frozen(self.limits))
        object.__setattr__(self, "attributes", _frozen(self.attributes))
        object.__setattr__(self, "headers", _frozen(self.headers))
        if self.destinations is not None:
            object.__setattr__(self, "destinations", tuple(self.destinations))


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
    """Why it was suspended, a word such as `unpaid`; empty in any other status."""
    created_at: datetime | None = None
    """UTC; None when a file that was written by hand does not say."""
    updated_at: datetime | None = None
    """UTC, of the last change through the registry's methods; None as above."""
    settings: TenantSettings = field(default_factory=TenantSettings)

    def __post_init__(self) -> None:
        if not is_tenant_id(self.id):
            raise InvalidTenantIdError(f"not a tenant id; given {self.id!r:.200}; allowed: {ID_RULE}")
