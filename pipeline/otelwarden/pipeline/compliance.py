"""What compliance needs of the others: the configuration as facts, a scanner, the trails, what a process sees."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from otelwarden.audit import AuditConfig, AuditTrail, SigningKey, TrailEvidence, VerifyingKey, first_key
from otelwarden.compliance import (
    Assessor,
    ComplianceConfig,
    Configuration,
    EvidenceSources,
    PipelineFacts,
    PolicyFacts,
    Sample,
    Snapshot,
    new_process_name,
)
from otelwarden.core import (
    SIGNALS,
    TENANT_ATTRIBUTE,
    Balance,
    ConfigError,
    DecisionRecorder,
    Runtime,
    SensitiveHit,
    SensitiveScanner,
    Signal,
    run_in_child_after_fork,
)
from otelwarden.failover import EndpointPool, FailoverConfig
from otelwarden.pipeline.settings import Settings
from otelwarden.quota import QuotaLimiter
from otelwarden.redaction import (
    Allowance,
    Detector,
    Encrypt,
    Mask,
    RedactionConfig,
    RedactionPolicy,
    Rule,
    Scanner,
    catalogue,
)
from otelwarden.redaction.joined import join_texts
from otelwarden.tenancy import TenancyConfig, TenantRegistry

_CARD: Final = "PAYMENT_CARD"
_ADDRESS: Final = "IP_ADDRESS"
_MAX_KEYS: Final = 4096
_NOBODYS_KEYS: Final = ("zq.probe.one", "Yx_probe", "http.probe.7")
"""Names that no list of exceptions has a reason to name, one by one; who lets all of them pass lets any pass."""

_IDENTITY: Final = ("service.name", "deployment.environment.name")
_UNKNOWN: Final = "unknown_service"
"""What the SDK says when nobody has named the service."""

_READS: Final = 10
_BETWEEN_READS: Final = 0.02  # seconds


@cache
def _sure_detectors() -> tuple[Detector, ...]:
    """The detectors of the catalogue that are sure of what they find: a doubtful hit is no evidence."""
    return tuple(detector for detector in catalogue() if detector.confidence == "high")


@cache
def _catalogue_scanner() -> Scanner:
    """The scanner of these; compiling their patterns takes a while, and threads may share it."""
    return Scanner(_sure_detectors())


class CatalogueScanner:
    """Looks for everything that the catalogue and the policies know, whatever a policy would do about it."""

    def __init__(self, policies: Sequence[RedactionPolicy] = ()) -> None:
        own = {detector.id: detector for policy in policies for detector in policy.detectors if not detector.catalogued}
        self._scanner = Scanner((*_sure_detectors(), *own.values())) if own else _catalogue_scanner()
        self._keys: dict[str, tuple[int, ...]] = {}

    @property
    def entities(self) -> frozenset[str]:
        """The kinds of data it can find."""
        return frozenset(detector.entity for detector in self._scanner.detectors)

    def _detectors_of(self, key: str) -> tuple[int, ...]:
        """As the scanner says, remembered: keys repeat, and asking every detector takes a fifth of a millisecond."""
        detectors = self._keys.get(key)
        if detectors is None:
            if len(self._keys) >= _MAX_KEYS:
                self._keys.clear()
            detectors = self._keys[key] = self._scanner.detectors_of_key(key)
        return detectors

    def scan(self, fields: Sequence[tuple[str, str]]) -> list[SensitiveHit]:
        """What is in the fields, each kind once for each field."""
        if not fields:
            return []
        joined = join_texts([text for _, text in fields])
        hits = self._scanner.scan(joined)
        for number, (key, _) in enumerate(fields):
            if key and (detectors := self._detectors_of(key)):
                self._scanner.scan_under_key(joined, number, detectors, hits)
        found = set()
        for hit in hits:
            detector = self._scanner.detectors[hit.detector]
            if detector.entity == _ADDRESS and joined.text(hit.text)[hit.end : hit.end + 1] == b"/":
                continue  # a network: what a policy makes of an address when it generalises it
            found.add(SensitiveHit(hit.text, detector.entity, detector.group))
        return sorted(found)


def policies_of(settings: Settings) -> Mapping[str, RedactionPolicy]:
    """What the files of redaction say, by the id of the component; raises ConfigError for one that is refused."""
    redactions = {name: each for name, each in settings.components.items() if isinstance(each, RedactionConfig)}
    return {name: config.load_policy() for name, config in redactions.items()}


def configuration_of(settings: Settings, policies: Mapping[str, RedactionPolicy]) -> Configuration:
    """Settings as facts: with defaults, and with what the files they name say.

    Raises:
        ConfigError: a file cannot be read, or is refused.
    """
    tenancy: TenancyConfig | None = settings.find("tenancy")
    return Configuration(
        file=settings.file,
        digest=settings.digest,
        components={name: _plain(config) for name, config in settings.components.items()},
        pipelines={
            signal: PipelineFacts(processors=dict(pipeline.processors), exporter=pipeline.exporter)
            for signal, pipeline in settings.pipelines.items()
        },
        policies={name: policy_facts(policy) for name, policy in policies.items()},
        resource=dict(settings.resource),
        service={
            "logging_handler": settings.logging_handler,
            "logging_level": settings.logging_level,
            "self_metrics": settings.self_metrics,
        },
        tenants=_tenants(settings),
        tenant_attribute=tenancy.attribute if tenancy is not None else TENANT_ATTRIBUTE,
    )


def _tenants(settings: Settings) -> int | None:
    if settings.tenants is None:
        return None
    registry = TenantRegistry(settings.tenants, runtime=Runtime())
    try:
        return len(registry.list())
    finally:
        registry.close()


def _plain(value: Any) -> Any:
    """A configuration as plain data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key.value if isinstance(key, Enum) else key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def policy_facts(policy: RedactionPolicy) -> PolicyFacts:
    """What a policy really does about each kind of data that the catalogue knows."""
    by_entity: dict[str, list[Detector]] = {}
    groups: dict[str, set[str]] = {}
    for detector in _sure_detectors():
        by_entity.setdefault(detector.entity, []).append(detector)
        groups.setdefault(detector.group, set()).add(detector.entity)
    acting = {signal: [rule for rule in policy.rules if _acts_always(rule, signal)] for signal in SIGNALS}
    covered = {
        entity: frozenset(
            signal
            for signal, rules in acting.items()
            if all(any(rule.is_about(detector) for rule in rules) for detector in detectors)
        )
        for entity, detectors in by_entity.items()
    }
    masks = [
        rule.action
        for rule in policy.rules
        if isinstance(rule.action, Mask) and any(rule.is_about(detector) for detector in by_entity.get(_CARD, ()))
    ]
    return PolicyFacts(
        covered=covered,
        groups={group: frozenset(entities) for group, entities in groups.items()},
        exempts_everything=any(_exempts_any_key(allowance) for allowance in policy.allowances),
        kept_of_cards=(
            max((mask.keep_first for mask in masks), default=0),
            max((mask.keep_last for mask in masks), default=0),
        ),
        encrypts_by_person=any(
            isinstance(rule.action, Encrypt) and rule.action.per_subject and not rule.dry_run for rule in policy.rules
        ),
    )


