"""Whether it is declared who gets telemetry, for what, where, and for how long it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.checks.transport import shown
from otelwarden.compliance.config import Recipient
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, absent, insufficient, judged
from otelwarden.core import parse_duration


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


def _retention(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    kinds = [*evidence.configuration.pipelines, *(["audit"] if any(evidence.configuration.used("audit")) else [])]
    problems = [
        Problem(
            target=kind,
            message=f"nobody has said for how long {kind} are kept",
            pointer=f"/compliance/retention/{kind}",
        )
        for kind in kinds
        if kind not in evidence.declared.retention
    ]
    return judged(problems, f"it is declared for how long {', '.join(kinds)} are kept")


def _trail_retention(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    least = parse_duration(parameters["least"])
    kept = evidence.declared.retention.get("audit")
    problems = []
    if not any(evidence.configuration.used("audit")):
        problems = [absent("audit")]
    elif kept is None or kept < least:
        said = "nobody has said for how long" if kept is None else f"{kept / 86_400:g} days are declared"
        problems = [
            Problem(
                target=f"audit/{parameters['least']}",
                message=f"the audit trail is to be kept {least / 86_400:g} days; {said}",
                pointer="/compliance/retention/audit",
            )
        ]
    problems += _dropped_before(evidence, least)
    return judged(problems, f"the audit trail is kept at least {least / 86_400:g} days")


def _dropped_before(evidence: Evidence, least: float) -> Iterator[Problem]:
    """Records that the trail itself drops too early: what is declared would not be true."""
    for trail in evidence.configuration.used("audit"):
        for kind, keep in (trail.options["retention"] or {}).items():
            kept = keep["at_most"] if keep["at_least"] is None else keep["at_least"]
            if kept < least:
                yield Problem(
                    target=f"{trail.id}/{kind}/{least / 86_400:g}d",
                    message=f"the audit trail is to be kept {least / 86_400:g} days; "
                    f"it drops records of `{kind}` after {kept / 86_400:g}",
                    pointer=f"{trail.pointer}/retention",
                )


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
        id="retention.declared",
        title="It is declared for how long everything is kept",
        source="configuration",
        advice="Give a duration for each signal, and for the audit trail",
        judge=_retention,
        pointer="/compliance/retention",
    ),
    Check(
        id="retention.trail",
        title="The audit trail is kept long enough",
        source="configuration",
        advice="Raise the retention of the audit trail",
        judge=_trail_retention,
        parameters={"least": "for how long at least, a duration"},
        pointer="/compliance/retention/audit",
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
