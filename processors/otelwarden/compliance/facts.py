"""What an assessment looks at: plain facts, gathered by the pipeline, by the sample and from the trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from otelwarden.compliance.config import ComplianceConfig
from otelwarden.compliance.trailfacts import TrailFacts
from otelwarden.core import Balance, Signal
from otelwarden.schemas import json_pointer

SNAPSHOT_FORMAT: Final = "otelwarden.snapshot/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What a redaction policy really does."""

    covered: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Kind of data -> signals in which every detector of it is acted on, for all tenants and under all keys."""
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Group of kinds, `pii` or `secrets` -> the kinds in it that the catalogue knows."""
    exempts_everything: bool = False
    """Whether its list of allowed keys lets any key pass."""
    kept_of_cards: tuple[int, int] = (0, 0)
    """The most characters of a card number that any rule keeps, at its beginning and at its end."""
    encrypts_by_person: bool = False
    """Whether any rule encrypts with a key of the person whose data it is, so that destroying the key erases it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFacts:
    """What one signal passes."""

    processors: Mapping[str, str]
    """Type of processor -> id of the component."""
    exporter: str
    """Id of the exporter."""


class Component(NamedTuple):
    """A component that pipelines use."""

    id: str
    pointer: str
    """Where its options stand."""
    options: Mapping[str, Any]
    """Every option with the value in force, durations in seconds and sizes in bytes."""
    signals: tuple[Signal, ...]
    """The signals whose pipelines use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration, as it is in force: with defaults, and with what the files it names say."""

    file: str
    digest: str
    components: Mapping[str, Mapping[str, Any]]
    """Id of a component -> its options; see `Component.options`."""
    pipelines: Mapping[Signal, PipelineFacts]
    policies: Mapping[str, PolicyFacts] = field(default_factory=dict)
    """Id of a redaction component -> what its policies do."""
    resource: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    """`logging_handler`, `logging_level` and `self_metrics`."""
    tenants: int | None = None
    """How many tenants are registered; None without a file of tenants."""
    tenant_attribute: str = "tenant.id"

    def used(self, kind: str) -> Iterator[Component]:
        """The components of a type, `redaction` for instance, that pipelines use."""
        for name, options in self.components.items():
            if name.partition("/")[0] != kind:
                continue
            signals = tuple(
                signal
                for signal, pipeline in self.pipelines.items()
                if name in (pipeline.exporter, *pipeline.processors.values())
            )
            if signals:
                section = "exporters" if kind == "failover" else "processors"
                yield Component(name, json_pointer([section, name]), options, signals)

    def without(self, kind: str) -> list[Signal]:
        """The signals whose pipelines have no processor of this type."""
        return [signal for signal, pipeline in self.pipelines.items() if kind not in pipeline.processors]

    def exporters(self) -> Iterator[Component]:
        """The exporters of pipelines, of archives, of what is over a limit, and of copies of the trail."""
        seen = set()
        for component in self.used("failover"):
            seen.add(component.id)
            yield component
        for kind in ("quota", "redaction", "audit"):
            for component in self.used(kind):
                for name in _beside(component.options):
                    if name not in seen:
                        seen.add(name)
                        pointer = json_pointer(["exporters", name])
                        yield Component(name, pointer, self.components[name], component.signals)

    def endpoints(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Pointer and options of each endpoint of each exporter through which anything leaves."""
        for component in self.exporters():
            for index, endpoint in enumerate(component.options["endpoints"]):
                yield f"{component.pointer}/endpoints/{index}", endpoint


def _beside(options: Mapping[str, Any]) -> Iterator[str]:
    """The exporters that a processor itself sends through."""
    for archive in options.get("archives", {}).values():
        if archive["exporter"]:
            yield archive["exporter"]
    if options.get("logs"):
        yield options["logs"]["exporter"]
    if options.get("reroute_exporter"):
        yield options["reroute_exporter"]