def _acts_always(rule: Rule, signal: Signal) -> bool:
    """Whether a rule changes what it is about, whoever the tenant is and wherever it stands."""
    everywhere = rule.tenants is None and (rule.signals is None or signal in rule.signals)
    return everywhere and not rule.has_conditions and not rule.stands_beside


def _exempts_any_key(allowance: Allowance) -> bool:
    return allowance.keys is not None and all(allowance.keys.match(key) for key in _NOBODYS_KEYS)


def trails_of(settings: Settings) -> tuple[TrailEvidence, ...]:
    """The trails that pipelines write, for reading; judged by the key that is configured, where there is one."""
    return tuple(
        TrailEvidence(config.path, public_key=_public_key(config), against=config.witness)
        for config in audits_of(settings)
    )


def audits_of(settings: Settings) -> Iterator[AuditConfig]:
    """The audit components that pipelines use, each once."""
    names = {name for each in settings.pipelines.values() for name in each.processors.values()}
    for name, config in settings.components.items():
        if name in names and isinstance(config, AuditConfig):
            yield config


def _public_key(config: AuditConfig) -> VerifyingKey | None:
    """The key that the trail began with: the one that is configured, or one that this has replaced."""
    if not config.key_file:
        return None
    try:
        return first_key(Path(config.path), SigningKey.load(config.key_file).verifying_key)
    except (ConfigError, OSError):
        return None  # an auditor need not be able to read the private key


