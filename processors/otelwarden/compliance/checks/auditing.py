"""Whether the audit trail is configured so that it proves something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final

from otelwarden.compliance.checks.check import Check, Judge
from otelwarden.compliance.checks.redaction import every_pipeline
from otelwarden.compliance.facts import Component, Evidence
from otelwarden.compliance.results import Outcome, Problem, absent, failed, judged

MAX_CADENCE: Final = 60.0
"""Seconds: what a crash may leave unsealed should not be older than a minute."""


def _each(fault: Callable[[Component], str], option: str, message: str) -> Judge:
    """A judge of one option of every trail; `fault` says what is wrong with it, nothing when nothing is."""

    def judge(evidence: Evidence, _: Mapping[str, Any]) -> Outcome:
        used = list(evidence.configuration.used("audit"))
        if not used:
            return failed([absent("audit")])
        problems = [
            Problem(target=component.id, message=text, pointer=f"{component.pointer}/{option}")
            for component in used
            if (text := fault(component))
        ]
        return judged(problems, message)

    return judge


def _key_fault(component: Component) -> str:
    key, path = component.options["key_file"], component.options["path"]
    if not key:
        return "the key that signs is kept in the directory of the trail, so that whoever can write there can sign"
    inside = PurePath(path) in PurePath(key).parents
    return "the key that signs lies in the directory of the trail" if inside else ""


def _witness_fault(component: Component) -> str:
    return "" if component.options["witness"] else "no checkpoint is kept elsewhere, so that a rollback would not show"


def _on_error_fault(component: Component) -> str:
    closed = component.options["on_error"] == "drop"
    return "" if closed else "telemetry leaves unrecorded while the trail cannot be written"


def _cadence_fault(component: Component) -> str:
    interval = component.options["checkpoint_interval"]
    return "" if interval <= MAX_CADENCE else f"{interval:g} seconds from one checkpoint to the next"


def _copy_fault(component: Component) -> str:
    return "" if component.options["logs"] else "no copy of the records is kept elsewhere, only checkpoints at best"


CHECKS: Final = (
    Check(
        id="audit.every-pipeline",
        title="Every pipeline is recorded",
        source="configuration",
        advice="Add `audit` to the processors of every pipeline",
        judge=every_pipeline("audit"),
        pointer="/service/pipelines",
    ),
    Check(
        id="audit.key-apart",
        title="The key that signs the trail is kept apart from it",
        source="configuration",
        advice="Name a file outside the trail under `key_file`",
        judge=_each(_key_fault, "key_file", "the key that signs the trail is kept apart from it"),
        pointer="/processors/audit/key_file",
    ),
    Check(
        id="audit.witness",
        title="Checkpoints are kept outside the trail",
        source="configuration",
        advice="Name a file elsewhere, best on another machine, under `witness`",
        judge=_each(_witness_fault, "witness", "checkpoints are kept outside the trail"),
        pointer="/processors/audit/witness",
    ),
    Check(
        id="audit.copied",
        title="Records of the trail leave for another system as they are written",
        source="configuration",
        advice="Name an exporter to another system under `logs`",
        judge=_each(_copy_fault, "logs", "records of the trail leave for another system as they are written"),
        pointer="/processors/audit/logs",
    ),
    Check(
        id="audit.fails-closed",
        title="Nothing leaves while it cannot be recorded",
        source="configuration",
        advice="Set `on_error: drop`",
        judge=_each(_on_error_fault, "on_error", "nothing leaves while it cannot be recorded"),
        pointer="/processors/audit/on_error",
    ),
    Check(
        id="audit.cadence",
        title=f"The trail is sealed at least every {MAX_CADENCE:g} seconds",
        source="configuration",
        advice=f"Set `checkpoint_interval` to at most {MAX_CADENCE:g}s",
        judge=_each(_cadence_fault, "checkpoint_interval", "the trail is sealed often enough"),
        pointer="/processors/audit/checkpoint_interval",
    ),
)
