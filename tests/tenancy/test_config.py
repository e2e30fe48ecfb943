"""Configuration: every option, agreement with the schema, faults."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import otelwarden.tenancy
from otelwarden.core import ConfigError, Runtime, parse_duration, read_document
from otelwarden.schemas import load_schema
from otelwarden.tenancy import Tenancy, TenancyConfig, TenantRegistry, TenantSpanProcessor, TenantStatus, TokenConfig

TOKEN = {"algorithms": ["ES256"], "issuer": "https://issuer.example", "audience": "shop", "jwks_file": "keys.json"}


def plain(value):
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "items"):
        return {key.value: action for key, action in value.items()}
    return value


def test_schema_and_dataclass_agree():
    properties = load_schema("tenancy")["properties"]
    config = TenancyConfig()
    assert list(properties) == [each.name for each in fields(TenancyConfig)]
    for name, schema in properties.items():
        default = parse_duration(schema["default"]) if name == "reload_interval" else schema["default"]
        assert plain(getattr(config, name)) == default, name
        assert schema["description"]


def test_every_option_is_read():
    config = TenancyConfig.from_mapping(read_document(Path(__file__).parent / "config.yaml"))
    assert config == TenancyConfig(
        sources=("attribute", "resource", "baggage", "context", "token"),
        token=TokenConfig(
            algorithms=("HS256",),
            issuer="https://issuer.example",
            audience="shop",
            tenant_claim=("org", "tenant"),
            secret_env="TOKEN_SECRET",
            leeway=5.0,
            max_bytes=4096,
            max_cached=100,
        ),
        missing="reject",
        default_tenant="nobody",
        unknown="quarantine",
        quarantine_tenant="jail",
        quarantine_exporter="failover/quarantine",
        statuses={
            TenantStatus.ACTIVE: "pass",
            TenantStatus.PENDING: "pass",
            TenantStatus.SUSPENDED: "quarantine",
            TenantStatus.INACTIVE: "quarantine",
        },
        attribute="org.id",
        baggage_key="org",
        resource_key="service.owner",
        attribute_key="enduser.org",
        stamp=("plan", "region"),
        reload_interval=0.25,
    )
    default = TenancyConfig()
    assert all(getattr(config, f.name) != getattr(default, f.name) for f in fields(config))


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"source": ["context"]}, ["/source"]),
        ({"sources": []}, ["/sources"]),
        ({"sources": ["context", "context"]}, ["/sources"]),
        ({"sources": ["cookie"]}, ["/sources/0"]),
        ({"sources": ["token"]}, ["/sources"]),
        ({"token": TOKEN}, ["/sources"]),
        ({"sources": ["token"], "token": {}}, ["/token"] * 3),
        ({"sources": ["token"], "token": {**TOKEN, "secret": "s"}}, ["/token/secret"]),
        ({"sources": ["token"], "token": {**TOKEN, "algorithms": ["none"]}}, ["/token/algorithms/0"]),
        ({"sources": ["token"], "token": {**TOKEN, "algorithms": ["HS256"]}}, ["/token/algorithms"]),
        ({"sources": ["token"], "token": {**TOKEN, "algorithms": ["RS256", "HS256"]}}, ["/token/algorithms"]),
        ({"sources": ["token"], "token": {**TOKEN, "secret_env": "SECRET"}}, ["/token"]),
        ({"sources": ["token"], "token": {**TOKEN, "jwks_file": None}}, ["/token"]),
        ({"sources": ["token"], "token": {**TOKEN, "leeway": "2h"}}, ["/token/leeway"]),
        ({"sources": ["token"], "token": {**TOKEN, "tenant_claim": []}}, ["/token/tenant_claim"]),
        (
            {"sources": ["token"], "token": {**TOKEN, "max_bytes": 10**6, "issuer": ""}},
            ["/token/issuer", "/token/max_bytes"],
        ),
        ({"missing": "pass", "unknown": "default"}, ["/missing", "/unknown"]),
        ({"default_tenant": "../x", "quarantine_tenant": ""}, ["/default_tenant", "/quarantine_tenant"]),
        ({"default_tenant": "a", "quarantine_tenant": "a"}, ["/quarantine_tenant"]),
        ({"statuses": {"dead": "pass", "active": "keep"}}, ["/statuses/active", "/statuses/dead"]),
        ({"attribute": "tenant.plan", "stamp": ["plan"]}, ["/attribute"]),
        ({"attribute": "tenant.quarantined_id"}, ["/attribute"]),
        ({"stamp": ["id"]}, ["/stamp/0"]),
        ({"baggage_key": "a\n", "resource_key": 5}, ["/baggage_key", "/resource_key"]),
        ({"reload_interval": 0}, ["/reload_interval"]),
        ({"reload_interval": "0s"}, ["/reload_interval"]),
        ({"reload_interval": "soon"}, ["/reload_interval"]),
    ],
)
def test_what_is_wrong_is_said_all_at_once(document, pointers):
    with pytest.raises(ConfigError) as refused:
        TenancyConfig.from_mapping(document, file="otelwarden.yaml", pointer="/processors/tenancy")
    assert sorted(f.pointer for f in refused.value.faults) == ["/processors/tenancy" + p for p in sorted(pointers)]
    assert all(f.file == "otelwarden.yaml" for f in refused.value.faults)


def test_the_constructor_refuses_the_same():
    for options in (
        {"sources": ("token",)},
        {"token": TokenConfig(**TOKEN)},
        {"unknown": "maybe"},
        {"reload_interval": 0},
        {"statuses": {"dead": "pass"}},
    ):
        with pytest.raises(ConfigError):
            TenancyConfig(**options)


def test_stages_want_one_registry_and_one_attribute(registry, runtime):
    from opentelemetry.sdk.trace import SpanProcessor

    tenancy = Tenancy(registry, runtime=runtime)
    with pytest.raises(ConfigError):
        TenantSpanProcessor(SpanProcessor())
    with pytest.raises(ConfigError):
        TenantSpanProcessor(SpanProcessor(), registry=registry, tenancy=tenancy)
    with pytest.raises(ConfigError, match="tenant_attribute"):
        Tenancy(registry, TenancyConfig(attribute="org.id"), runtime=runtime)
    Tenancy(registry, TenancyConfig(attribute="org.id"), runtime=Runtime(tenant_attribute="org.id"))


def test_what_is_exported_is_what_is_listed():
    names = {name for name in vars(otelwarden.tenancy) if not name.startswith("_")}
    modules = {p.stem for p in Path(otelwarden.tenancy.__file__).parent.glob("*.py")}
    assert sorted(names - modules) == sorted(otelwarden.tenancy.__all__)
    assert otelwarden.tenancy.__all__ == sorted(
        otelwarden.tenancy.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n)
    )


def test_a_registry_may_be_given_alone(registry):
    assert isinstance(registry, TenantRegistry)
