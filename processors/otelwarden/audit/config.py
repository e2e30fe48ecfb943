"""The configuration of the audit trail, as it stands under `processors: audit:`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.audit.retention import Keep, Retention
from otelwarden.core import ConfigError, Fault, OnError, parse_bytes, parse_duration, schema_faults

_DURATIONS: Final = ("checkpoint_interval", "coalesce_window", "sync_timeout", "segment_age")
_LEAST_BYTES: Final = 65_536  # the longest record


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLogsConfig:
    """How the records of the trail leave as log records.

    Raises:
        ConfigError: a value is out of its range.
    """

    exporter: str
    """Name of the exporter that they leave through."""
    max_bytes: int = 16 << 20
    """Bytes of records that may wait while the exporter is slow; more are lost as log records, and counted."""

    def __post_init__(self) -> None:
        if self.max_bytes < _LEAST_BYTES:
            message = "max_bytes is out of range"
            raise ConfigError(
                [Fault(message=message, pointer="/max_bytes", given=self.max_bytes, allowed=f"at least {_LEAST_BYTES}")]
            )

    @classmethod
    def from_mapping(cls, block: Mapping[str, Any]) -> TrailLogsConfig:
        """The configuration that a block describes whose shape is good; raises as the constructor does."""
        values = dict(block)
        if "max_bytes" in values:
            values["max_bytes"] = parse_bytes(values["max_bytes"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """How the trail is kept.

    Raises:
        ConfigError: a value is out of its range.
    """

    path: str = "./audit"
    """Directory of the trail, made when it is missing; processes of one service share it."""
    key_file: str | None = None
    """File with the Ed25519 private key: PKCS#8 PEM, or its 32 bytes as base64. None: one is made beside the trail."""
    witness: str | None = None
    """File outside `path` to which each checkpoint is appended, or URL of a witness. None: a rollback stays unseen."""
    checkpoint_interval: float = 10.0
    """Seconds from one checkpoint to the next; at least 0.1."""
    coalesce_window: float = 1.0
    """Seconds over which frequent decisions are counted into one record; 0 writes each by itself."""
    sync_timeout: float = 0.25
    """Seconds that a rare decision may hold up whoever made it."""
    max_pending: int = 65_536
    """Frequent decisions that may wait to be written; at least 1."""
    segment_bytes: int = 64 << 20
    """Bytes after which a file of records is followed by the next; at least 4096."""
    segment_age: float = 86_400.0
    """Seconds after which it is, too; at least 60. Records are dropped by the file."""
    retention: Mapping[str, Keep] | None = None
    """How long records stay: by `component/action`, by `component`, or `default`. None: for ever."""
    on_error: OnError = "pass"
    """What becomes of telemetry while the trail cannot be written: `pass` or `drop`."""
    logs: TrailLogsConfig | None = None
    """How the records leave as log records too; None: they stay in the trail."""

    def __post_init__(self) -> None:
        faults = [
            Fault(message=f"{name} is out of range", pointer=f"/{name}", given=value, allowed=f"at least {least}")
            for name, value, least in (
                ("checkpoint_interval", self.checkpoint_interval, 0.1),
                ("coalesce_window", self.coalesce_window, 0),
                ("sync_timeout", self.sync_timeout, 0),
                ("max_pending", self.max_pending, 1),
                ("segment_bytes", self.segment_bytes, 4096),
                ("segment_age", self.segment_age, 60),
            )
            if not value >= least
        ]
        if self.on_error not in ("pass", "drop"):
            faults.append(Fault(message="unknown on_error", given=self.on_error, allowed="pass, drop"))
        if faults:
            raise ConfigError(faults)

    @classmethod
    def from_mapping(cls, block: Mapping[str, Any], *, file: str = "", pointer: str = "") -> AuditConfig:
        """The configuration that a block of a file describes.

        Args:
            file: named in errors.
            pointer: where in the file the block stands, as a JSON pointer.

        Raises:
            ConfigError: with everything that is wrong with it.
        """
        faults = schema_faults(block, "audit", file=file, pointer=pointer)
        if faults:
            raise ConfigError(faults)
        values = dict(block)
        for name in _DURATIONS:
            if name in values:
                values[name] = parse_duration(values[name])
        if "segment_bytes" in values:
            values["segment_bytes"] = parse_bytes(values["segment_bytes"])
        try:
            if values.get("retention") is not None:
                try:
                    values["retention"] = Retention.from_mapping(values["retention"])
                except ConfigError as error:
                    raise ConfigError(fault.within("/retention") for fault in error.faults) from None
            if values.get("logs") is not None:
                try:
                    values["logs"] = TrailLogsConfig.from_mapping(values["logs"])
                except ConfigError as error:
                    raise ConfigError(fault.within("/logs") for fault in error.faults) from None
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(fault.within(pointer, file=file) for fault in error.faults) from None
