"""The tenants that are known, and their life cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from otelwarden.tenancy.directory import RegistryDirectory
from otelwarden.tenancy.entries import check_reason, check_tenant
from otelwarden.tenancy.errors import DuplicateTenantError, UnknownTenantError
from otelwarden.tenancy.model import NO_SETTINGS, Tenant, TenantSettings, TenantStatus
from otelwarden.tenancy.store import VERBS


class TenantRegistry(RegistryDirectory):
    """The known tenants, in memory or in a file; any thread may call it.

    With a file, the file is the truth: a change by anybody is taken over within a second of it (`watch`), the last good
    version stays in force while the file is bad or gone, and a change through these methods is written to it at once.
    Such a change first takes over what others wrote, and is refused while the file is bad or gone: it would destroy
    what somebody is about to repair. It rewrites the file, so comments are lost and variables replaced by their values.

    Every change is told as an event, whoever made it. The methods that make one take a `reason`, a word such as
    `unpaid`, and an `actor`, as `user:<id>` or `service:<id>`; both are told, the reason of a status and the actor are
    kept with the tenant, so that the other processes that read the file can tell them too.

    Args:
        path: a YAML or JSON file as `tenants.schema.json` describes it, which must exist; None keeps tenants in memory.

    Raises:
        ConfigError: the file cannot be read, or anything in it is wrong.
    """

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

    def create(
        self,
        tenant_id: str,
        name: str,
        *,
        domain: str = "",
        status: TenantStatus = TenantStatus.ACTIVE,
        settings: TenantSettings | None = None,
        reason: str = "",
        actor: str = "",
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
            status_reason=reason,
            created_at=now,
            updated_at=now,
            updated_by=actor,
            settings=settings or NO_SETTINGS,
        )
        check_tenant(tenant)
        with self._changing() as tenants:
            if tenant_id in tenants:
                raise DuplicateTenantError(f"tenant {tenant_id!r} is registered already")
            tenants[tenant_id] = tenant
        self._emit("create", reason or "api", tenant=tenant_id, actor=actor)
        return tenant

    def update(
        self,
        tenant_id: str,
        *,
        name: str | None = None,
        domain: str | None = None,
        settings: TenantSettings | None = None,
        reason: str = "",
        actor: str = "",
    ) -> Tenant:
        """Changes what is given, as a whole; the status has methods of its own.

        Raises:
            UnknownTenantError: it is not registered.
            ConfigError: an argument is not allowed by `tenants.schema.json`.
            TenantFileError: see the class.
        """
        given = {"name": name, "domain": domain, "settings": settings}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return self._replace(tenant_id, "update", reason, actor, changes)

    def suspend(self, tenant_id: str, reason: str, *, actor: str = "") -> Tenant:
        """Suspends a tenant: within a second nothing of it leaves any process that reads the file.

        Raises:
            UnknownTenantError: it is not registered.
            ConfigError: the reason is no such word, or the actor none.
            TenantFileError: see the class.
        """
        return self._set_status(tenant_id, TenantStatus.SUSPENDED, reason, actor)

    def activate(self, tenant_id: str, reason: str = "", *, actor: str = "") -> Tenant:
        """Makes a tenant active; raises as `suspend` does."""
        return self._set_status(tenant_id, TenantStatus.ACTIVE, reason, actor)

    def deactivate(self, tenant_id: str, reason: str = "", *, actor: str = "") -> Tenant:
        """Makes a tenant inactive; raises as `suspend` does."""
        return self._set_status(tenant_id, TenantStatus.INACTIVE, reason, actor)

    def delete(self, tenant_id: str, reason: str = "", *, actor: str = "") -> None:
        """Forgets a tenant: from now on its id is unknown.

        Raises:
            UnknownTenantError: it is not registered.
            ConfigError: the reason is no such word, or the actor none.
            TenantFileError: see the class.
        """
        check_reason(reason, actor)
        with self._changing() as tenants:
            self._known(tenants, tenant_id)
            del tenants[tenant_id]
        self._emit("delete", reason or "api", tenant=tenant_id, actor=actor)

    def _set_status(self, tenant_id: str, status: TenantStatus, reason: str, actor: str) -> Tenant:
        return self._replace(tenant_id, VERBS[status], reason, actor, {"status": status, "status_reason": reason})

    def _replace(self, tenant_id: str, action: str, reason: str, actor: str, changes: Mapping[str, Any]) -> Tenant:
        check_reason(reason, actor)
        with self._changing() as tenants:
            old = self._known(tenants, tenant_id)
            new = replace(old, **changes)
            if new == old:
                return old
            new = replace(new, updated_at=self._now(), updated_by=actor)
            check_tenant(new)
            tenants[tenant_id] = new
        self._emit(action, reason or "api", tenant=tenant_id, actor=actor)
        return new

    @staticmethod
    def _known(tenants: Mapping[str, Tenant], tenant_id: str) -> Tenant:
        try:
            return tenants[tenant_id]
        except (KeyError, TypeError):
            raise UnknownTenantError(f"no tenant is registered as {tenant_id!r:.200}") from None

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._time_ns() / 1e9, tz=timezone.utc)
