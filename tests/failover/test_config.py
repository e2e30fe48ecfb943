"""Settings: the fixture shows every one, and what is refused says why, all of it at once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from otelwarden.core import ConfigError, parse_duration, schema_faults
from otelwarden.failover import (
    Endpoint,
    FailoverConfig,
    FailoverSpanExporter,
    HealthCheck,
    SpoolConfig,
    endpoint_of_environment,
    endpoints_of_environment,
)
from otelwarden.schemas import load_schema

MANUAL = yaml.safe_load(Path(__file__).with_name("config.yaml").read_text())


def test_every_option_is_read() -> None:
    settings = MANUAL["every_option"]
    assert schema_faults(settings, "failover") == []
    config = FailoverConfig.from_mapping(settings)
    assert set(settings) == {each.name for each in fields(FailoverConfig)}
    assert (config.max_queue_bytes, config.max_age, config.max_backoff) == (64 << 20, 600.0, 10.0)
    assert (config.failure_threshold, config.recovery_threshold) == (5, 3)
    assert (config.initial_backoff, config.shutdown_patience) == (1.0, 3.0)
    check = config.health_check
    assert check is not None
    assert set(settings["health_check"]) == {each.name for each in fields(HealthCheck)}
    assert (check.type, check.path, check.port, check.interval, check.timeout) == ("http", "/healthz", 13133, 2.0, 0.5)
    assert (check.failure_threshold, check.recovery_threshold, config.successes_to_recover) == (3, 4, 4)
    assert (config.selection, config.region) == ("weighted", "eu")
    assert (config.headers, config.residency) == ({"X-Scope-OrgID": "{tenant.id}"}, "prefer")
    assert (config.hedge_after, config.metrics_max_age) == ("p99", 120.0)
    assert (config.degraded_latency, config.degraded_failure_rate) == (0.75, 0.25)
    assert set(settings["spool"]) == {each.name for each in fields(SpoolConfig)}
    assert config.spool == SpoolConfig(
        path="./spool",
        max_bytes=2 << 30,
        max_age=2 * 86_400.0,
        fsync="each",
        fsync_interval=1.0,
        key_file="./spool.key",
        max_in_flight=8,
    )
    grpc, http, plain = config.endpoints
    assert (grpc.capacity, grpc.weight, grpc.region, grpc.capabilities) == (8, 2.5, "eu", ("traces", "logs"))
    assert set(settings["endpoints"][0]) | set(settings["endpoints"][1]) >= {each.name for each in fields(Endpoint)} - {
        "ca_file",
        "certificate_file",
        "key_file",  # those need files: test_tls
        "exporter",  # only in code: test_vendor
    }
    assert (grpc.name, grpc.label, http.label) == ("primary", "primary", "https://otlp-b.example")
    assert (grpc.protocol, grpc.headers, grpc.priority, grpc.timeout) == ("grpc", {"x-scope-orgid": "eu"}, 10, 2.5)
    assert (http.compression, http.url_for("traces")) == ("gzip", "https://otlp-b.example/custom/traces")
    assert http.url_for("logs") == "https://otlp-b.example/custom/logs"
    assert (plain.url, plain.protocol, plain.priority) == ("http://localhost:4317", "grpc", 2)


def test_schema_and_dataclasses_agree() -> None:
    schema = load_schema("failover")
    defaults = FailoverConfig()
    assert set(schema["properties"]) == {each.name for each in fields(FailoverConfig)}
    for name, each in schema["properties"].items():
        default, ours = each["default"], getattr(defaults, name)
        assert each["description"]
        if name in ("max_queue_bytes", "headers", "residency", "spool", "selection") or default is None:
            assert FailoverConfig.from_mapping({name: default}) == defaults
        else:
            assert ours == (parse_duration(default) if isinstance(default, str) else ours.__class__(default))
    spool = schema["$defs"]["spool"]["properties"]
    assert set(spool) == {each.name for each in fields(SpoolConfig)}
    assert all(each["description"] for each in spool.values())
    given = {name: each["default"] for name, each in spool.items() if "default" in each}
    assert SpoolConfig.from_mapping({"path": "a", **given}) == SpoolConfig(path="a")
    endpoint = schema["$defs"]["endpoint"]["properties"]
    example = Endpoint(url="http://localhost:4317")
    assert set(endpoint) == {each.name for each in fields(Endpoint)} - {"exporter"}
    for name, each in endpoint.items():
        assert each["description"]
        assert name in ("url", "timeout") or each["default"] == as_in_json(getattr(example, name))
    check = schema["$defs"]["health_check"]["properties"]
    assert set(check) == {each.name for each in fields(HealthCheck)}
    assert HealthCheck.from_mapping({name: each["default"] for name, each in check.items()}) == HealthCheck()


def as_in_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("case", MANUAL["refused"], ids=lambda case: case["why"])
def test_what_is_refused_says_where(case: dict[str, Any]) -> None:
    faults = schema_faults(case["settings"], "failover")
    if not faults:
        with pytest.raises(ConfigError) as refused:
            FailoverConfig.from_mapping(case["settings"])
        faults = list(refused.value.faults)
    assert [fault.pointer for fault in faults] == case["at"]
    assert all(fault.message for fault in faults)


def test_values_of_headers_are_not_quoted_in_errors() -> None:
    with pytest.raises(ConfigError) as refused:
        Endpoint(url="http://localhost:4317", headers={"authorization": "Bearer s3cret\n"})
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(Endpoint(url="http://localhost:4317", headers={"authorization": "Bearer s3cret"}))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"url": "http://localhost:4317", "protocol": "grpc", "timeout": 10.0}),
        ({"PROTOCOL": "http/protobuf"}, {"url": "http://localhost:4318", "traces_url": None}),
        ({"ENDPOINT": "http://a:1", "TRACES_ENDPOINT": "http://b:2"}, {"url": "http://b:2"}),
        ({"ENDPOINT": "collector:4317"}, {"url": "https://collector:4317"}),
        ({"ENDPOINT": "collector:4317", "INSECURE": "true"}, {"url": "http://collector:4317"}),
        ({"ENDPOINT": "http://a:1/x"}, {"url": "http://a:1"}),
        (
            {"PROTOCOL": "grpc", "TRACES_PROTOCOL": "http/protobuf", "TRACES_ENDPOINT": "https://a/in?k=1"},
            {"url": "https://a", "traces_url": "https://a/in?k=1"},
        ),
        ({"HEADERS": "a=1,b=x%20y", "TRACES_HEADERS": "c=3"}, {"headers": {"c": "3"}}),
        ({"HEADERS": "a=1,b=x%20y"}, {"headers": {"a": "1", "b": "x y"}}),
        ({"COMPRESSION": "gzip", "TIMEOUT": "3", "TRACES_TIMEOUT": "0.5"}, {"compression": "gzip", "timeout": 0.5}),
        ({"CERTIFICATE": "/nowhere.pem"}, {"ca_file": None}),  # without TLS it is ignored
        ({"ENDPOINT": "  ", "PROTOCOL": ""}, {"url": "http://localhost:4317"}),
    ],
    ids=repr,
)
def test_the_standard_environment_names_one_endpoint(variables: dict[str, str], expected: dict[str, Any]) -> None:
    environment = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()}
    endpoint = endpoint_of_environment("traces", environment)
    assert {name: getattr(endpoint, name) for name in expected} == expected


@pytest.mark.parametrize(
    "variables",
    [
        {"PROTOCOL": "http/json"},
        {"TIMEOUT": "soon"},
        {"COMPRESSION": "brotli"},
        {"ENDPOINT": "https://a:1", "CERTIFICATE": "/nowhere.pem"},
        {"ENDPOINT": "ftp://a"},
    ],
    ids=repr,
)
def test_a_bad_environment_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        endpoint_of_environment("traces", {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()})


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["http://localhost:4317"]),
        ({"OTEL_EXPORTER_OTLP_FALLBACK_ENDPOINT": "http://b:2"}, ["http://localhost:4317", "http://b:2"]),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1",
                "OTEL_EXPORTER_OTLP_FALLBACK_ENDPOINT": "http://b:2",
                "OTEL_EXPORTER_OTLP_TRACES_FALLBACK_ENDPOINT": "http://c:3",
            },
            ["http://a:1", "http://c:3"],
        ),
        ({"OTEL_EXPORTER_OTLP_LOGS_FALLBACK_ENDPOINT": "http://c:3"}, ["http://localhost:4317"]),
        (
            {
                "OTELWARDEN_FAILOVER_ENDPOINTS": " http://a:1, http://b:2,",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1",
                "OTEL_EXPORTER_OTLP_FALLBACK_ENDPOINT": "http://y:2",
            },
            ["http://a:1", "http://b:2"],
        ),
    ],
    ids=repr,
)
def test_the_environment_may_name_several_endpoints(variables: dict[str, str], expected: list[str]) -> None:
    endpoints = endpoints_of_environment("traces", variables)
    assert [each.url for each in endpoints] == expected


def test_all_endpoints_of_the_environment_are_spoken_to_alike() -> None:
    endpoints = endpoints_of_environment(
        "traces",
        {
            "OTELWARDEN_FAILOVER_ENDPOINTS": "http://a:1,http://b:2",
            "OTELWARDEN_FAILOVER_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "key=1",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        },
    )
    assert [each.url_for("traces") for each in endpoints] == ["http://a:1/v1/traces", "http://b:2/v1/traces"]
    assert all((each.protocol, each.headers, each.timeout) == ("http/protobuf", {"key": "1"}, 3) for each in endpoints)
    fallback = endpoints_of_environment(
        "logs",
        {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://a:1/in",
            "OTEL_EXPORTER_OTLP_LOGS_FALLBACK_ENDPOINT": "http://b:2/in",
        },
    )
    assert [each.url_for("logs") for each in fallback] == ["http://a:1/in", "http://b:2/in"]


@pytest.mark.parametrize(
    "variables",
    [
        {"OTELWARDEN_FAILOVER_ENDPOINTS": "http://a:1,nowhere:x"},
        {"OTELWARDEN_FAILOVER_ENDPOINTS": "http://a:1,http://a:1"},
        {"OTELWARDEN_FAILOVER_ENDPOINTS": "http://a:1", "OTELWARDEN_FAILOVER_PROTOCOL": "udp"},
        {"OTEL_EXPORTER_OTLP_FALLBACK_ENDPOINT": "ftp://b"},
    ],
    ids=repr,
)
def test_several_endpoints_that_are_none_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        endpoints_of_environment("traces", variables)


def test_an_exporter_without_arguments_uses_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    exporter = FailoverSpanExporter()
    assert [each.url for each in exporter.pool.stats()] == ["http://127.0.0.1:9"]
    exporter.shutdown()
