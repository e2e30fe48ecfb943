"""Whether an endpoint is there, asked for beside the live telemetry."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection

from otelwarden.core import ConfigError, Fault, Signal, parse_duration
from otelwarden.failover.endpoint import Endpoint
from otelwarden.otlp import Cancellation, Outcome, Tls, Transport, Verdict

CheckType: TypeAlias = Literal["export", "tcp", "http"]

EndpointCheck: TypeAlias = Callable[[Endpoint, float], bool]
"""Told an endpoint and the seconds it may take, says whether the endpoint is well; what it raises is a no."""

_TYPES: Final = ("export", "tcp", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How endpoints in good health are asked whether they still are, and failed ones whether they are back.

    Raises ConfigError for what cannot be.
    """

    type: CheckType = "export"
    """`export` sends an empty export request, `tcp` connects, `http` asks for `path`; default `export`."""
    path: str = "/health"
    """What `http` asks for; any 2xx is good; default `/health`."""
    port: int | None = None
    """Where `tcp` and `http` ask; default None: the port of the endpoint."""
    interval: float = 10.0
    """Seconds between two checks of an endpoint in good health; default 10."""
    timeout: float = 1.0
    """Seconds that a check may take; default 1."""
    failure_threshold: int = 2
    """Failed checks in a row after which an endpoint in good health counts as failed; default 2."""
    recovery_threshold: int | None = None
    """Successes in a row after which a failed endpoint is healthy again; default that of `FailoverConfig`."""

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise ConfigError(faults)

    @classmethod
    def from_mapping(cls, settings: Any) -> HealthCheck:
        """The block `health_check:` of a configuration.

        Raises:
            ConfigError: with everything that is wrong with it; pointers begin with `/health_check`.
        """
        if isinstance(settings, cls):
            return settings
        if not isinstance(settings, Mapping):
            raise ConfigError([Fault(pointer="/health_check", message="wrong type", given=settings, allowed="mapping")])
        known = [each.name for each in fields(cls)]
        faults = [
            Fault(pointer=f"/health_check/{key}", message="unknown key", given=key, allowed=", ".join(known))
            for key in settings
            if key not in known
        ]
        values = dict(settings)
        for name in ("interval", "timeout"):
            try:
                if name in values:
                    values[name] = parse_duration(values[name])
            except ConfigError as error:
                faults += [replace(fault, pointer=f"/health_check/{name}") for fault in error.faults]
        if faults:
            raise ConfigError(faults)
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(fault.within("/health_check") for fault in error.faults) from None


def _faults(check: HealthCheck) -> Iterator[Fault]:
    if check.type not in _TYPES:
        yield Fault(pointer="/type", message="unknown type", given=check.type, allowed=", ".join(_TYPES))
    if not isinstance(check.path, str) or not check.path.startswith("/") or not check.path.isascii():
        yield Fault(pointer="/path", message="not a path", given=check.path, allowed="ASCII that begins with /")
    if check.port is not None and (type(check.port) is not int or not 0 < check.port < 65_536):
        yield Fault(pointer="/port", message="not a port", given=check.port, allowed="1 to 65535")
    for name in ("interval", "timeout"):
        value = getattr(check, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.001 <= value <= 86_400:
            yield Fault(pointer=f"/{name}", message="not a duration", given=value, allowed="1 ms to a day")
    for name in ("failure_threshold", "recovery_threshold"):
        value = getattr(check, name)
        if value is None and name == "recovery_threshold":
            continue
        if type(value) is not int or value < 1:
            yield Fault(pointer=f"/{name}", message="not at least 1", given=value)


class Checker:
    """Asks one endpoint at a time, in the way it was told; never raises for what an endpoint or a callable does."""

    def __init__(self, check: HealthCheck | None, function: EndpointCheck | None, probe_timeout: float) -> None:
        self._check = check
        self._function = function
        self._probe_timeout = probe_timeout

    def ask(self, endpoint: Endpoint, transport: Transport, signal: Signal, cancellation: Cancellation) -> Outcome:
        """What the endpoint says now.

        Args:
            signal: what an empty export claims to be.
        """
        timeout = self._check.timeout if self._check is not None else self._probe_timeout
        timeout = min(timeout, endpoint.timeout)
        if self._function is None and (self._check is None or self._check.type == "export"):
            return transport.send(signal, b"", timeout=timeout, cancellation=cancellation)
        try:
            return self._ask_beside(endpoint, timeout)
        except TimeoutError:
            return _failed("timeout")
        except Exception as error:
            return _failed("connection", type(error).__name__)

    def _ask_beside(self, endpoint: Endpoint, timeout: float) -> Outcome:
        if self._function is not None:
            return _WELL if self._function(endpoint, timeout) else _failed("check")
        assert self._check is not None
        if self._check.type == "tcp":
            url = urlsplit(endpoint.url)
            with socket.create_connection((url.hostname or "", self._check.port or _port_of(endpoint)), timeout):
                return _WELL
        status = _get(endpoint, self._check, timeout)
        return Outcome(verdict=Verdict.DELIVERED, code=str(status)) if 200 <= status < 300 else _failed(str(status))


_WELL: Final = Outcome(verdict=Verdict.DELIVERED, code="OK")


def _failed(code: str, message: str = "") -> Outcome:
    return Outcome(verdict=Verdict.RETRYABLE, code=code, message=message, answered=False)


def _port_of(endpoint: Endpoint) -> int:
    url = urlsplit(endpoint.url)
    return url.port or (443 if url.scheme == "https" else 80)


def _get(endpoint: Endpoint, check: HealthCheck, timeout: float) -> int:
    """The status of an answer. The headers of the endpoint come along: a gateway may ask for credentials."""
    url = urlsplit(endpoint.url)
    host, port = url.hostname or "", check.port or _port_of(endpoint)
    deadline = time.monotonic() + timeout
    if url.scheme == "https":
        tls = Tls(ca_file=endpoint.ca_file, certificate_file=endpoint.certificate_file, key_file=endpoint.key_file)
        connection: HTTPConnection = HTTPSConnection(host, port, timeout=timeout, ssl_context=tls.context())
    else:
        connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.connect()
        connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
        connection.request("GET", check.path, headers=dict(endpoint.headers), preload_content=False)
        return int(connection.getresponse().status)
    finally:
        connection.close()
