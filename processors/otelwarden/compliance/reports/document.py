"""What every report is made of: an assessment, the findings of that time, what people said, and how it came to be."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from otelwarden.compliance.findings import ComplianceFinding
from otelwarden.compliance.store import FindingStore
from otelwarden.core import ConfigError, Fault

FORMAT: Final = "otelwarden.report/1"


def report_document(store: FindingStore, assessment: str | None = None) -> dict[str, Any]:
    """The report of an assessment as plain data; None for the latest. From the same store it is always the same.

    Raises:
        ConfigError: there is no such assessment.
    """
    document = store.assessment(assessment)
    if document is None:
        message = "there is no assessment yet" if assessment is None else "there is no such assessment"
        allowed = "otelwarden assess CONFIG makes one"
        raise ConfigError([Fault(file=str(store.path), message=message, given=assessment, allowed=allowed)])
    asked = set(document["checks"])
    findings = [each for each in store.findings() if each.check in asked]
    report = {
        "format": FORMAT,
        "assessment": document,
        "findings": [_finding(each, store) for each in findings],
        "controls": {name: state._asdict() for name, state in store.controls().items()},
        "trends": [
            {"time_ns": str(time_ns), "scores": scores} for time_ns, scores in store.trends(int(document["time_ns"]))
        ],
    }
    report["digest"] = _digest(report)
    return report


def _finding(finding: ComplianceFinding, store: FindingStore) -> dict[str, Any]:
    return {
        "fingerprint": finding.fingerprint,
        "check": finding.check,
        "target": finding.target,
        "tenant": finding.tenant,
        "severity": finding.severity,
        "status": finding.status.value,
        "result": finding.result,
        "message": finding.message,
        "advice": finding.advice,
        "pointer": finding.pointer,
        "requirements": list(finding.requirements),
        "first_seen_ns": str(finding.first_seen_ns),
        "last_seen_ns": str(finding.last_seen_ns),
        "config_digest": finding.config_digest,
        "approver": finding.approver,
        "reason": finding.reason,
        "expires_ns": str(finding.expires_ns),
        "history": [
            {
                "before": each.before,
                "after": each.after,
                "time_ns": str(each.time_ns),
                "actor": each.actor,
                "reason": each.reason,
            }
            for each in store.transitions(finding.fingerprint)
        ],
    }


def _digest(report: dict[str, Any]) -> str:
    text = json.dumps(report, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
