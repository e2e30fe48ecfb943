"""The tenants file: read with every fault at once, written with one tenant a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Final

from otelwarden.core import MAX_DOCUMENT, ConfigError, Fault, read_document, schema_faults
from otelwarden.tenancy.model import Tenant, TenantSettings, TenantStatus

_SCHEMA: Final = "tenants"


class _NotPlain(ValueError):
    """Raised when a JSON text needs the full reader, for a variable, a key given twice or a fault."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _NotPlain
    return mapping


def _constant(text: str) -> float:
    raise _NotPlain


def _float(text: str) -> float:
    if "." not in text:
        raise _NotPlain  # 1e5 is text in YAML 1.1
    return float(text)


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float).decode


def _plain_document(text: str) -> Any:
    """The document that a text is, if it is JSON, or has one tenant of JSON a line as the registry writes YAML.

    The YAML reader would answer the same, but takes 1 ms for each tenant.

    Raises:
        ValueError: it is neither.
    """
    if "$" in text or len(text) > MAX_DOCUMENT:
        raise _NotPlain
    head, _, rest = text.partition("\n")
    if head != "tenants:":
        return _decode(text)
    lines = rest.splitlines()
    if not lines or not all(line.startswith("- {") for line in lines):
        raise _NotPlain
    return {"tenants": [_decode(line[2:]) for line in lines]}


def read_tenants_document(path: Path) -> Any:
    """The document in a tenants file.

    Raises:
        ConfigError: it cannot be read or is malformed.
    """
    try:
        return _plain_document(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return read_document(path)  # says what is wrong with it, or resolves its variables


class TenantsReader:
    """Makes tenants of a document, and remembers them, so that a reload validates only the entries that changed.

    Args:
        file: named in errors.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._known: dict[str, tuple[Any, Tenant]] = {}

    def tenants(self, document: Any) -> dict[str, Tenant]:
        """The tenants by id, in the order of the file.

        Raises:
            ConfigError: with everything that is wrong with the document.
        """
        entries = document.get("tenants") if isinstance(document, dict) else None
        outside = {**document, "tenants": []} if isinstance(entries, list) else document
        faults = schema_faults(outside, _SCHEMA, file=self._file)
        seen: dict[str, tuple[Any, Tenant]] = {}
        first: dict[str, int] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            identifier = entry.get("id") if isinstance(entry, dict) else None
            if isinstance(identifier, str):
                if identifier in first:
                    faults.append(self._fault(index, f"id is taken by /tenants/{first[identifier]}", identifier))
                first.setdefault(identifier, index)
            tenant, wrong = self._tenant(entry, index)
            faults += wrong
            if tenant is not None:
                seen[tenant.id] = (entry, tenant)
        if faults:
            raise ConfigError(faults)
        self._known = seen
        return {identifier: tenant for identifier, (_, tenant) in seen.items()}

    def _fault(self, index: int, message: str, given: object, allowed: str = "", key: str = "id") -> Fault:
        return Fault(file=self._file, pointer=f"/tenants/{index}/{key}", message=message, given=given, allowed=allowed)

    def _tenant(self, entry: Any, index: int) -> tuple[Tenant | None, list[Fault]]:
        known = self._known.get(entry["id"]) if isinstance(entry, dict) and isinstance(entry.get("id"), str) else None
        if known is not None and known[0] == entry:
            return known[1], []
        plain = _with_times_as_text(entry)
        faults = [
            Fault(
                file=self._file,
                pointer=fault.pointer.replace("/tenants/0", f"/tenants/{index}", 1),
                message=fault.message,
                # Headers are credentials: an error does not quote them.
                given=None if fault.pointer.startswith("/tenants/0/settings/headers") else fault.given,
                allowed=fault.allowed,
            )
            for fault in schema_faults({"tenants": [plain]}, _SCHEMA)
        ]
        if faults:
            return None, faults
        try:
            json.dumps(plain, allow_nan=False)
        except ValueError:
            return None, [self._fault(index, "a number that is not finite", None, key="settings")]
        wrong = [key for key in ("created_at", "updated_at") if key in plain and not _is_moment(plain[key])]
        if wrong:
            return None, [self._fault(index, "not a moment in time", plain[key], key=key) for key in wrong]
        return tenant_from_mapping(plain), []


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


def tenant_from_mapping(entry: Mapping[str, Any]) -> Tenant:
    """The tenant that an entry describes, which must be valid."""
    settings = entry.get("settings", {})
    return Tenant(
        id=entry["id"],
        name=entry["name"],
        domain=entry.get("domain", ""),
        status=TenantStatus(entry.get("status", "active")),
        status_reason=entry.get("status_reason", ""),
        created_at=_moment(entry.get("created_at")),
        updated_at=_moment(entry.get("updated_at")),
        settings=TenantSettings(
            limits=settings.get("limits", {}),
            attributes=settings.get("attributes", {}),
            region=settings.get("region"),
            destinations=settings.get("destinations"),
            headers=settings.get("headers", {}),
        ),
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
    own = tenant.settings
    settings: dict[str, Any] = {
        key: _plain(part)
        for key, part in (("limits", own.limits), ("attributes", own.attributes), ("headers", own.headers))
        if part
    }
    if own.region is not None:
        settings["region"] = own.region
    if own.destinations is not None:
        settings["destinations"] = list(own.destinations)
    if settings:
        entry["settings"] = settings
    return entry


def _plain(value: Any) -> Any:
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def check_tenant(tenant: Tenant) -> None:
    """Refuses a tenant that could not stand in a file.

    Raises:
        ConfigError: with everything that is wrong with it; pointers start at `/tenants/0`.
    """
    TenantsReader("").tenants({"tenants": [tenant_to_mapping(tenant)]})


def _json(value: Any) -> str:
    """JSON that is YAML 1.1 too, with the same meaning."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(key)}: {_json(inner)}" for key, inner in value.items()) + "}"
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "." not in text:
        return text.replace("e", ".0e")  # 1e+16 would be text
    if text.isprintable():
        return text
    # Both know \\uXXXX. Beyond the basic plane YAML would read a surrogate pair as two characters, but both take any.
    return "".join(c if c.isprintable() or c > "\uffff" else f"\\u{ord(c):04x}" for c in text)


def _line(tenant: Tenant) -> str:
    return _json(tenant_to_mapping(tenant)).replace("$", "$$")


def document_text(tenants: Iterable[Tenant], *, as_json: bool) -> str:
    """The text of a tenants file, JSON or YAML. Either way a tenant is one line of JSON, which is YAML too."""
    lines = [_line(tenant) for tenant in tenants]
    if as_json:
        return '{"tenants": [\n' + ",\n".join(lines) + "\n]}\n"
    return "tenants:" + ("".join(f"\n- {line}" for line in lines) if lines else " []") + "\n"
