"""The tenants that are known, and their life cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from otelwarden.core import TenantRouting
from otelwarden.tenancy.document import check_tenant
from otelwarden.tenancy.errors import DuplicateTenantError, UnknownTenantError
from otelwarden.tenancy.model import Tenant, TenantSettings, TenantStatus
from otelwarden.tenancy.store import VERBS, TenantStore


class TenantRegistry(TenantStore):
    """The known tenants, in memory or in a file; any thread may call it.

    With a file, the file is the truth: a change by anybody is taken over within a second of it (`watch`), the last good
    version stays in force while the file is bad or gone, and a change through these methods is written to it at once.
    Such a change first takes over what others wrote, and is refused while the file is bad or gone: it would destroy
    what somebody is about to repair. It rewrites the file, so comments are lost and variables replaced by their values.

    Args:
        path: a YAML or JSON file as `tenants.schema.json` describes it, which must exist; None keeps tenants in memory.

    Raises:
        ConfigError: the file cannot be read, or anything in it is wrong.
    """

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self.snapshot.generation

    def get(self, tenant_id: str) -> Tenant:
        """The tenant.

        Raises:
            UnknownTenantError: it is not registered.
        """
        return self._known(self.snapshot.tenants, tenant_id)

    def list(self, status: TenantStatus | None = None) -> Sequence[Tenant]:
        """All tenants, or those of one status, in the order of their creation or of the file."""
        return [t for t in self.snapshot.tenants.values() if status is None or t.status is status]

    def stats(self) -> Mapping[str, int]:
        """How many tenants there are: `total`, and for each status, `active`, `suspended`, `inactive`, `pending`."""
        counts = Counter(tenant.status for tenant in self.snapshot.tenants.values())
        return {"total": sum(counts.values()), **{status.value: counts[status] for status in TenantStatus}}

    def limits(self, tenant: str) -> Mapping[str, Any] | None:
        """The limits in the tenant's settings, as written; None for one without any, or that is not registered.

        Whoever asks wants them kept up to date: the file is watched from now on.
        """
        known = self._watched(tenant)
        return (known.settings.limits or None) if known is not None else None

    def routing(self, tenant: str) -> TenantRouting | None:
        """Where the tenant's telemetry may go, as its settings say; None for one that is not registered.

        Whoever asks wants it kept up to date: the file is watched from now on.
        """
        known = self._watched(tenant)
        if known is None:
            return None
        own = known.settings
        allowed = None if own.destinations is None else frozenset(own.destinations)
        return TenantRouting(own.region, allowed, own.headers)

    def _watched(self, tenant: str) -> Tenant | None:
        if not self._watcher.started:
            self.watch()
        return self.snapshot.tenants.get(tenant)

    def create(
        self,
        tenant_id: str,
        name: str,
        *,
        domain: str = "",
        status: TenantStatus = TenantStatus.ACTIVE,
        settings: TenantSettings | None = None,
    ) -> Tenant:
        """Registers a tenant.

        Raises:
            InvalidTenantIdError: the id cannot be one.
            DuplicateTenantError: the id is taken.
            ConfigError: another argument is not allowed by `tenants.schema.json`.
            TenantFileError: see the class.
        """
        now = self._now()
        tenant = Tenant(
            id=tenant_id,
            name=name,
            domain=domain,
            status=TenantStatus(status),
            created_at=now,
            updated_at=now,
            settings=settings or TenantSettings(),
        )
        check_tenant(tenant)
        with self._changing() as tenants:
            if tenant_id in tenants:
                raise DuplicateTenantError(f"tenant {tenant_id!r} is registered already")
            tenants[tenant_id] = tenant
        self._emit("create", "api", tenant=tenant_id)
        return tenant

    def update(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        domain: str | None = None,
        settings: TenantSettings | None = None,
    ) -> Tenant:
        """Changes what is given, as a whole; the status has methods of its own.

        Raises:
            UnknownTenantError: it is not registered.
            ConfigError: an argument is not allowed by `tenants.schema.json`.
            TenantFileError: see the class.
        """
        given = {"name": name, "domain": domain, "settings": settings}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return self._replace(tenant_id, "update", "api", lambda tenant: replace(tenant, **changes))

    def suspend(self, tenant_id: str, reason: str) -> Tenant:
        """Suspends a tenant.

        Args:
            reason: a word such as `unpaid` or `abuse`, kept with the tenant and told to observers.

        Raises:
            UnknownTenantError: it is not registered.
            ConfigError: the reason is no such word.
            TenantFileError: see the class.
        """
        return self._set_status(tenant_id, TenantStatus.SUSPENDED, reason)

    def activate(self, tenant_id: str) -> Tenant:
        """Makes a tenant active; raises as `suspend` does."""
        return self._set_status(tenant_id, TenantStatus.ACTIVE)

    def deactivate(self, tenant_id: str) -> Tenant:
        """Makes a tenant inactive; raises as `suspend` does."""
        return self._set_status(tenant_id, TenantStatus.INACTIVE)

    def delete(self, tenant_id: str) -> None:
        """Forgets a tenant: from now on its id is unknown.

        Raises:
            UnknownTenantError: it is not registered.
            TenantFileError: see the class.
        """
        with self._changing() as tenants:
            self._known(tenants, tenant_id)
            del tenants[tenant_id]
        self._emit("delete", "api", tenant=tenant_id)

    def _set_status(self, tenant_id: str, status: TenantStatus, reason: str = "") -> Tenant:
        def change(tenant: Tenant) -> Tenant:
            return replace(tenant, status=status, status_reason=reason)

        return self._replace(tenant_id, VERBS[status], reason or "api", change)

    def _replace(self, tenant_id: str, action: str, reason: str, change: Callable[[Tenant], Tenant]) -> Tenant:
        with self._changing() as tenants:
            old = self._known(tenants, tenant_id)
            new = change(old)
            check_tenant(new)
            if new == old:
                return old
            new = tenants[tenant_id] = replace(new, updated_at=self._now())
        self._emit(action, reason, tenant=tenant_id)
        return new

    @staticmethod
    def _known(tenants: Mapping[str, Tenant], tenant_id: str) -> Tenant:
        try:
            return tenants[tenant_id]
        except (KeyError, TypeError):
            raise UnknownTenantError(f"no tenant is registered as {tenant_id!r:.200}") from None

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._time_ns() / 1e9, tz=timezone.utc)
