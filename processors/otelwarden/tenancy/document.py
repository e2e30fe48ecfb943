"""The tenants file: read with every fault at once, written with one tenant a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from otelwarden.core import MAX_DOCUMENT, read_document
from otelwarden.tenancy.entries import tenant_to_mapping
from otelwarden.tenancy.model import Tenant


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
