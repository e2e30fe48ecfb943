"""Whether telemetry travels, and waits, protected; and whether there is another way when one fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.facts import Component, Evidence
from otelwarden.compliance.results import Outcome, Problem, insufficient, judged, not_applicable

_CREDENTIALS: Final = frozenset({"authorization", "api-key", "x-api-key", "x-honeycomb-team", "dd-api-key"})


def shown(url: str) -> str:
    """A URL for a finding: scheme, host and port, without credentials, path and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def on_this_host(url: str) -> bool:
    """Whether an endpoint is reached without leaving the machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _urls(endpoint: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for option in ("url", "traces_url", "logs_url", "metrics_url"):
        if endpoint.get(option):
            yield option, endpoint[option]


def _exporters(evidence: Evidence) -> list[Component]:
    return list(evidence.configuration.used("failover"))


def _undeclared(evidence: Evidence) -> Outcome | None:
    """Endpoints that the environment names are not in the configuration, so nothing can be said about them."""
    if all(component.options["endpoints"] for component in evidence.configuration.exporters()):
        return None
    return insufficient("the endpoint is named by the environment and not in the configuration")


def _encrypted(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problems = [
        Problem(
            target=shown(url),
            message=f"telemetry leaves the host in clear to {shown(url)}",
            pointer=f"{pointer}/{option}",
        )
        for pointer, endpoint in evidence.configuration.endpoints()
        for option, url in _urls(endpoint)
        if urlsplit(url).scheme != "https" and not on_this_host(url)
    ]
    if not problems and (unknown := _undeclared(evidence)):
        return unknown
    return judged(problems, "every endpoint is on this host or speaks TLS, with certificates that are verified")


def _authenticated(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problems = [
        Problem(
            target=shown(endpoint["url"]),
            message=f"{shown(endpoint['url'])} is sent neither a certificate of ours nor credentials",
            pointer=f"{pointer}/headers",
        )
        for pointer, endpoint in evidence.configuration.endpoints()
        if not endpoint.get("certificate_file")
        and not any(name.lower() in _CREDENTIALS for name in endpoint.get("headers") or {})
    ]
    if not problems and (unknown := _undeclared(evidence)):
        return unknown
    return judged(problems, "every endpoint is shown a certificate of ours, or credentials")


def _alternatives(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problems = [
        Problem(
            target=component.id,
            message=f"{component.id} has {len(component.options['endpoints']) or 'no declared'} endpoint",
            pointer=f"{component.pointer}/endpoints",
        )
        for component in _exporters(evidence)
        if len(component.options["endpoints"]) < 2
    ]
    return judged(problems, "every exporter has another endpoint to go to")


def _health_checks(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problems = [
        Problem(
            target=component.id,
            message=f"{component.id} finds out that an endpoint is dead only by losing time on it",
            pointer=f"{component.pointer}/health_check",
        )
        for component in _exporters(evidence)
        if not component.options["health_check"]
    ]
    return judged(problems, "endpoints are asked whether they are well")


def _spooled(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problems = [
        Problem(
            target=component.id,
            message=f"what {component.id} has not delivered is lost with the process",
            pointer=f"{component.pointer}/spool",
        )
        for component in _exporters(evidence)
        if not component.options["spool"]
    ]
    return judged(problems, "what is not delivered yet is on disk")


def _spool_encrypted(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    spooled = [component for component in evidence.configuration.exporters() if component.options["spool"]]
    if not spooled:
        return not_applicable("no exporter keeps telemetry on disk")
    problems = [
        Problem(
            target=component.id,
            message=f"the spool of {component.id} is not encrypted",
            pointer=f"{component.pointer}/spool/key_file",
        )
        for component in spooled
        if not component.options["spool"]["key_file"]
    ]
    return judged(problems, "every spool is encrypted")


def _bounded_age(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    retention = evidence.declared.retention
    problems = []
    for component in _exporters(evidence):
        kept = component.options["spool"]
        where, age = ("/spool/max_age", kept["max_age"]) if kept else ("/max_age", component.options["max_age"])
        for signal in component.signals:
            if signal in retention and age > retention[signal]:
                problems.append(
                    Problem(
                        target=f"{component.id}/{signal}",
                        message=f"undelivered {signal} may wait {age:g} seconds, longer than {signal} are to be kept",
                        pointer=f"{component.pointer}{where}",
                        signal=signal,
                    )
                )
    return judged(problems, "what waits is given up within its retention")


CHECKS: Final = (
    Check(
        id="transport.encrypted",
        title="Telemetry leaves the host encrypted",
        source="configuration",
        advice="Use https endpoints, or a receiver on the same host",
        judge=_encrypted,
        pointer="/exporters/failover/endpoints",
    ),
    Check(
        id="transport.authenticated",
        title="Endpoints are shown who sends",
        source="configuration",
        advice="Give each endpoint a `certificate_file` with its key, or a header with credentials",
        judge=_authenticated,
        pointer="/exporters/failover/endpoints",
    ),
    Check(
        id="transport.alternatives",
        title="There is another endpoint when one fails",
        source="configuration",
        advice="Name at least two endpoints",
        judge=_alternatives,
        pointer="/exporters/failover/endpoints",
    ),
    Check(
        id="transport.health-checks",
        title="Endpoints are asked whether they are well",
        source="configuration",
        advice="Configure a `health_check`",
        judge=_health_checks,
        pointer="/exporters/failover/health_check",
    ),
    Check(
        id="spool.every-exporter",
        title="What is not delivered yet survives the process",
        source="configuration",
        advice="Configure a `spool`",
        judge=_spooled,
        pointer="/exporters/failover/spool",
    ),
    Check(
        id="spool.encrypted",
        title="What waits on disk is encrypted",
        source="configuration",
        advice="Name a key under `spool: key_file`",
        judge=_spool_encrypted,
        pointer="/exporters/failover/spool/key_file",
    ),
    Check(
        id="spool.retention",
        title="What waits is given up within its retention",
        source="configuration",
        advice="Lower `max_age` to the retention of the signals, or raise that",
        judge=_bounded_age,
        pointer="/exporters/failover/spool/max_age",
    ),
)