class Hit(NamedTuple):
    """Sensitive data that was seen leaving; never the data itself."""

    signal: Signal
    tenant: str
    entity: str
    group: str
    key: str
    """The name of the field."""
    count: int  # type: ignore[assignment]  # a field, not tuple.count


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFacts:
    """What was seen in a sample of what left."""

    scanned: Mapping[str, int] = field(default_factory=dict)
    """Items read, by signal."""
    hits: tuple[Hit, ...] = ()
    sensitive_keys: tuple[Hit, ...] = ()
    """Fields whose very name says that a special category of data is in them, and that are not empty or redacted."""
    untagged: Mapping[str, int] = field(default_factory=dict)
    """Items without the attribute of their tenant, or with that of another, by signal."""
    undeclared: Mapping[str, int] = field(default_factory=dict)
    """Attribute keys that the inventory does not have -> how many items had them."""
    environments: tuple[str, ...] = ()
    """Values of `deployment.environment.name` that were seen."""

    @property
    def items(self) -> int:
        """Items read in all."""
        return sum(self.scanned.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one process saw of itself."""

    process: str
    """Names the process; one that starts again is another."""
    digest: str
    """Of the configuration it runs with."""
    taken_ns: int
    """Nanoseconds since the Unix epoch."""
    resource: Mapping[str, str] = field(default_factory=dict)
    """`service.name` and `deployment.environment.name` of its telemetry, where it has them."""
    balances: tuple[Balance, ...] = ()
    errors: Mapping[str, int] = field(default_factory=dict)
    """Component -> errors caught."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """URL -> state: `healthy`, `degraded`, `unhealthy` or `unknown`."""
    stores: Mapping[str, bool] = field(default_factory=dict)
    """Id of a quota component -> whether the store of what was used answers."""
    free_bytes: Mapping[str, int] = field(default_factory=dict)
    """What is kept on disk, `audit` for instance -> bytes free there."""
    sample: SampleFacts = field(default_factory=SampleFacts)

    def as_document(self) -> dict[str, Any]:
        """The snapshot as plain data, for a file."""
        document = asdict(self)
        document["sample"]["hits"] = [each._asdict() for each in self.sample.hits]
        document["sample"]["sensitive_keys"] = [each._asdict() for each in self.sample.sensitive_keys]
        return {"format": SNAPSHOT_FORMAT, **document}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Snapshot:
        """The snapshot that plain data describes. Raises KeyError, TypeError or ValueError when it describes none."""
        values = dict(document)
        if values.pop("format") != SNAPSHOT_FORMAT:
            raise ValueError("another format")
        sample = dict(values["sample"])
        for name in ("hits", "sensitive_keys"):
            sample[name] = tuple(Hit(**each) for each in sample[name])
        sample["environments"] = tuple(sample["environments"])
        values["sample"] = SampleFacts(**sample)
        values["balances"] = tuple(Balance(**each) for each in values["balances"])
        return cls(**values)


class OpenFinding(NamedTuple):
    """A finding that is not settled."""

    fingerprint: str
    check: str
    status: str
    first_seen_ns: int
    expires_ns: int
    """When the exception ends; 0 without one."""


class ControlState(NamedTuple):
    """What somebody has said about a control."""

    status: str
    evidence: str
    actor: str
    time_ns: int


class Approval(NamedTuple):
    """Somebody's approval of a configuration that somebody else wrote."""

    digest: str
    author: str
    approver: str
    reference: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was decided before."""

    assessed_ns: int = 0
    """When the last whole assessment was made; 0 for never."""
    findings: tuple[OpenFinding, ...] = ()
    controls: Mapping[str, ControlState] = field(default_factory=dict)
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    """Digest of a configuration -> its approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that checks may look at."""

    now_ns: int
    """When it was gathered, nanoseconds since the Unix epoch."""
    configuration: Configuration
    declared: ComplianceConfig
    trails: tuple[TrailFacts, ...] = ()
    """Of each audit trail that could be read."""
    snapshots: tuple[Snapshot, ...] = ()
    """Of the processes that run, or ran within a day, with this configuration."""
    history: History = field(default_factory=History)

    @property
    def in_force(self) -> bool:
        """Whether anything shows that the configuration runs, or ran."""
        digest = self.configuration.digest
        return bool(self.snapshots) or any(digest in trail.configurations for trail in self.trails)
