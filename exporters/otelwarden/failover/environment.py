"""The endpoints that the environment names.

Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter", configuration options; what it leaves open is as
in the Python exporters: protocol `grpc` unless named, timeouts in seconds, a scheme-less gRPC endpoint is secure unless
OTEL_EXPORTER_OTLP_INSECURE says otherwise, certificates are ignored without TLS, and so is a path over gRPC. The
FALLBACK_ENDPOINT variables are as proposed in opentelemetry-specification issue 4973; failover does not do as it says
that each batch has to exhaust the retries of the first endpoint.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from otelwarden.core import ConfigError, Fault, Signal, parse_duration
from otelwarden.failover.endpoint import DEFAULT_TIMEOUT, Endpoint

ENDPOINTS: Final = "OTELWARDEN_FAILOVER_ENDPOINTS"
PROTOCOL: Final = "OTELWARDEN_FAILOVER_PROTOCOL"

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_FALLBACK: Final = "FALLBACK_ENDPOINT"
_FILES: Final = {"ca_file": "CERTIFICATE", "certificate_file": "CLIENT_CERTIFICATE", "key_file": "CLIENT_KEY"}


def endpoints_of_environment(signal: Signal, environment: Mapping[str, str] | None = None) -> tuple[Endpoint, ...]:
    """The endpoints for a signal, in the order of preference.

    OTELWARDEN_FAILOVER_ENDPOINTS, URLs with commas between them that speak OTELWARDEN_FAILOVER_PROTOCOL (or else that
    of the standard environment); without it, the endpoint of the standard environment and, where named, the one of
    OTEL_EXPORTER_OTLP_FALLBACK_ENDPOINT or OTEL_EXPORTER_OTLP_<SIGNAL>_FALLBACK_ENDPOINT. Headers, certificates,
    timeout and compression are those of the standard environment for each of them.

    Args:
        environment: None for the one of this process.

    Raises:
        ConfigError: a variable holds something it must not; the faults name the variables.
    """
    environment = os.environ if environment is None else environment
    urls = [each.strip() for each in environment.get(ENDPOINTS, "").split(",") if each.strip()]
    if urls:
        protocol = environment.get(PROTOCOL, "").strip()
        return _same_way(signal, environment, [{"ENDPOINT": url} for url in urls], protocol, ENDPOINTS)
    variables = _Variables(signal, environment)
    own, general = variables.own(_FALLBACK), variables.get(_FALLBACK)
    if not general:
        return (endpoint_of_environment(signal, environment),)
    fallback = {f"{signal.upper()}_ENDPOINT": own} if own else {"ENDPOINT": general}
    return _same_way(signal, environment, [None, fallback], "", variables.name(_FALLBACK))


def _same_way(
    signal: Signal,
    environment: Mapping[str, str],
    addresses: list[dict[str, str] | None],
    protocol: str,
    variable: str,
) -> tuple[Endpoint, ...]:
    """The endpoint of the environment once for each address, which is None for its own."""
    anywhere = {f"{_PREFIX}ENDPOINT", f"{_PREFIX}{signal.upper()}_ENDPOINT"}
    elsewhere = {name: value for name, value in environment.items() if name not in anywhere}
    if protocol:
        elsewhere |= {f"{_PREFIX}{signal.upper()}_PROTOCOL": protocol}
    found: list[Endpoint] = []
    for position, address in enumerate(addresses):
        named = {f"{_PREFIX}{name}": value for name, value in (address or {}).items()}
        endpoint = endpoint_of_environment(signal, environment if address is None else elsewhere | named)
        if any(endpoint.url == other.url for other in found):
            raise ConfigError([Fault(message=f"{variable} names an endpoint twice", given=endpoint.url)])
        found.append(replace(endpoint, priority=position))
    return tuple(found)


def endpoint_of_environment(signal: Signal, environment: Mapping[str, str] | None = None) -> Endpoint:
    """The one endpoint of the standard environment for a signal; by default `http://localhost:4317` over gRPC.

    Args:
        environment: None for the one of this process.

    Raises:
        ConfigError: a variable holds something it must not; the faults name the variables.
    """
    variables = _Variables(signal, os.environ if environment is None else environment)
    protocol = variables.get("PROTOCOL", "grpc")
    faults = (
        []
        if protocol in ("grpc", "http/protobuf")
        else [
            Fault(
                message=f"{variables.name('PROTOCOL')} is not supported", given=protocol, allowed="grpc, http/protobuf"
            )
        ]
    )
    settings: dict[str, Any] = {
        "protocol": protocol,
        "headers": parse_env_headers(variables.get("HEADERS"), liberal=True),
    }
    try:
        settings["timeout"] = parse_duration(variables.get("TIMEOUT") or DEFAULT_TIMEOUT)
    except ConfigError as error:
        faults += [
            Fault(message=f"{variables.name('TIMEOUT')}: {fault.message}", given=fault.given) for fault in error.faults
        ]
    settings["compression"] = variables.get("COMPRESSION", "none").lower()
    settings |= _addresses(variables, protocol, signal)
    if settings["url"].startswith("https:"):
        settings |= {name: path for name, variable in _FILES.items() if (path := variables.get(variable))}
    if faults:
        raise ConfigError(faults)
    return Endpoint(**settings)


class _Variables:
    """The variables of a signal: its own before the general one; an empty one counts as not set."""

    def __init__(self, signal: Signal, environment: Mapping[str, str]) -> None:
        self._signal = signal.upper()
        self._environment = environment

    def own(self, variable: str) -> str:
        return self._environment.get(f"{_PREFIX}{self._signal}_{variable}", "").strip()

    def get(self, variable: str, default: str = "") -> str:
        return self.own(variable) or self._environment.get(_PREFIX + variable, "").strip() or default

    def name(self, variable: str) -> str:
        return f"{_PREFIX}{self._signal}_{variable}" if self.own(variable) else _PREFIX + variable


def _addresses(variables: _Variables, protocol: str, signal: Signal) -> dict[str, str]:
    if protocol == "grpc":
        url = variables.get("ENDPOINT", "http://localhost:4317")
        if "://" not in url:
            insecure = variables.get("INSECURE").lower() == "true"
            url = f"{'http' if insecure else 'https'}://{url}"
        parts = urlsplit(url)
        return {"url": f"{parts.scheme}://{parts.netloc}"}
    own = variables.own("ENDPOINT")
    if not own:
        return {"url": variables.get("ENDPOINT", "http://localhost:4318")}
    parts = urlsplit(own)
    return {"url": f"{parts.scheme}://{parts.netloc}", f"{signal}_url": own}
