"""Whether tenancy and quota are configured so that telemetry has an owner and a bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.checks.redaction import every_pipeline, missing_stage
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, absent, failed, judged

_CLAIMS: Final = ("attribute", "baggage")
"""Sources that whoever sends a request, or writes an attribute, can fill in as they like."""


def _absent(kind: str) -> Outcome:
    return failed([absent(kind)])


def _unknown_refused(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("tenancy"))
    if not used:
        return _absent("tenancy")
    return judged(
        (
            Problem(
                target=component.id,
                message="telemetry of tenants that nobody registered passes",
                pointer=f"{component.pointer}/unknown",
            )
            for component in used
            if component.options["unknown"] == "pass"
        ),
        "telemetry of unknown tenants does not pass as such",
    )


def _inactive_refused(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("tenancy"))
    if not used:
        return _absent("tenancy")
    return judged(
        (
            Problem(
                target=f"{component.id}/{status}",
                message=f"telemetry of tenants that are {status} passes",
                pointer=f"{component.pointer}/statuses/{status}",
            )
            for component in used
            for status in ("suspended", "inactive")
            if component.options["statuses"].get(status) == "pass"
        ),
        "telemetry of suspended and inactive tenants does not pass",
    )


def _trusted_sources(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("tenancy"))
    if not used:
        return _absent("tenancy")
    return judged(
        (
            Problem(
                target=f"{component.id}/{source}",
                message=f"a tenant is believed that `{source}` names, which a caller can fill in",
                pointer=f"{component.pointer}/sources",
            )
            for component in used
            for source in component.options["sources"]
            if source in _CLAIMS
        ),
        "only the application itself says whose telemetry it is",
    )


def _verified(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("tenancy"))
    if not used:
        return _absent("tenancy")
    return judged(
        (
            Problem(
                target=component.id,
                message="nothing that a caller brings along is verified, so that nobody has to prove who they are",
                pointer=f"{component.pointer}/sources",
            )
            for component in used
            if "token" not in component.options["sources"]
        ),
        "callers are known by tokens, which are verified",
    )


def _registry(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    tenants = evidence.configuration.tenants
    problem = Problem(target="tenants", message="no tenant is registered in a file", pointer="/tenants")
    return judged([] if tenants else [problem], f"{tenants} tenants are registered", tenants=tenants or 0)


def _enforced(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problems = list(missing_stage(evidence, "quota"))
    for component in evidence.configuration.used("quota"):
        for option, message in _let_through(component.options):
            problems.append(Problem(target=component.id, message=message, pointer=f"{component.pointer}/{option}"))
    return judged(problems, "what is over a limit does not pass")


def _let_through(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Options under which nothing is limited, and what that means."""
    if options["overflow"] == "observe":
        yield "overflow", "what is over a limit is counted and passes"
    if options["overflow"] == "sample" and options["sample_ratio"] == 1:
        yield "sample_ratio", "all of what is over a limit passes as a sample"
    if "*" in options["exempt"]["scopes"]:
        yield "exempt/scopes", "no limit is about anything, as every scope is exempt"


def _limits(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = list(evidence.configuration.used("quota"))
    if not used:
        return _absent("quota")
    problems = [
        Problem(
            target=f"{component.id}/{signal}",
            message=f"a tenant without limits of its own may send {signal} without end",
            pointer=f"{component.pointer}/default/{signal}",
            signal=signal,
        )
        for component in used
        for signal in component.signals
        if signal != "metrics" and not (component.options["default"] or {}).get(signal)
    ]
    return judged(problems, "every tenant has a limit")


CHECKS: Final = (
    Check(
        id="tenancy.every-pipeline",
        title="Every pipeline knows whose telemetry it is",
        source="configuration",
        advice="Add `tenancy` to the processors of every pipeline",
        judge=every_pipeline("tenancy"),
        pointer="/service/pipelines",
    ),
    Check(
        id="tenancy.unknown-refused",
        title="Telemetry of unknown tenants does not pass as such",
        source="configuration",
        advice="Set `unknown` to `reject` or `quarantine`",
        judge=_unknown_refused,
        pointer="/processors/tenancy/unknown",
    ),
    Check(
        id="tenancy.inactive-refused",
        title="Telemetry of suspended and inactive tenants does not pass",
        source="configuration",
        advice="Set `suspended` and `inactive` to `reject` or `quarantine`",
        judge=_inactive_refused,
        pointer="/processors/tenancy/statuses",
    ),
    Check(
        id="tenancy.trusted-sources",
        title="Only the application itself says whose telemetry it is",
        source="configuration",
        advice="Leave `baggage` and `attribute` out of the sources",
        judge=_trusted_sources,
        pointer="/processors/tenancy/sources",
    ),
    Check(
        id="tenancy.verified",
        title="Callers prove who they are",
        source="configuration",
        advice="Add `token` to the sources, and say under `token` how it is verified",
        judge=_verified,
        pointer="/processors/tenancy/sources",
    ),
    Check(
        id="tenancy.registry",
        title="Tenants are registered",
        source="configuration",
        advice="Name a file of tenants under `tenants`",
        judge=_registry,
        pointer="/tenants",
    ),
    Check(
        id="quota.enforced",
        title="What is over a limit does not pass",
        source="configuration",
        advice="Add `quota` to the processors of every pipeline, with `overflow: drop`",
        judge=_enforced,
        pointer="/processors/quota/overflow",
    ),
    Check(
        id="quota.limits",
        title="Every tenant has a limit",
        source="configuration",
        advice="Give a rate for traces and logs under `default`",
        judge=_limits,
        pointer="/processors/quota/default",
    ),
)
