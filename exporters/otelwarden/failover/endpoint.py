"""Where telemetry may go: one endpoint, checked when it is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from otelwarden.core import SIGNALS, ConfigError, Fault, Signal, parse_duration
from otelwarden.failover.headers import TENANT_ID, header_faults
from otelwarden.failover.vendor import signals_of
from otelwarden.otlp import Compression, GrpcTransport, HttpTransport, Tls, Transport

WireProtocol: TypeAlias = Literal["grpc", "http/protobuf"]

DEFAULT_TIMEOUT: Final = 10.0

_PROTOCOLS: Final = ("grpc", "http/protobuf")
_COMPRESSIONS: Final = ("none", "gzip")


def _default_timeout() -> float:
    text = os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "").strip()
    return parse_duration(text) if text else DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One receiver of OTLP.

    Raises ConfigError with everything that is wrong with it.
    """

    url: str = ""
    """`http` or `https`, with a host; for `http/protobuf` a base to which `/v1/<signal>` is added."""
    name: str = ""
    """What it is called in events, statistics and the `destinations` of tenants; default its URL."""
    protocol: WireProtocol = "grpc"
    """`grpc` or `http/protobuf`; default `grpc`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request; names are case-insensitive; default none."""
    priority: int | None = None
    """Lower is preferred; default its position in the list, counted from 0."""
    timeout: float = field(default_factory=_default_timeout)
    """Seconds for one attempt, all of it; default OTEL_EXPORTER_OTLP_TIMEOUT, or else 10."""
    compression: Compression = "none"
    """Of requests: `none` or `gzip` (level 1 over HTTP); default `none`."""
    ca_file: str | None = None
    """PEM file of certificates to trust; default the system's (HTTP) or those shipped with gRPC."""
    certificate_file: str | None = None
    """PEM file of our own certificate, for mutual TLS; default None."""
    key_file: str | None = None
    """PEM file of its key; default None."""
    capacity: int | None = None
    """Requests in flight at most, of all signals together; default None: as many as there are."""
    weight: float = 1.0
    """Its share beside the others', for the selections that spread; above 0; default 1."""
    region: str | None = None
    """Where it is; endpoints of `FailoverConfig.region` are chosen first; default None."""
    capabilities: tuple[Signal, ...] = SIGNALS
    """The signals it accepts; it is never chosen for another; default all three, or the one of its exporter."""
    traces_url: str | None = None
    """Full URL for traces, taken as it is; `http/protobuf` only; default from `url`."""
    logs_url: str | None = None
    """Full URL for logs, taken as it is; `http/protobuf` only; default from `url`."""
    metrics_url: str | None = None
    """Full URL for metrics, taken as it is; `http/protobuf` only; default from `url`."""
    exporter: Any = None
    """An exporter of the SDK to hand items to, in place of a URL; only in code; default None."""

    def __post_init__(self) -> None:
        if isinstance(self.capabilities, list):
            object.__setattr__(self, "capabilities", tuple(self.capabilities))
        if self.exporter is not None:
            if faults := [*_exporter_faults(self), *_setting_faults(self)]:
                raise ConfigError(faults)
            object.__setattr__(self, "capabilities", signals_of(self.exporter))
            return
        faults = [*_address_faults(self), *_setting_faults(self), *_header_faults(self), *_tls_faults(self)]
        if faults:
            raise ConfigError(faults)

    def __repr__(self) -> str:
        return f"Endpoint({self.label!r}, {self.protocol!r})"  # headers hold credentials

    @property
    def label(self) -> str:
        """What it is called: its name, or else its URL, or the class of its exporter."""
        return self.name or self.url or type(self.exporter).__name__

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Endpoint:
        """The endpoint of a configuration: keys are the names of the fields, `timeout` may be text like `10s`.

        Raises:
            ConfigError: with everything that is wrong with it; pointers are relative to `settings`.
        """
        known = [each.name for each in fields(cls) if each.name != "exporter"]
        faults = [
            Fault(pointer=f"/{key}", message="unknown key", given=key, allowed=", ".join(known))
            for key in settings
            if key not in known
        ]
        if "url" not in settings:
            faults.append(Fault(message="missing key `url`"))
        values = {name: value for name, value in settings.items() if name != "timeout" or value is not None}
        if "timeout" in values:
            try:
                values["timeout"] = parse_duration(values["timeout"])
            except ConfigError as error:
                faults += [fault.within("/timeout") for fault in error.faults]
        if faults:
            raise ConfigError(faults)
        return cls(**values)

    def url_for(self, signal: Signal) -> str:
        """Where a signal goes over HTTP."""
        own: str | None = getattr(self, f"{signal}_url")
        return own if own is not None else f"{self.url.rstrip('/')}/v1/{signal}"

    def open(self) -> Transport:
        """A way to this endpoint; nothing is connected yet."""
        tls = Tls(ca_file=self.ca_file, certificate_file=self.certificate_file, key_file=self.key_file)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.protocol == "grpc":
            url = urlsplit(self.url)
            secure = url.scheme == "https"
            return GrpcTransport(
                url.netloc if url.port else f"{url.netloc}:{443 if secure else 80}",
                headers=headers,
                tls=tls if secure else None,
                compression=self.compression,
            )
        urls = {signal: self.url_for(signal) for signal in SIGNALS}
        return HttpTransport(urls, headers=headers, tls=tls, compression=self.compression)


