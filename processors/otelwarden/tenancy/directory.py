"""What other components may ask about a tenant: `TenantDirectory` and `TenantRouting` of `core`, over the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otelwarden.tenancy.model import NO_SETTINGS, TenantSettings
from otelwarden.tenancy.store import TenantStore


class RegistryDirectory(TenantStore):
    """Answers by the tenants in force; base of the registry.

    Whoever asks wants the answers kept up to date: with the first question the file begins to be watched.
    """

    def _settings(self, tenant: str) -> TenantSettings:
        if not self._watcher.started:
            self.watch()
        known = self.snapshot.tenants.get(tenant)
        return NO_SETTINGS if known is None else known.settings

    def knows(self, tenant: str) -> bool:
        """Whether the tenant is registered."""
        self._settings(tenant)
        return tenant in self.snapshot.tenants

    def limits(self, tenant: str) -> Mapping[str, Any] | None:
        """The limits in the tenant's settings, as written; None for one without any, or that is not registered."""
        return self._settings(tenant).limits or None

    def plan(self, tenant: str) -> str | None:
        """What the tenant booked; None for nothing."""
        return self._settings(tenant).plan

    def time_zone(self, tenant: str) -> str | None:
        """IANA name of the zone in which the tenant's days begin; None for UTC."""
        return self._settings(tenant).time_zone

    def region(self, tenant: str) -> str | None:
        """Where the tenant's telemetry must stay; None for anywhere."""
        return self._settings(tenant).region

    def destinations(self, tenant: str) -> Sequence[str] | None:
        """Names of the endpoints that the tenant's telemetry may be sent to; None for all."""
        return self._settings(tenant).destinations

    def headers(self, tenant: str) -> Mapping[str, str] | None:
        """Headers, or gRPC metadata, of requests with the tenant's telemetry; None for none."""
        return self._settings(tenant).headers or None
