"""What the registry raises into code that manages tenants, never into a running application.

OtelwardenError
└── TenantError
    ├── InvalidTenantIdError
    ├── DuplicateTenantError
    ├── UnknownTenantError
    └── TenantFileError
"""

from __future__ import annotations

from otelwarden.core import OtelwardenError


class TenantError(OtelwardenError):
    """Raised when the tenant registry cannot do what it was asked to; the root of its errors."""


class InvalidTenantIdError(TenantError):
    """Raised when something is given for a tenant id that cannot be one."""


class DuplicateTenantError(TenantError):
    """Raised when a tenant is created whose id is taken."""


class UnknownTenantError(TenantError):
    """Raised when a tenant is asked for, changed or deleted that is not registered."""


class TenantFileError(TenantError):
    """Raised when a change is refused because the tenants file has vanished, is bad or cannot be written.

    Neither the file nor the registry is changed.
    """
