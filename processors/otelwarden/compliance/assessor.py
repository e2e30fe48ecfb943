"""Gathers the evidence, has it assessed, keeps what was found, and has every decision recorded."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.compliance.assessment import Assessment, assess
from otelwarden.compliance.checks import Check, all_checks
from otelwarden.compliance.checks.check import LIVE
from otelwarden.compliance.config import ComplianceConfig
from otelwarden.compliance.facts import Approval, Configuration, ControlState, Evidence, Snapshot
from otelwarden.compliance.findings import EXCEPTIONS, Decision, Refused, Transition
from otelwarden.compliance.framework import Framework, load_frameworks, shipped_controls
from otelwarden.compliance.results import Result
from otelwarden.compliance.snapshots import Snapshots
from otelwarden.compliance.store import FindingStore
from otelwarden.compliance.trailfacts import TrailFacts, gather
from otelwarden.core import (
    ConfigError,
    DecisionRecorder,
    GovernanceEvent,
    OtelwardenError,
    Runtime,
    SensitiveScanner,
    TrailReader,
)

COMPONENT: Final = "compliance"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSources:
    """Where evidence comes from; wired up by the pipeline."""

    configuration: Configuration
    scanner: SensitiveScanner
    trails: tuple[TrailReader, ...] = ()
    snapshot: Callable[[], Snapshot] | None = None
    """What this process sees of itself; None outside of the service."""
    settle: Callable[[], object] = lambda: None
    """Called before trails are read: writes and seals what waits."""


class Assessor:
    """Makes assessments, and takes decisions about what they find.

    Args:
        config: what is assessed, and what the operator declares.
        sources: where evidence comes from.
        runtime: whose clock it is, and who hears of decisions.
        recorders: where the decisions of people are written, with their names; none: they are told to the observers.

    Raises:
        ConfigError: a framework is refused, or the findings cannot be opened.
    """

    def __init__(
        self,
        config: ComplianceConfig,
        *,
        sources: EvidenceSources,
        runtime: Runtime,
        recorders: Sequence[DecisionRecorder] = (),
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.checks: Mapping[str, Check] = all_checks()
        self.frameworks: tuple[Framework, ...] = load_frameworks(config.frameworks, self.checks)
        self.store = FindingStore(config.path)
        self.snapshots = Snapshots(config.path)
        self._sources = sources
        self._recorders = tuple(recorders)
        self._errors = runtime.errors(COMPONENT)

    @property
    def configuration(self) -> Configuration:
        """What is assessed."""
        return self._sources.configuration

    # --- assessments

    def assess(self, frameworks: Iterable[str] = (), *, actor: str = "") -> Assessment:
        """Asks every question, keeps the answers, and settles or reopens findings by them.

        Args:
            frameworks: ids of frameworks; none for all that are configured.
            actor: who asked for it, as `user:<id>`; empty for the schedule.

        Raises:
            ConfigError: a framework is not configured, or the findings cannot be written.
        """
        chosen = self._chosen(frameworks)
        assessment = assess(self.gather(), chosen, self.checks, id=_new_id())
        self._tell(self.store.record(assessment), actor)
        failures = sum(each.count(Result.FAIL) for each in assessment.frameworks)
        self._record("assessment_made", assessment.result.value, target=assessment.id, count=failures, actor=actor)
        return assessment

    def look(self) -> Assessment:
        """Asks what a running process can answer by itself, without reading a trail; findings follow."""
        evidence = self._live(())
        assessment = assess(evidence, self.frameworks, self.checks, id=_new_id(), sources=LIVE)
        self._tell(self.store.record(assessment, whole=False), "")
        return assessment

    def excepted(self) -> set[str]:
        """Fingerprints of the findings for which an exception is in force."""
        now_ns = self.runtime.clock.time_ns()
        return {
            each.fingerprint for each in self.store.findings() if each.status in EXCEPTIONS and each.expires_ns > now_ns
        }

    def _chosen(self, names: Iterable[str]) -> tuple[Framework, ...]:
        wanted = list(names)
        known = {framework.id: framework for framework in self.frameworks}
        for name in wanted:
            if name not in known:
                raise ConfigError(f"the framework {name} is not configured; configured are {', '.join(known)}")
        return tuple(known[name] for name in dict.fromkeys(wanted)) or self.frameworks

    def gather(self) -> Evidence:
        """Everything that checks may look at, as it is now."""
        self._sources.settle()
        return self._live(self._trails())

    def _live(self, trails: tuple[TrailFacts, ...]) -> Evidence:
        own = self._sources.snapshot() if self._sources.snapshot is not None else None
        now_ns = self.runtime.clock.time_ns()
        digest = self.configuration.digest
        snapshots = {each.process: each for each in self.snapshots.read(digest, now_ns=now_ns)}
        if own is not None:
            snapshots[own.process] = own
            try:
                self.snapshots.write(own)
                self.snapshots.tidy(now_ns=now_ns)
            except OSError as error:
                self._errors.record("snapshot", error)
        return Evidence(
            now_ns=now_ns,
            configuration=self.configuration,
            declared=self.config,
            trails=trails,
            snapshots=tuple(snapshots.values()),
            history=self.store.history(),
        )

    def _trails(self) -> tuple[TrailFacts, ...]:
        found = []
        for trail in self._sources.trails:
            try:
                found.append(gather(trail, self._sources.scanner))
            except (OSError, OtelwardenError) as error:  # no trail is no evidence, and checks say so
                self._errors.record("trail", error)
        return tuple(found)

    # --- decisions of people

    def decide(self, fingerprint: str, decision: Decision) -> Transition:
        """Makes of a finding what a person decides. Raises Refused."""
        transition = self.store.decide(fingerprint, decision, now_ns=self.runtime.clock.time_ns())
        self._tell([transition], decision.actor)
        return transition

    def set_control(self, control: str, status: str, *, evidence: str = "", actor: str) -> ControlState:
        """Keeps what somebody says of a control.

        Args:
            status: `not`, `partially`, `fully` or `verified`.
            evidence: where it can be seen; needed for `verified`.
            actor: who says it.

        Raises:
            Refused: there is no such control or status, or something is missing.
        """
        if control not in self.controls():
            raise Refused(f"there is no control {control!r}; there are {', '.join(sorted(self.controls()))}")
        state = ControlState(status, evidence, actor, self.runtime.clock.time_ns())
        self.store.set_control(control, state)
        self._record("control_status", status, target=control, actor=actor)
        return state

    def controls(self) -> dict[str, Any]:
        """Every control that there is, by id: the shipped ones, and those of the frameworks."""
        return {**shipped_controls(), **{n: c for f in self.frameworks for n, c in f.controls.items()}}

    def approve(self, *, author: str, approver: str, reference: str = "") -> Approval:
        """Keeps somebody's approval of the configuration, as it stands now. Raises Refused."""
        now_ns = self.runtime.clock.time_ns()
        approval = Approval(self.configuration.digest, author, approver, reference, now_ns)
        self.store.approve(approval)
        self._record("config_approved", "four_eyes", target=approval.digest, actor=approver)
        return approval

    # --- the record of decisions

    def _tell(self, transitions: Iterable[Transition], actor: str) -> None:
        for each in transitions:
            check = each.check.partition("(")[0]
            self._record(f"finding_{each.after}", check, target=each.fingerprint, tenant=each.tenant, actor=actor)

    def _record(
        self, action: str, reason: str, *, target: str = "", tenant: str = "", count: int = 1, actor: str = ""
    ) -> None:
        if not actor or not self._recorders:
            self.runtime.emit(COMPONENT, action, reason, target=target, tenant=tenant, count=count)
            return
        event = GovernanceEvent(
            self.runtime.clock.time_ns(), COMPONENT, action, reason, tenant, count=count, target=target
        )
        for recorder in self._recorders:
            recorder.append_sync(event, actor=actor if ":" in actor else f"user:{actor}")


def _new_id() -> str:
    return f"a-{secrets.token_hex(8)}"


def new_process_name() -> str:
    """A name for this process that no other has had."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"
