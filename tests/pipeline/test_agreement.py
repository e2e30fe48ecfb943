"""Schema and dataclass say the same: every option, and every default that can be written in a file."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from otelwarden.audit import AuditConfig
from otelwarden.compliance import ComplianceConfig
from otelwarden.core import BatchConfig, parse_bytes, parse_duration, schema_faults
from otelwarden.failover import FailoverConfig
from otelwarden.failover.headers import header_faults
from otelwarden.quota import QuotaConfig
from otelwarden.redaction import RedactionConfig
from otelwarden.schemas import load_schema, schema_names
from otelwarden.tenancy import TenancyConfig

CONFIGS: list[tuple[str, Any]] = [
    ("tenancy", TenancyConfig),
    ("quota", QuotaConfig),
    ("redaction", RedactionConfig),
    ("audit", AuditConfig),
    ("failover", FailoverConfig),
    ("batch", BatchConfig),
    ("compliance", ComplianceConfig),
]


def as_written(value: Any) -> Any:
    """A default of a dataclass as a file would have it."""
    if isinstance(value, tuple):
        return [as_written(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {name: as_written(each) for name, each in fields.items() if each is not None}
    if hasattr(value, "items"):
        return {getattr(key, "value", key): as_written(each) for key, each in value.items()}
    return value


def same(written: Any, default: Any) -> bool:
    """Whether a default of a schema, perhaps with a unit, is a default of a dataclass."""
    if written == default:
        return True
    if isinstance(written, str) and isinstance(default, (int, float)):
        for parse in (parse_duration, parse_bytes):
            try:
                if parse(written) == default:
                    return True
            except Exception:  # not of this kind
                continue
    return False


@pytest.mark.parametrize(("name", "config"), CONFIGS, ids=[name for name, _ in CONFIGS])
def test_options_are_the_same(name: str, config: Any) -> None:
    assert set(load_schema(name)["properties"]) == {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize(("name", "config"), CONFIGS, ids=[name for name, _ in CONFIGS])
def test_defaults_are_the_same(name: str, config: Any) -> None:
    defaults = config()
    for option, schema in load_schema(name)["properties"].items():
        if "default" in schema:
            default = as_written(getattr(defaults, option))
            assert same(schema["default"], default), f"{name}.{option}: {schema['default']} and {default}"


@pytest.mark.parametrize(("name", "config"), CONFIGS, ids=[name for name, _ in CONFIGS])
def test_every_option_is_described(name: str, config: Any) -> None:
    for option, schema in load_schema(name)["properties"].items():
        assert schema.get("description"), f"{name}.{option} has no description"


def test_every_schema_has_an_identity() -> None:
    for name in schema_names():
        assert load_schema(name).get("$schema") == "https://json-schema.org/draft/2020-12/schema"


HEADERS = ["te", "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "grpc-timeout"]
HEADERS += ["trace-bin", "te-x", "hostname", "x-content-type", "binary", "x.bin", "x_org", "authorization"]


@pytest.mark.parametrize("name", [spelling for name in HEADERS for spelling in (name, name.upper(), name.title())])
def test_a_header_of_a_tenant_is_refused_at_load_or_can_be_sent(name: str) -> None:
    document = {"tenants": [{"id": "a", "name": "A", "settings": {"headers": {name: "value"}}}]}
    assert bool(schema_faults(document, "tenants")) is bool(list(header_faults({name: "value"}, grpc=True)))