class ProcessView:
    """Sees of the running process what is evidence.

    Args:
        sample: what leaves.
        pools: the endpoints.
        limiters: id of a quota component -> its limits.
        resource: what its telemetry says of its origin.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        *,
        sample: Sample,
        pools: Callable[[], Sequence[EndpointPool]],
        limiters: Callable[[], Mapping[str, QuotaLimiter]],
        resource: Mapping[str, Any],
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._sample = sample
        self._pools = pools
        self._limiters = limiters
        self._resource = {key: str(resource[key]) for key in _IDENTITY if resource.get(key, _UNKNOWN) != _UNKNOWN}
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._process = new_process_name()

    def snapshot(self) -> Snapshot:
        """What it sees now."""
        errors = self._runtime.error_counts()
        return Snapshot(
            process=self._process,
            digest=self._settings.digest,
            taken_ns=self._runtime.clock.time_ns(),
            resource=self._resource,
            balances=settled_balances(self._runtime),
            errors={name: sum(counts.values()) for name, counts in sorted(errors.items())},
            stores={name: limiter.store_answers for name, limiter in self._limiters().items()},
            endpoints={each.url: each.status.value for pool in self._pools() for each in pool.stats()},
            free_bytes=dict(_free_bytes(self._settings)),
            sample=self._sample.look(),
        )


def settled_balances(runtime: Runtime) -> tuple[Balance, ...]:
    """The accounts at rest: an item that is just passing a stage is in none of its counts but `received`.

    Each account is read until it closes, a few times at most.
    """
    best: dict[tuple[str, str | None, str], Balance] = {}
    pause = threading.Event()
    for _ in range(_READS):
        for balance in runtime.balances():
            name = balance.component, balance.signal, balance.tenant
            if name not in best or best[name].unaccounted:
                best[name] = balance
        if not any(balance.unaccounted for balance in best.values()):
            break
        pause.wait(_BETWEEN_READS)
    return tuple(best[name] for name in sorted(best, key=str))


def _free_bytes(settings: Settings) -> Iterator[tuple[str, int]]:
    places = {"compliance": settings.compliance.path} if settings.compliance is not None else {}
    for config in settings.components.values():
        if isinstance(config, AuditConfig):
            places["audit"] = config.path
        elif isinstance(config, FailoverConfig) and config.spool is not None:
            places["spool"] = config.spool.path
    for what, where in places.items():
        path = Path(where).absolute()
        while not path.exists():
            path = path.parent
        yield what, shutil.disk_usage(path).free


def open_assessor(
    settings: Settings,
    config: ComplianceConfig,
    *,
    runtime: Runtime,
    policies: Mapping[str, RedactionPolicy] | None = None,
    scanner: SensitiveScanner | None = None,
    recorders: Sequence[DecisionRecorder] = (),
    snapshot: Callable[[], Snapshot] | None = None,
    settle: Callable[[], object] = lambda: None,
) -> Assessor:
    """The assessor of a configuration, of the running service or from outside.

    Args:
        policies: as `policies_of` has them; None to load them.
        scanner: None for a new one.
        recorders: the trails that decisions of people are written to.
        snapshot: what this process sees of itself; None outside of the service.
        settle: called before trails are read.

    Raises:
        ConfigError: a file is refused, or the findings cannot be opened.
    """
    if policies is None:
        policies = policies_of(settings)
    sources = EvidenceSources(
        configuration=configuration_of(settings, policies),
        scanner=scanner or CatalogueScanner(tuple(policies.values())),
        trails=trails_of(settings),
        snapshot=snapshot,
        settle=settle,
    )
    return Assessor(config, sources=sources, runtime=runtime, recorders=recorders)


def settle_trails(trails: Sequence[AuditTrail]) -> None:
    """Writes and seals what waits."""
    for trail in trails:
        trail.checkpoint()
