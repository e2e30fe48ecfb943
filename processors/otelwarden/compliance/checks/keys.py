"""Whether what is kept is encrypted, can be erased, and by keys that are replaced in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.checks.trail import moment
from otelwarden.compliance.facts import Component, Evidence, PolicyFacts
from otelwarden.compliance.results import Outcome, Problem, absent, failed, insufficient, judged, not_applicable
from otelwarden.core import parse_duration


def _redactions(evidence: Evidence) -> list[Component]:
    return list(evidence.configuration.used("redaction"))


def _archives_encrypted(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    archives = [
        (component, name, archive)
        for component in _redactions(evidence)
        for name, archive in component.options["archives"].items()
        if archive["path"]
    ]
    if not archives:
        return not_applicable("nothing is archived on this host")
    problems = [
        Problem(
            target=f"{component.id}/{name}",
            message=f"the archive {name} of {component.id} holds what redaction removes, in clear",
            pointer=f"{component.pointer}/archives/{name}/encrypt",
        )
        for component, name, archive in archives
        if not archive["encrypt"]
    ]
    return judged(problems, "every archive is encrypted")


def _by_person(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    used = _redactions(evidence)
    if not used:
        return failed([absent("redaction")])
    problems = [
        Problem(
            target=component.id,
            message=f"{component.id} encrypts nothing with keys of persons, so that nothing can be erased afterwards",
            pointer=f"{component.pointer}/subjects",
        )
        for component in used
        if not evidence.configuration.policies.get(component.id, PolicyFacts()).encrypts_by_person
    ]
    return judged(problems, "what is kept of persons is encrypted with a key of theirs, which can be destroyed")


def _keys(evidence: Evidence) -> Iterator[tuple[str, Component]]:
    """Component that tells of the replacement of a key, and whose key it is."""
    for component in evidence.configuration.used("audit"):
        yield "audit", component
    for component in _redactions(evidence):
        if component.options["key_file"] or component.options["key_env"]:
            yield "redaction", component


def _rotated(evidence: Evidence, parameters: Mapping[str, Any]) -> Outcome:
    within = parse_duration(parameters["within"])
    trails = [trail for trail in evidence.trails if trail.records]
    if not trails:
        return insufficient("the audit trail holds no record")
    problems, unknown, replaced = [], [], []
    for kind, component in _keys(evidence):
        latest = max(trail.keys_replaced.get(kind, 0) for trail in trails)
        if latest:
            replaced.append(latest)
        since = latest or min(trail.first_ns for trail in trails)
        if evidence.now_ns - since > within * 1e9:
            problems.append(
                Problem(
                    target=component.id,
                    message=f"the key of {component.id} was not replaced since {moment(since)}",
                    pointer=f"{component.pointer}/key_file",
                )
            )
        elif not latest:
            unknown.append(component.id)
    if not problems and unknown:
        return insufficient(f"the trail is younger than the period, and no key of {', '.join(unknown)} replaced in it")
    oldest = min(replaced, default=0)
    return judged(problems, f"every key was replaced at {moment(oldest)} or later", since=moment(oldest))


CHECKS: Final = (
    Check(
        id="archives.encrypted",
        title="What redaction removes is archived encrypted",
        source="configuration",
        advice="Leave out `encrypt: false`, and name a key",
        judge=_archives_encrypted,
        pointer="/processors/redaction/archives",
    ),
    Check(
        id="redaction.keys-of-persons",
        title="What is kept of a person can be erased by destroying a key",
        source="configuration",
        advice="Keep keys of persons under `subjects`, and let a rule encrypt with `per_subject: true`",
        judge=_by_person,
        pointer="/processors/redaction/subjects",
    ),
    Check(
        id="keys.replaced",
        title="Keys are replaced within their period",
        source="trail",
        advice="Replace the key: `otelwarden audit rotate-key`, or another last line in the key file of redaction",
        judge=_rotated,
        parameters={"within": "a duration"},
        pointer="/processors/audit/key_file",
    ),
)