def _exporter_faults(endpoint: Endpoint) -> Iterator[Fault]:
    if len(signals_of(endpoint.exporter)) != 1:
        allowed = "a SpanExporter, LogRecordExporter or MetricExporter"
        yield Fault(
            pointer="/exporter", message="not an exporter", given=type(endpoint.exporter).__name__, allowed=allowed
        )
    of_a_url = ("url", "traces_url", "logs_url", "metrics_url", "headers", "ca_file", "certificate_file", "key_file")
    for name in of_a_url:
        if getattr(endpoint, name):
            yield Fault(pointer=f"/{name}", message="an exporter has its own way to where it sends")


def _split(url: Any) -> SplitResult | None:
    """The parts of a URL we can use; None when we cannot."""
    if not isinstance(url, str) or not url.isascii() or any(c.isspace() or c < " " for c in url):
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _address_faults(endpoint: Endpoint) -> Iterator[Fault]:
    own = {f"{signal}_url": getattr(endpoint, f"{signal}_url") for signal in SIGNALS}
    for name, url in {"url": endpoint.url, **own}.items():
        if name != "url" and url is None:
            continue
        parts = _split(url)
        if parts is None:
            yield Fault(pointer=f"/{name}", message="not a URL to send to", given=url, allowed="http(s)://host[:port]")
        elif "@" in parts.netloc:
            yield Fault(pointer=f"/{name}", message="credentials in a URL end up in logs", allowed="headers")
        elif name == "url" and (parts.query or parts.fragment):
            yield Fault(pointer="/url", message="a base takes no query and no fragment", given=url)
        elif name == "url" and endpoint.protocol == "grpc" and parts.path not in ("", "/"):
            yield Fault(pointer="/url", message="gRPC takes no path", given=url, allowed="http(s)://host[:port]")
        elif name != "url" and endpoint.protocol == "grpc":
            yield Fault(pointer=f"/{name}", message="only for protocol http/protobuf", given=url)


def _setting_faults(endpoint: Endpoint) -> Iterator[Fault]:
    for name, allowed in (("protocol", _PROTOCOLS), ("compression", _COMPRESSIONS)):
        value = getattr(endpoint, name)
        if value not in allowed:
            yield Fault(pointer=f"/{name}", message=f"unknown {name}", given=value, allowed=", ".join(allowed))
    timeout = endpoint.timeout
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 3600:
        yield Fault(pointer="/timeout", message="not a timeout", given=timeout, allowed="above 0, at most 3600 seconds")
    if endpoint.priority is not None and type(endpoint.priority) is not int:
        yield Fault(pointer="/priority", message="not a priority", given=endpoint.priority, allowed="a whole number")
    yield from _choice_faults(endpoint)


