"""Whether it is declared who gets telemetry, for what, where, and for how long it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.checks.transport import shown
from otelwarden.compliance.config import Recipient
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, insufficient, judged


def _recipient(evidence: Evidence, url: str) -> Recipient | None:
    """Whose endpoint it is: of several that fit, the one that says it most exactly."""
    fitting = [each for each in evidence.declared.recipients if _belongs(url, each.endpoint)]
    return max(fitting, key=lambda each: len(each.endpoint), default=None)


def _belongs(url: str, start: str) -> bool:
    """Whether a URL starts so; `https://a.example` is not the start of `https://a.example.net`."""
    return url == start or (url.startswith(start) and (start[-1] in "/:" or url[len(start)] in "/:?"))


def _matched(evidence: Evidence) -> Iterator[tuple[str, Mapping[str, Any], Recipient | None]]:
    for pointer, endpoint in evidence.configuration.endpoints():
        yield pointer, endpoint, _recipient(evidence, endpoint["url"])


def _unnamed(evidence: Evidence) -> bool:
    return not any(True for _ in evidence.configuration.endpoints())


_NO_ENDPOINT: Final = "the endpoint is named by the environment and not in the configuration"


def _registered(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if _unnamed(evidence):
        return insufficient(_NO_ENDPOINT)
    problems = [
        Problem(
            target=shown(endpoint["url"]),
            message=f"nobody is declared to be behind {shown(endpoint['url'])}",
            pointer="/compliance/recipients",
        )
        for _pointer, endpoint, recipient in _matched(evidence)
        if recipient is None
    ]
    return judged(problems, "it is declared who is behind every endpoint")


def _purposes(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if _unnamed(evidence):
        return insufficient(_NO_ENDPOINT)
    problems = [
        Problem(
            target=shown(endpoint["url"]),
            message=f"no purpose is declared for {shown(endpoint['url'])}",
            pointer="/compliance/recipients",
        )
        for _pointer, endpoint, recipient in _matched(evidence)
        if recipient is None or not recipient.purposes
    ]
    return judged(problems, "every recipient has a purpose")


def _agreement(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    if _unnamed(evidence):
        return insufficient(_NO_ENDPOINT)
    kind = parameters["agreement"]
    problems = [
        Problem(
            target=f"{shown(endpoint['url'])}/{kind}",
            message=f"no agreement of the kind `{kind}` is on file with whoever is behind {shown(endpoint['url'])}",
            pointer="/compliance/recipients",
        )
        for _pointer, endpoint, recipient in _matched(evidence)
        if recipient is None or kind not in recipient.agreements
    ]
    return judged(problems, f"an agreement of the kind `{kind}` is on file with every recipient")


def _regions(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    if _unnamed(evidence):
        return insufficient(_NO_ENDPOINT)
    allowed = evidence.declared.regions
    problems = []
    for pointer, endpoint, recipient in _matched(evidence):
        region = endpoint.get("region") or (recipient.region if recipient is not None else None)
        if region not in allowed:
            where = f"in `{region}`" if region else "nobody says where"
            said = f"allowed are {', '.join(allowed)}" if allowed else "no region is declared as allowed"
            problems.append(
                Problem(
                    target=shown(endpoint["url"]),
                    message=f"{shown(endpoint['url'])} keeps telemetry {where}; {said}",
                    pointer=f"{pointer}/region" if allowed else "/compliance/regions",
                )
            )
    return judged(problems, f"every endpoint, those for failover too, keeps telemetry in {', '.join(allowed)}")


def _inventory(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    problem = Problem(target="inventory", message="no attribute key is declared", pointer="/compliance/inventory")
    globs = evidence.declared.inventory
    if any(not glob.strip("*?") for glob in globs):
        problem = Problem(
            target="inventory", message="a glob declares any attribute key", pointer="/compliance/inventory"
        )
        return judged([problem], "")
    return judged([] if globs else [problem], f"{len(globs)} globs of attribute keys are declared")


CHECKS: Final = (
    Check(
        id="recipients.registered",
        title="It is declared who is behind every endpoint",
        source="configuration",
        advice="Add an entry for each endpoint under `compliance: recipients`",
        judge=_registered,
        pointer="/compliance/recipients",
    ),
    Check(
        id="recipients.purposes",
        title="Every recipient has a purpose",
        source="configuration",
        advice="Name the purposes of each recipient",
        judge=_purposes,
        pointer="/compliance/recipients",
    ),
    Check(
        id="recipients.agreement",
        title="An agreement is on file with every recipient",
        source="configuration",
        advice="Conclude the agreement, and say under `agreements` of the recipient where it is filed",
        judge=_agreement,
        parameters={"agreement": "the kind of agreement: `dpa`, `baa`, `service_provider`"},
        pointer="/compliance/recipients",
    ),
    Check(
        id="recipients.regions",
        title="Telemetry is kept only where it may be",
        source="configuration",
        advice="Declare the allowed regions, and give each endpoint or recipient its region",
        judge=_regions,
        pointer="/compliance/regions",
    ),
    Check(
        id="inventory.declared",
        title="It is declared which attributes telemetry may have",
        source="configuration",
        advice="List the attribute keys, as globs, under `compliance: inventory`",
        judge=_inventory,
        pointer="/compliance/inventory",
    ),
)
