"""What becomes of a tenant's telemetry, judged once for each tenant and version of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.core import NO_ATTRIBUTES, SIGNALS, Drop, Signal
from otelwarden.tenancy.config import QUARANTINED_ID, Action, TenancyConfig
from otelwarden.tenancy.ids import INVALID, MISSING, UNKNOWN, ClaimedTenant, is_tenant_id
from otelwarden.tenancy.model import Tenant, TenantSettings
from otelwarden.tenancy.store import Snapshot

UNKNOWN_TENANT: Final = Drop("unknown_tenant")
SIGNAL_NOT_ALLOWED: Final = Drop("signal_not_allowed")
INVALID_TENANT: Final = Drop("invalid_tenant")
MISSING_TENANT: Final = Drop("missing_tenant")
DROPS_BY_STATUS: Final = {
    "active": Drop("tenant_active"),
    "pending": Drop("tenant_pending"),
    "suspended": Drop("tenant_suspended"),
    "inactive": Drop("tenant_inactive"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of telemetry."""

    action: Action
    """`pass`, `quarantine` or `reject`."""
    tenant: str
    """Whose it is from here on; of what is rejected, on whose account."""
    reason: str
    """Why it is quarantined or rejected: `unknown_tenant`, `invalid_tenant`, `missing_tenant`, `tenant_suspended` ...;
    empty where it passes."""
    drop: Drop | None
    """The answer of a stage that rejects; None for the others."""
    tags: Mapping[str, Any]
    """The attributes that spans and log records leave with; empty where they are rejected."""
    measured: str
    """The tenant that a measurement is tagged with: the claimed one if it is registered, since the metric reader judges
    it again at each export; else `tenant`, so that made-up ids make no series."""
    passes_bare: bool = False
    """Whether it passes as the tenant that it was named for, with the tag and nothing else stamped, in any signal."""
    signals: tuple[Signal, ...] = SIGNALS
    """What the tenant may send."""

    def bars(self, signal: Signal) -> Drop | None:
        """Why telemetry of this signal is rejected; None if it is not."""
        return self.drop if self.drop is not None or signal in self.signals else SIGNAL_NOT_ALLOWED


class Verdicts(dict[str, Verdict]):
    """The verdicts on the tenants of one snapshot, made when first asked for. Indexing it takes no lock.

    Only those on registered tenants are kept, so that a flood of made-up ids takes no memory.
    """

    def __init__(self, snapshot: Snapshot, config: TenancyConfig) -> None:
        super().__init__()
        self.snapshot = snapshot
        self._config = config

    def __missing__(self, tenant: str) -> Verdict:
        ours = (self._config.default_tenant, self._config.quarantine_tenant)
        if tenant in self.snapshot.tenants or tenant not in ours:
            return self.on_claim(tenant)
        verdict = self[tenant] = self._passing(tenant)
        return verdict

    def on_claim(self, claim: str) -> Verdict:
        """The verdict on what names `claim`, which may be any text.

        Naming the default tenant or that of quarantine is worth nothing: unless registered, they are as unknown as any.
        """
        tenant = self.snapshot.tenants.get(claim)
        if tenant is not None:
            known = self.get(claim)
            if known is None:
                known = self[claim] = self._on_registered(tenant)
            return known
        if not is_tenant_id(claim):
            return self._on_unknown(INVALID, INVALID_TENANT, INVALID)
        return self._on_unknown(claim, UNKNOWN_TENANT, UNKNOWN)

    def again(self, claimed: ClaimedTenant) -> Verdict:
        """The verdict, by this snapshot, on what `claimed` remembers."""
        return self.on_missing() if claimed.claim == MISSING else self.on_claim(claimed.claim)

    def on_missing(self) -> Verdict:
        """The verdict on what names no tenant."""
        if self._config.missing == "default":
            return self[self._config.default_tenant]
        return Verdict("reject", ClaimedTenant(MISSING, MISSING), MISSING_TENANT.reason, MISSING_TENANT, {}, MISSING)

    def _on_registered(self, tenant: Tenant) -> Verdict:
        action = self._config.statuses[tenant.status]
        drop = DROPS_BY_STATUS[tenant.status.value]
        if action == "reject":
            return Verdict("reject", tenant.id, drop.reason, drop, {}, tenant.id)
        stamps = {
            f"tenant.{key}": value
            for key in self._config.stamp
            if (value := tenant.settings.attributes.get(key, _of_settings(tenant.settings, key))) is not None
        }
        signals = tenant.settings.signals or SIGNALS
        if action == "quarantine":
            return self._quarantined(tenant.id, drop.reason, stamps, measured=tenant.id, signals=signals)
        return self._passing(tenant.id, stamps, signals)

    def _on_unknown(self, claim: str, drop: Drop, account: str) -> Verdict:
        action = self._config.unknown
        if action == "quarantine":
            return self._quarantined(claim, drop.reason, {}, measured=self._config.quarantine_tenant)
        if action == "reject":
            return Verdict("reject", ClaimedTenant(account, claim), drop.reason, drop, {}, account)
        if claim == INVALID:
            return self[self._config.default_tenant]
        return self._passing(claim)

    def _passing(
        self,
        tenant: str,
        stamps: Mapping[str, Any] = NO_ATTRIBUTES,
        signals: tuple[Signal, ...] = SIGNALS,
    ) -> Verdict:
        tags = {self._config.attribute: tenant, **stamps}
        bare = not stamps and len(signals) == len(SIGNALS)
        return Verdict("pass", tenant, "", None, tags, tenant, bare, signals)

    def _quarantined(
        self,
        claim: str,
        reason: str,
        stamps: Mapping[str, Any],
        *,
        measured: str,
        signals: tuple[Signal, ...] = SIGNALS,
    ) -> Verdict:
        quarantine = self._config.quarantine_tenant
        tags: dict[str, Any] = {self._config.attribute: quarantine, **stamps}
        if claim != INVALID:
            tags[QUARANTINED_ID] = claim
        return Verdict("quarantine", ClaimedTenant(quarantine, claim), reason, None, tags, measured, False, signals)


def _of_settings(settings: TenantSettings, key: str) -> str | None:
    """The settings that can be stamped beside the attributes; one of those may have the same name."""
    return {"plan": settings.plan, "region": settings.region, "retention": settings.retention}.get(key)
