"""Whether the service says who it is, and shows what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otelwarden.compliance.checks.check import Check
from otelwarden.compliance.facts import Evidence
from otelwarden.compliance.results import Outcome, Problem, judged

IDENTITY: Final = ("service.name", "deployment.environment.name")
"""What telemetry must say of its origin."""
_ENOUGH: Final = ("notset", "debug", "info", "warning")


def _identified(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    # What a process has may come from its environment as well; the file alone is all there is without one.
    resources = [snapshot.resource for snapshot in evidence.snapshots] or [evidence.configuration.resource]
    problems = [
        Problem(target=key, message=f"the resource has no `{key}`", pointer="/service/resource")
        for key in IDENTITY
        if not all(resource.get(key) for resource in resources)
    ]
    return judged(problems, "telemetry says which service it is of, and in which environment")


def _logs_captured(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    configuration = evidence.configuration
    problems = []
    if "logs" not in configuration.pipelines:
        message = "there is no pipeline for logs"
        problems.append(Problem(target="pipeline/logs", message=message, pointer="/service/pipelines/logs"))
    elif not configuration.service.get("logging_handler"):
        message = "what the application logs is not captured"
        problems.append(Problem(target="logging", message=message, pointer="/service/logging_handler"))
    elif configuration.service.get("logging_level") not in _ENOUGH:
        message = "warnings are not captured"
        problems.append(Problem(target="logging", message=message, pointer="/service/logging_level"))
    return judged(problems, "what the application logs is captured, from warnings up at least")


def _self_metrics(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
    configuration = evidence.configuration
    problems = []
    if "metrics" not in configuration.pipelines:
        message = "there is no pipeline for metrics"
        problems.append(Problem(target="pipeline/metrics", message=message, pointer="/service/pipelines/metrics"))
    elif not configuration.service.get("self_metrics"):
        message = "the accounts of the pipelines are not published"
        problems.append(Problem(target="self_metrics", message=message, pointer="/service/self_metrics"))
    return judged(problems, "the accounts of the pipelines are published as metrics")


CHECKS: Final = (
    Check(
        id="service.identified",
        title="Telemetry says where it is from",
        source="configuration",
        advice="Give `service.name` and `deployment.environment.name` under `service: resource`",
        judge=_identified,
        pointer="/service/resource",
    ),
    Check(
        id="service.logs-captured",
        title="What the application logs is captured",
        source="configuration",
        advice="Configure a pipeline for logs, and leave the logging handler on",
        judge=_logs_captured,
        pointer="/service/logging_handler",
    ),
    Check(
        id="service.self-metrics",
        title="The pipelines show what they do",
        source="configuration",
        advice="Configure a pipeline for metrics, and leave `self_metrics` on",
        judge=_self_metrics,
        pointer="/service/self_metrics",
    ),
)
