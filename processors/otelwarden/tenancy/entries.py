"""Tenants as entries of a document: what a good one looks like, and back."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime, timezone
from functools import cache
from hashlib import blake2b
from typing import Any, Final

from otelwarden.core import ConfigError, Fault, schema_faults
from otelwarden.schemas import acceptor
from otelwarden.tenancy.model import NO_SETTINGS, Tenant, TenantSettings, TenantStatus

_SCHEMA: Final = "tenants"
_SETTINGS: Final = tuple(each.name for each in fields(TenantSettings))
_accepts_tenant: Final = acceptor(_SCHEMA, "tenant")


class TenantsReader:
    """Makes tenants of a document, and remembers them, so that a reload validates only the entries that changed.

    Args:
        file: named in errors.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._known: dict[str, tuple[bytes, Tenant]] = {}
        self._shared: dict[str, TenantSettings] = {}

    def tenants(self, document: Any) -> dict[str, Tenant]:
        """The tenants by id, in the order of the file.

        Raises:
            ConfigError: with everything that is wrong with the document.
        """
        entries = document.get("tenants") if isinstance(document, dict) else None
        outside = {**document, "tenants": []} if isinstance(entries, list) else document
        faults = schema_faults(outside, _SCHEMA, file=self._file)
        self._shared.clear()
        seen: dict[str, tuple[bytes, Tenant]] = {}
        first: dict[str, int] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            identifier = entry.get("id") if isinstance(entry, dict) else None
            if isinstance(identifier, str):
                if identifier in first:
                    faults.append(self._fault(index, f"id is taken by /tenants/{first[identifier]}", identifier))
                first.setdefault(identifier, index)
            # By text, since True == 1; and a digest of it, as the entries themselves would take twice the memory.
            digest = blake2b(repr(entry).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            known = self._known.get(identifier) if isinstance(identifier, str) else None
            if known is None or known[0] != digest:
                tenant, wrong = self._tenant(entry, index)
                faults += wrong
                if tenant is None:
                    continue
                known = digest, tenant
            seen[known[1].id] = known
        if faults:
            raise ConfigError(faults)
        self._known = seen
        self._shared.clear()
        return {identifier: tenant for identifier, (_, tenant) in seen.items()}

    def _fault(self, index: int, message: str, given: object, allowed: str = "", key: str = "id") -> Fault:
        return Fault(file=self._file, pointer=f"/tenants/{index}/{key}", message=message, given=given, allowed=allowed)

    def _tenant(self, entry: Any, index: int) -> tuple[Tenant | None, list[Fault]]:
        plain = _with_times_as_text(entry)
        if not _accepts_tenant(plain) and (faults := self._violations(plain, index)):
            return None, faults
        try:
            json.dumps(plain, allow_nan=False)
        except ValueError:
            return None, [self._fault(index, "a number that is not finite", None, key="settings")]
        wrong = [key for key in ("created_at", "updated_at") if key in plain and not _is_moment(plain[key])]
        if wrong:
            return None, [self._fault(index, "not a moment in time", plain[key], key=key) for key in wrong]
        headers = list(map(str.lower, plain.get("settings", {}).get("headers", ())))
        if len(set(headers)) < len(headers):
            twice = next(name for name in headers if headers.count(name) > 1)
            return None, [self._fault(index, "a header is given twice", twice, key="settings/headers")]
        zone = plain.get("settings", {}).get("time_zone")
        if zone is not None and not _is_time_zone(zone):
            allowed = "an IANA name such as Europe/Berlin"
            return None, [self._fault(index, "no such time zone", zone, allowed, key="settings/time_zone")]
        # Thousands of tenants have a few sets of settings between them, which take most of the memory.
        settings = plain.get("settings")
        shared = self._shared.setdefault(repr(settings), TenantSettings(**settings)) if settings else NO_SETTINGS
        return tenant_from_mapping(plain, shared), []

    def _violations(self, entry: Any, index: int) -> list[Fault]:
        return [
            Fault(
                file=self._file,
                pointer=fault.pointer.replace("/tenants/0", f"/tenants/{index}", 1),
                message=fault.message,
                given=fault.given,
                allowed=fault.allowed,
            )
            for fault in schema_faults({"tenants": [entry]}, _SCHEMA)
        ]


def _with_times_as_text(entry: Any) -> Any:
    """`entry` with the moments that YAML made of unquoted timestamps as text again."""
    if not isinstance(entry, dict):
        return entry
    return {
        key: _moment_text(value) if isinstance(value, date) and key.endswith("_at") else value
        for key, value in entry.items()
    }


def _moment_text(value: date) -> str:
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    # YAML 1.1: "if the time zone is omitted, the timestamp is assumed to be specified in UTC".
    moment = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _is_moment(text: str) -> bool:
    try:
        _moment(text)
    except (ValueError, OverflowError):
        return False
    return True


@cache
def _is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def tenant_from_mapping(entry: Mapping[str, Any], settings: TenantSettings) -> Tenant:
    """The tenant that an entry describes, which must be valid, with the settings made of what stands there."""
    return Tenant(
        id=entry["id"],
        name=entry["name"],
        domain=entry.get("domain", ""),
        status=TenantStatus(entry.get("status", "active")),
        status_reason=entry.get("status_reason", ""),
        created_at=_moment(entry.get("created_at")),
        updated_at=_moment(entry.get("updated_at")),
        updated_by=entry.get("updated_by", ""),
        settings=settings,
    )


def tenant_to_mapping(tenant: Tenant) -> dict[str, Any]:
    """The entry that describes a tenant, without what is at its default."""
    entry: dict[str, Any] = {"id": tenant.id, "name": tenant.name}
    if tenant.domain:
        entry["domain"] = tenant.domain
    entry["status"] = TenantStatus(tenant.status).value
    if tenant.status_reason:
        entry["status_reason"] = tenant.status_reason
    for key, moment in (("created_at", tenant.created_at), ("updated_at", tenant.updated_at)):
        if moment is not None:
            entry[key] = _moment_text(moment)
    if tenant.updated_by:
        entry["updated_by"] = tenant.updated_by
    settings = {
        name: _plain(value)
        for name in _SETTINGS
        if (value := getattr(tenant.settings, name)) != getattr(NO_SETTINGS, name)
    }
    if settings:
        entry["settings"] = settings
    return entry


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def check_tenant(tenant: Tenant) -> None:
    """Refuses a tenant that could not stand in a file.

    Raises:
        ConfigError: with everything that is wrong with it; pointers start at `/tenants/0`.
    """
    TenantsReader("").tenants({"tenants": [tenant_to_mapping(tenant)]})


def check_reason(reason: str, actor: str = "") -> None:
    """Refuses what could not be the reason or the actor of a change.

    Raises:
        ConfigError: with everything that is wrong with them.
    """
    check_tenant(Tenant(id="any", name="any", status_reason=reason, updated_by=actor))
