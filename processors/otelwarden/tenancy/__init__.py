"""Whose telemetry it is: resolves, tags and isolates tenants; the registry of tenants and their life cycle."""

from otelwarden.core import get_tenant, set_tenant, set_token, use_tenant, use_token
from otelwarden.tenancy.config import QUARANTINED_ID, TenancyConfig
from otelwarden.tenancy.errors import (
    DuplicateTenantError,
    InvalidTenantIdError,
    TenantError,
    TenantFileError,
    UnknownTenantError,
)
from otelwarden.tenancy.ids import ClaimedTenant, is_tenant_id
from otelwarden.tenancy.instruments import TenantMeterProvider
from otelwarden.tenancy.logs import TenantLogRecordProcessor
from otelwarden.tenancy.metrics import TenantMetricReader
from otelwarden.tenancy.model import Tenant, TenantSettings, TenantStatus
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.resolution import Tenancy
from otelwarden.tenancy.spans import TenantSpanProcessor
from otelwarden.tenancy.tokenconfig import TokenConfig
from otelwarden.tenancy.verdicts import Verdict

__all__ = [
    "QUARANTINED_ID",
    "ClaimedTenant",
    "DuplicateTenantError",
    "InvalidTenantIdError",
    "Tenancy",
    "TenancyConfig",
    "Tenant",
    "TenantError",
    "TenantFileError",
    "TenantLogRecordProcessor",
    "TenantMeterProvider",
    "TenantMetricReader",
    "TenantRegistry",
    "TenantSettings",
    "TenantSpanProcessor",
    "TenantStatus",
    "TokenConfig",
    "UnknownTenantError",
    "Verdict",
    "get_tenant",
    "is_tenant_id",
    "set_tenant",
    "set_token",
    "use_tenant",
    "use_token",
]
