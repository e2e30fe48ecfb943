"""From a configuration file to settings: shape by schema, meaning by the components, every fault at once.

Nothing is started, opened or written here, so a file can be judged without consequences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from otelwarden.audit import AuditConfig
from otelwarden.compliance import ComplianceConfig
from otelwarden.core import (
    LOGS,
    SIGNALS,
    BatchConfig,
    ConfigError,
    Fault,
    Signal,
    digest_of,
    parse_bytes,
    parse_duration,
    read_document,
    schema_faults,
)
from otelwarden.failover import FailoverConfig
from otelwarden.quota import QuotaConfig, StoreConfig, UsageConfig
from otelwarden.redaction import RedactionConfig
from otelwarden.tenancy import TenancyConfig

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]

PROCESSOR_ORDER: Final = ("tenancy", "quota", "redaction", "audit")
"""Who, how much, what, proof. Another order would charge or seal what does not leave, or leak what is not yet known."""

DEFAULT_DOCUMENT: Final[Mapping[str, Any]] = {
    "processors": {
        "tenancy": {"unknown": "pass"},
        "quota": {"overflow": "observe"},
        "redaction": {"policies": ["pii", "secrets"]},
    },
    "exporters": {"failover": {}},
    "service": {
        "pipelines": {
            signal: {"processors": ["tenancy", "quota", "redaction"], "exporters": ["failover"]} for signal in SIGNALS
        }
    },
}
"""What runs without a file: personal data and secrets redacted, usage counted, the standard OTLP environment as the one
endpoint. No tenant is known, so any that the application names passes."""

_CONFIGS: Final[Mapping[str, Callable[[Mapping[str, Any], Path], Any]]] = {
    "tenancy": lambda block, base: TenancyConfig.from_mapping(_absolute_paths(block, base)),
    "quota": lambda block, base: QuotaConfig.from_mapping(_absolute_paths(_with_quota_paths(block), base)),
    "redaction": lambda block, base: RedactionConfig.from_mapping(block, base=base),
    "audit": lambda block, base: AuditConfig.from_mapping(_absolute_paths(block, base)),
    "failover": lambda block, base: FailoverConfig.from_mapping(_absolute_paths(block, base)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """What one signal passes."""

    processors: Mapping[str, str]
    """Type of processor -> its id, in order."""
    exporter: str
    """Id of the exporter."""
    batch: BatchConfig
    """How items are batched; not used for metrics."""
    interval: float
    """Seconds between two collections; used for metrics only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A configuration that was found good."""

    file: str
    """The file it was read from; empty when it was given in code."""
    digest: str
    """Digest of the document, stamped on every decision."""
    tenants: Path | None
    """The file with the tenants."""
    components: Mapping[str, Any]
    """Id of a processor or exporter -> its configuration, an `AuditConfig`, `FailoverConfig`, ..."""
    resource: Mapping[str, str | int | float | bool]
    """Attributes of the resource."""
    logging_handler: bool
    """Whether records of the standard library's logging become telemetry (default = true)."""
    logging_level: str
    """The least severe level that the logging handler takes (default = notset)."""
    self_metrics: bool
    """Whether the pipelines' own accounts leave as metrics (default = true)."""
    pipelines: Mapping[Signal, PipelineSettings]
    compliance: ComplianceConfig | None = None
    """What is assessed; None when nothing is."""

    def find(self, kind: str) -> Any | None:
        """The configuration of the component of this type that pipelines use; None when none does."""
        for pipeline in self.pipelines.values():
            if kind in pipeline.processors:
                return self.components[pipeline.processors[kind]]
        return None


