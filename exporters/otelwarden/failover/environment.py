"""The endpoint that the standard environment names.

Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter", configuration options; what it leaves open is as
in the Python exporters: protocol `grpc` unless named, timeouts in seconds, a scheme-less gRPC endpoint is secure unless
OTEL_EXPORTER_OTLP_INSECURE says otherwise, certificates are ignored without TLS, and so is a path over gRPC.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from otelwarden.core import ConfigError, Fault, Signal, parse_duration
from otelwarden.failover.endpoint import DEFAULT_TIMEOUT, Endpoint

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_FILES: Final = {"ca_file": "CERTIFICATE", "certificate_file": "CLIENT_CERTIFICATE", "key_file": "CLIENT_KEY"}


def endpoint_of_environment(signal: Signal, environment: Mapping[str, str] | None = None) -> Endpoint:
    """The one endpoint for a signal; by default `http://localhost:4317` over gRPC.

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
