"""Whose telemetry it is: resolves, tags and isolates tenants; the registry of tenants and their life cycle."""

from otelwarden.core import get_tenant, set_tenant, set_token, use_tenant, use_token
from otelwarden.tenancy.config import QUARANTINED_ID, TenancyConfig
from otelwarden.tenancy.entries import tenant_to_mapping
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
from otelwarden.tenancy.middleware import TenantASGIMiddleware, TenantWSGIMiddleware
from otelwarden.tenancy.model import Tenant, TenantSettings, TenantStatus
from otelwarden.tenancy.propagator import TenantPropagator, keep_tenant_in_propagation
from otelwarden.tenancy.quarantine import (
    QuarantineLogRecordExporter,
    QuarantineMetricExporter,
    QuarantineSpanExporter,
)
from otelwarden.tenancy.registry import TenantRegistry
from otelwarden.tenancy.requests import IdentifyCaller, IncomingRequest, bearer_token, trusted_header
from otelwarden.tenancy.resolution import Tenancy
from otelwarden.tenancy.spans import TenantSpanProcessor
from otelwarden.tenancy.tokenconfig import TokenConfig
from otelwarden.tenancy.tokenkeys import read_keys
from otelwarden.tenancy.verdicts import Verdict

__all__ = [
    "QUARANTINED_ID",
    "ClaimedTenant",
    "DuplicateTenantError",
    "IdentifyCaller",
    "IncomingRequest",
    "InvalidTenantIdError",
    "QuarantineLogRecordExporter",
    "QuarantineMetricExporter",
    "QuarantineSpanExporter",
    "Tenancy",
    "TenancyConfig",
    "Tenant",
    "TenantASGIMiddleware",
    "TenantError",
    "TenantFileError",
    "TenantLogRecordProcessor",
    "TenantMeterProvider",
    "TenantMetricReader",
    "TenantPropagator",
    "TenantRegistry",
    "TenantSettings",
    "TenantSpanProcessor",
    "TenantStatus",
    "TenantWSGIMiddleware",
    "TokenConfig",
    "UnknownTenantError",
    "Verdict",
    "bearer_token",
    "get_tenant",
    "is_tenant_id",
    "keep_tenant_in_propagation",
    "read_keys",
    "set_tenant",
    "set_token",
    "tenant_to_mapping",
    "trusted_header",
    "use_tenant",
    "use_token",
]