def _choice_faults(endpoint: Endpoint) -> Iterator[Fault]:
    if not isinstance(endpoint.name, str) or endpoint.name != endpoint.name.strip() or not endpoint.name.isprintable():
        yield Fault(pointer="/name", message="not a name", given=endpoint.name, allowed="printable text")
    capacity, weight, region = endpoint.capacity, endpoint.weight, endpoint.region
    if capacity is not None and (type(capacity) is not int or capacity < 1):
        yield Fault(pointer="/capacity", message="not a capacity", given=capacity, allowed="a whole number from 1")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
        yield Fault(pointer="/weight", message="not a weight", given=weight, allowed="a number above 0")
    if region is not None and (not isinstance(region, str) or not region):
        yield Fault(pointer="/region", message="not a region", given=region, allowed="text, not empty")
    capabilities = endpoint.capabilities
    if not isinstance(capabilities, tuple) or not capabilities or not all(each in SIGNALS for each in capabilities):
        yield Fault(
            pointer="/capabilities", message="not signals", given=capabilities, allowed=f"some of {', '.join(SIGNALS)}"
        )


def _header_faults(endpoint: Endpoint) -> Iterator[Fault]:
    yield from header_faults(endpoint.headers, grpc=endpoint.protocol == "grpc")
    if isinstance(endpoint.headers, Mapping):
        for name, value in endpoint.headers.items():
            if isinstance(value, str) and TENANT_ID in value:
                yield Fault(pointer=f"/headers/{name}", message=f"{TENANT_ID} stands in the headers of failover")


def _tls_faults(endpoint: Endpoint) -> Iterator[Fault]:
    tls = Tls(ca_file=endpoint.ca_file, certificate_file=endpoint.certificate_file, key_file=endpoint.key_file)
    urls = (endpoint.url, *(getattr(endpoint, f"{signal}_url") for signal in SIGNALS))
    if tls == Tls():
        return
    if not any(isinstance(url, str) and url.startswith("https:") for url in urls):
        yield Fault(pointer="/url", message="certificates are for https", given=endpoint.url)
    yield from tls.faults()


Endpoints: TypeAlias = "Sequence[Endpoint | str | Mapping[str, Any]]"


def parse_endpoints(given: Any) -> tuple[Endpoint, ...]:
    """Endpoints of texts (URLs of gRPC), mappings and endpoints; each gets its position as priority unless it has one.

    Raises:
        ConfigError: with everything that is wrong with any of them; pointers begin with `/endpoints`.
    """
    if isinstance(given, (str, Endpoint, Mapping)):
        given = [given]
    faults: list[Fault] = []
    endpoints: list[Endpoint] = []
    for position, each in enumerate(given):
        try:
            endpoint = _parse(each)
        except ConfigError as error:
            faults += [fault.within(f"/endpoints/{position}") for fault in error.faults]
            continue
        if endpoint.url and any(endpoint.url.rstrip("/") == other.url.rstrip("/") for other in endpoints):
            faults.append(Fault(pointer=f"/endpoints/{position}/url", message="listed twice", given=endpoint.url))
        elif any(endpoint.label == other.label for other in endpoints):
            faults.append(Fault(pointer=f"/endpoints/{position}/name", message="listed twice", given=endpoint.label))
        endpoints.append(endpoint if endpoint.priority is not None else replace(endpoint, priority=position))
    if not endpoints and not faults:
        faults.append(Fault(pointer="/endpoints", message="no endpoint", allowed="at least one"))
    if faults:
        raise ConfigError(faults)
    return tuple(endpoints)


def _parse(given: Any) -> Endpoint:
    if isinstance(given, Endpoint):
        return given
    if isinstance(given, str):
        return Endpoint(url=given)
    if isinstance(given, Mapping):
        return Endpoint.from_mapping(given)
    raise ConfigError([Fault(message="wrong type", given=given, allowed="a URL, a mapping or an Endpoint")])