def load_settings(source: Source | None = None, *, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that a file, a mapping or nothing at all gives.

    Args:
        source: path of a YAML or JSON file; or the same as a mapping, with paths relative to the working directory; or
            None for `DEFAULT_DOCUMENT`.
        environment: where variables are looked up; None for the environment of this process.

    Raises:
        ConfigError: with everything that is wrong, each with file and JSON pointer.
    """
    file, base = "", Path.cwd()
    if source is None:
        document: Any = DEFAULT_DOCUMENT
    elif isinstance(source, Mapping):
        document = source
    else:
        file, base = os.fspath(source), Path(source).absolute().parent
        document = read_document(source, environment=environment)
    document = _with_empty_blocks(document)
    faults = schema_faults(document, "config", file=file)
    if faults:
        raise ConfigError(faults)
    reader = _Reader(document, file, base)
    settings = reader.settings()
    if reader.faults:
        raise ConfigError(reader.faults)
    return settings


def _with_empty_blocks(document: Any) -> Any:
    """The document in which `quota:` with nothing behind it is an empty block, as users of the Collector expect."""
    if not isinstance(document, Mapping):
        return document
    return {
        section: {name: {} if block is None else block for name, block in blocks.items()}
        if section in ("processors", "exporters") and isinstance(blocks, Mapping)
        else {}
        if section == "compliance" and blocks is None
        else blocks
        for section, blocks in document.items()
    }


class _Reader:
    """Reads one document whose shape is good, and collects what is wrong with its meaning."""

    def __init__(self, document: Mapping[str, Any], file: str, base: Path) -> None:
        self.faults: list[Fault] = []
        self._document = document
        self._file = file
        self._base = base

    def _fault(self, pointer: str, message: str, given: object = None, allowed: str = "") -> None:
        self.faults.append(Fault(file=self._file, pointer=pointer, message=message, given=given, allowed=allowed))

    def settings(self) -> Settings:
        service = self._document["service"]
        tenants = self._document.get("tenants")
        components = {**self._components("processors"), **self._components("exporters")}
        self._check_archives(components)
        self._check_trail_logs(components)
        pipelines = {signal: self._pipeline(signal, raw) for signal, raw in service["pipelines"].items()}
        self._check_other_exporters(components, pipelines.values())
        self._check_destinations(components, pipelines.values())
        return Settings(
            file=self._file,
            digest=digest_of(self._document),
            tenants=self._base / tenants if tenants else None,
            components=components,
            resource=dict(service.get("resource", {})),
            logging_handler=service.get("logging_handler", True),
            logging_level=service.get("logging_level", "notset"),
            self_metrics=service.get("self_metrics", True),
            pipelines=pipelines,
            compliance=self._compliance(),
        )

    def _compliance(self) -> ComplianceConfig | None:
        block = self._document.get("compliance")
        if block is None:
            return None
        try:
            return ComplianceConfig.from_mapping(_absolute_paths({"path": "compliance", **block}, self._base))
        except ConfigError as error:
            self._adopt(error, "/compliance")
            return None

    def _components(self, section: str) -> dict[str, Any]:
        found = {}
        for name, block in (self._document.get(section) or {}).items():
            kind = name.partition("/")[0]
            try:
                found[name] = _CONFIGS[kind](block, self._base)
            except ConfigError as error:
                self._adopt(error, f"/{section}/{name.replace('/', '~1')}")
        return found

    def _check_archives(self, components: Mapping[str, Any]) -> None:
        for name, config in components.items():
            if isinstance(config, RedactionConfig):
                for archive, each in config.archives.items():
                    if each.exporter is not None:
                        pointer = f"/processors/{name.replace('/', '~1')}/archives/{archive}/exporter"
                        self._check_reference(each.exporter, "exporters", pointer)

    def _check_other_exporters(self, components: Mapping[str, Any], pipelines: Iterable[PipelineSettings]) -> None:
        """Refuses exporters for what leaves another way that are missing, unknown, or the way of everything."""
        used = {pipeline.exporter for pipeline in pipelines}
        for name, config in components.items():
            at = f"/processors/{name.replace('/', '~1')}"
            if isinstance(config, QuotaConfig):
                option, other = "reroute_exporter", config.reroute_exporter
                if other is None and config.overflow == "reroute":
                    self._fault(f"{at}/{option}", "is missing", allowed="the id of an exporter")
            elif isinstance(config, TenancyConfig):
                option, other = "quarantine_exporter", config.quarantine_exporter
            else:
                continue
            if other is not None:
                self._check_reference(other, "exporters", f"{at}/{option}")
                if other in used:
                    self._fault(f"{at}/{option}", "the exporter of everything else", other, "another one")

    def _check_trail_logs(self, components: Mapping[str, Any]) -> None:
        for name, config in components.items():
            if isinstance(config, AuditConfig) and config.logs is not None:
                pointer = f"/processors/{name.replace('/', '~1')}/logs/exporter"
                self._check_reference(config.logs.exporter, "exporters", pointer)

    def _check_destinations(self, components: Mapping[str, Any], pipelines: Iterable[PipelineSettings]) -> None:
        """Refuses destinations that an exporter behind the redaction does not have."""
        for pipeline in pipelines:
            name = pipeline.processors.get("redaction", "")
            redaction = components.get(name)
            if redaction is None:
                continue
            pointer = f"/processors/{name.replace('/', '~1')}/classification/destinations"
            for exporter in _exporters_of(pipeline, components):
                labels = [endpoint.label for endpoint in components[exporter].endpoints]
                for classification, names in redaction.classification.destinations.items():
                    for index, label in enumerate(names):
                        if label not in labels:
                            message, allowed = f"no endpoint of {exporter} has this name", ", ".join(labels)
                            self._fault(
                                f"{pointer}/{classification}/{index}", message, label, allowed or "none is named"
                            )

    def _adopt(self, error: ConfigError, pointer: str) -> None:
        """Takes over what a component says of its block; faults in other files keep their place."""
        self.faults += [fault.within(pointer, file=self._file) for fault in error.faults]

    def _pipeline(self, signal: Signal, raw: Mapping[str, Any]) -> PipelineSettings:
        pointer = f"/service/pipelines/{signal}"
        processors: dict[str, str] = {}
        for index, name in enumerate(raw.get("processors", ())):
            kind = name.partition("/")[0]
            self._check_reference(name, "processors", f"{pointer}/processors/{index}")
            if kind in processors:
                self._fault(f"{pointer}/processors/{index}", f"a second {kind} in one pipeline", name)
            processors[kind] = name
        known = [kind for kind in processors if kind in PROCESSOR_ORDER]
        if known != sorted(known, key=PROCESSOR_ORDER.index):
            self._fault(f"{pointer}/processors", "in another order", known, ", ".join(PROCESSOR_ORDER))
        exporter = raw["exporters"][0]
        self._check_reference(exporter, "exporters", f"{pointer}/exporters/0")
        return PipelineSettings(
            processors=processors,
            exporter=exporter,
            batch=self._batch(signal, raw.get("batch", {}), f"{pointer}/batch"),
            interval=self._duration(raw.get("interval", "60s"), f"{pointer}/interval"),
        )

    def _check_reference(self, name: str, section: str, pointer: str) -> None:
        defined = self._document.get(section) or {}
        if name not in defined:
            self._fault(pointer, f"not defined under {section}", name, ", ".join(defined) or "nothing is defined there")

    def _duration(self, value: Any, pointer: str) -> float:
        try:
            seconds = parse_duration(value)
        except ConfigError as error:
            self._adopt(error, pointer)
            return 60.0
        if seconds <= 0:
            self._fault(pointer, "not positive", value, "more than 0s")
        return seconds

    def _batch(self, signal: Signal, raw: Mapping[str, Any], pointer: str) -> BatchConfig:
        values: dict[str, Any] = {"schedule_delay": 1.0} if signal == LOGS else {}
        try:
            for name, value in raw.items():
                parse = {"max_queue_bytes": parse_bytes, "schedule_delay": parse_duration}.get(name)
                values[name] = parse(value) if parse else value
            return BatchConfig(**values)
        except ConfigError as error:
            self._adopt(error, pointer)
            return BatchConfig()


def _exporters_of(pipeline: PipelineSettings, components: Mapping[str, Any]) -> list[str]:
    """Ids of the exporters that items of a pipeline may leave through."""
    quota, tenancy = (components.get(pipeline.processors.get(kind, "")) for kind in ("quota", "tenancy"))
    found = [
        pipeline.exporter,
        quota.reroute_exporter if quota is not None else None,
        tenancy.quarantine_exporter if tenancy is not None else None,
    ]
    return [name for name in found if name is not None and name in components]


def _absolute_paths(block: Any, base: Path, key: str = "") -> Any:
    """The block with its paths relative to `base`: `path`, `*_file`, `witness`, `frameworks`."""
    if isinstance(block, Mapping):
        return {name: _absolute_paths(value, base, name) for name, value in block.items()}
    if key == "frameworks" and isinstance(block, list):
        return [str(base / each) if _is_path(each) else each for each in block]
    if isinstance(block, list):
        return [_absolute_paths(each, base) for each in block]
    if isinstance(block, str) and block and (key in ("path", "witness") or key.endswith("_file")):
        return str(base / block)
    return block


def _with_quota_paths(block: Any) -> Any:
    """The block of quota with its default paths, so that these too are relative to the configuration."""
    defaults = {"store": StoreConfig().path, "usage": UsageConfig().path}
    if not isinstance(block, Mapping):
        return block
    given = {key: each for key, each in block.items() if key in defaults and isinstance(each, Mapping)}
    return {**block, **{key: {"path": defaults[key], **each} for key, each in given.items()}}


def _is_path(name: Any) -> bool:
    return isinstance(name, str) and ("/" in name or name.endswith((".yaml", ".yml", ".json")))
