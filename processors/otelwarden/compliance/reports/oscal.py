"""OSCAL assessment results (NIST, version 1.1 and later), and a check of references that its schema does not make."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otelwarden.compliance.reports.words import WORDS, iso, unattended

OSCAL_VERSION: Final = "1.1.3"

_NAMESPACE: Final = uuid.UUID("6f1d4c2e-0d0b-5f4e-9d53-3f3a2a5f7c11")
_NS: Final = "https://otelwarden.example/ns/oscal"
_NO_TOKEN: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_REFERENCES: Final = ("observation-uuid", "risk-uuid", "finding-uuid", "subject-uuid", "party-uuids", "actor-uuid")

_RISKS: Final[Mapping[str, str]] = {
    "open": "open",
    "reopened": "open",
    "acknowledged": "investigating",
    "in_progress": "remediating",
    "suppressed": "deviation-approved",
    "accepted": "deviation-approved",
    "false_positive": "deviation-approved",
    "resolved": "closed",
}


def oscal_results(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as OSCAL assessment results: one result for each framework. Every UUID follows from the assessment."""
    assessment = report["assessment"]
    ids = _Ids(assessment["id"])
    plan, tool, configuration = ids.of("plan"), ids.of("tool"), ids.of("configuration")
    digest = assessment["evidence"]["configuration"]["digest"]
    return {
        "assessment-results": {
            "uuid": ids.of("results"),
            "metadata": {
                "title": "Compliance of telemetry",
                "last-modified": iso(assessment["time_ns"]),
                "version": assessment["id"],
                "oscal-version": OSCAL_VERSION,
                "props": [_prop("digest", assessment["digest"]), _prop("report-digest", report["digest"])],
                "parties": [{"uuid": tool, "type": "organization", "name": "otelwarden"}],
            },
            "import-ap": {"href": f"#{plan}"},
            "results": [_result(each, report, ids, configuration) for each in assessment["frameworks"]]
            or [_empty_result(assessment, ids)],
            "back-matter": {
                "resources": [
                    {
                        "uuid": plan,
                        "title": "Assessment plan",
                        "description": "Every check that the frameworks name is run over the configuration, the audit "
                        "trail, a sample of what leaves, and the counters of the pipelines.",
                    },
                    {
                        "uuid": configuration,
                        "title": "Configuration",
                        "description": f"The configuration with the digest {digest}.",
                    },
                ]
            },
        }
    }


class _Ids:
    """UUIDs that follow from the id of the assessment and what they name."""

    def __init__(self, assessment: str) -> None:
        self._assessment = assessment

    def of(self, *names: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, "\x00".join((self._assessment, *names))))


def token(text: str) -> str:
    """A text as an OSCAL token: `5(1)(f)` is `r-5.1.f`."""
    return "r-" + _NO_TOKEN.sub(".", text.replace("(", ".").replace(")", "")).strip(".")


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": _NS, "value": value}


def _result(framework: Mapping[str, Any], report: Mapping[str, Any], ids: _Ids, configuration: str) -> dict[str, Any]:
    assessment = report["assessment"]
    checks = assessment["checks"]
    name, moment = framework["id"], iso(assessment["time_ns"])
    asked = sorted({key for requirement in framework["requirements"] for key in requirement["checks"]})
    findings = [each for each in report["findings"] if any(r.startswith(f"{name}/") for r in each["requirements"])]
    result: dict[str, Any] = {
        "uuid": ids.of(name),
        "title": f"{framework['title']} ({framework['version']})",
        "description": framework["note"] or framework["title"],
        "start": moment,
        "end": moment,
        "props": [_prop("framework", name)]
        + ([_prop("score", f"{framework['score']:g}")] if framework["score"] is not None else []),
        "reviewed-controls": {"control-selections": [_selection(framework)]},
    }
    if asked:
        result["observations"] = [_observation(name, key, checks[key], ids, moment, configuration) for key in asked]
    if findings:
        result["risks"] = [_risk(name, each, ids) for each in findings]
    if framework["requirements"]:
        result["findings"] = [_finding(framework, each, findings, ids) for each in framework["requirements"]]
    return result


def _empty_result(assessment: Mapping[str, Any], ids: _Ids) -> dict[str, Any]:
    return {
        "uuid": ids.of("nothing"),
        "title": "Nothing",
        "description": "No framework was assessed.",
        "start": iso(assessment["time_ns"]),
        "reviewed-controls": {"control-selections": [{"include-all": {}}]},
    }


def _selection(framework: Mapping[str, Any]) -> dict[str, Any]:
    if not framework["requirements"]:
        return {"include-all": {}}
    return {"include-controls": [{"control-id": token(each["id"])} for each in framework["requirements"]]}


def _observation(
    framework: str, key: str, run: Mapping[str, Any], ids: _Ids, moment: str, configuration: str
) -> dict[str, Any]:
    observed = ", ".join(f"{name}: {value}" for name, value in sorted(run["observed"].items()))
    return {
        "uuid": ids.of(framework, "observation", key),
        "title": run["title"],
        "description": run["message"] or run["title"],
        "props": [_prop("check", key), _prop("source", run["source"]), _prop("result", run["result"])],
        "methods": ["EXAMINE" if run["source"] == "configuration" else "TEST"],
        "types": ["finding"],
        "relevant-evidence": [{"href": f"#{configuration}", "description": observed or run["title"]}],
        "collected": moment,
    }


def _risk(framework: str, finding: Mapping[str, Any], ids: _Ids) -> dict[str, Any]:
    props = [_prop("fingerprint", finding["fingerprint"]), _prop("severity", finding["severity"])]
    if finding["status"] in ("false_positive", "accepted", "suppressed"):
        props.append(_prop(finding["status"].replace("_", "-"), f"by {finding['approver']}"))
    return {
        "uuid": ids.of(framework, "risk", finding["fingerprint"]),
        "title": finding["message"],
        "description": finding["advice"] or finding["message"],
        "statement": finding["message"],
        "props": props,
        "status": _RISKS[finding["status"]],
    }


def _finding(
    framework: Mapping[str, Any], requirement: Mapping[str, Any], findings: list[Mapping[str, Any]], ids: _Ids
) -> dict[str, Any]:
    name, result = framework["id"], requirement["result"]
    holds = result in ("pass", "warn", "not_applicable")
    reason = "pass" if result in ("pass", "warn") else "fail" if result == "fail" else "other"
    said = "Somebody must say whether it is met." if unattended(requirement) else f"It {WORDS[result]}."
    finding: dict[str, Any] = {
        "uuid": ids.of(name, "finding", requirement["id"]),
        "title": f"{requirement['id']} {requirement['title']}",
        "description": requirement["text"] or requirement["title"],
        "props": [_prop("result", result), _prop("severity", requirement["severity"])],
        "target": {
            "type": "objective-id",
            "target-id": token(requirement["id"]),
            "status": {"state": "satisfied" if holds else "not-satisfied", "reason": reason, "remarks": said},
        },
    }
    if requirement["checks"]:
        finding["related-observations"] = [
            {"observation-uuid": ids.of(name, "observation", key)} for key in requirement["checks"]
        ]
    risks = [each for each in findings if f"{name}/{requirement['id']}" in each["requirements"]]
    if risks:
        finding["related-risks"] = [{"risk-uuid": ids.of(name, "risk", each["fingerprint"])} for each in risks]
    return finding


def dangling_references(document: Any) -> list[str]:
    """Every reference in an OSCAL document to something that is not in it, and every UUID that stands twice.

    The schema of OSCAL allows both, and so do the tools that load it.
    """
    defined: dict[str, int] = {}
    referred: list[tuple[str, str]] = []
    for key, value in _walk(document, ""):
        if key == "uuid":
            defined[value] = defined.get(value, 0) + 1
        elif key in _REFERENCES:
            referred.append((key, value))
        elif key == "href" and value.startswith("#"):
            referred.append((key, value[1:]))
    faults = [f"the UUID {name} stands {count} times" for name, count in sorted(defined.items()) if count > 1]
    faults += [f"{key} {value} is not in the document" for key, value in referred if value not in defined]
    return faults


def _walk(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _walk(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value, key)
    elif isinstance(node, str):
        yield key, node
