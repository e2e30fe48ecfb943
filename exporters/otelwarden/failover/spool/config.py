"""The settings of the spool, with their defaults in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias

from otelwarden.core import ConfigError, Fault, parse_bytes, parse_duration

Fsync: TypeAlias = Literal["each", "interval", "none"]

_FSYNC: Final = ("each", "interval", "none")
_LEAST: Final[Mapping[str, float]] = {"max_bytes": 1 << 16, "max_age": 0.001, "fsync_interval": 0.01}
_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "max_bytes": parse_bytes,
    "max_age": parse_duration,
    "fsync_interval": parse_duration,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """Where batches wait on disk, and for how long. Raises ConfigError for what cannot be."""

    path: str
    """Directory, made when it is not there; several processes may share it."""
    max_bytes: int = 1 << 30
    """Bytes of all segments in the directory; beyond, the oldest batches are dropped; default 1 GiB."""
    max_age: float = 86_400.0
    """Seconds after which a batch that nobody took is dropped; default a day."""
    fsync: Fsync = "interval"
    """When batches are forced onto the disk: `each` before `export` returns, `interval`, `none`; default `interval`."""
    fsync_interval: float = 0.5
    """Seconds between two times under `interval`; default 0.5."""
    key_file: str | None = None
    """File with 32 bytes as base64: bodies are encrypted with AES-256-GCM; default None, not encrypted."""
    max_in_flight: int = 4
    """Requests at a time that replay what waits on disk; default 4. Metrics go one at a time, to keep their order."""

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> Iterator[Fault]:
        if not isinstance(self.path, (str, os.PathLike)) or not os.fspath(self.path):
            yield Fault(pointer="/path", message="not a directory", given=self.path)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
                yield Fault(pointer=f"/{name}", message=f"not at least {least:g}", given=value)
        if self.fsync not in _FSYNC:
            yield Fault(pointer="/fsync", message="unknown policy", given=self.fsync, allowed=", ".join(_FSYNC))
        if type(self.max_in_flight) is not int or not 1 <= self.max_in_flight <= 64:
            yield Fault(pointer="/max_in_flight", message="not from 1 to 64", given=self.max_in_flight)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> SpoolConfig:
        """The block `spool:` of a configuration.

        Raises:
            ConfigError: with everything that is wrong with it; pointers are relative to the block.
        """
        known = [each.name for each in fields(cls)]
        faults = [
            Fault(pointer=f"/{name}", message="unknown key", given=name, allowed=", ".join(known))
            for name in settings
            if name not in known
        ]
        values: dict[str, Any] = {}
        for name in (each for each in settings if each in known):
            try:
                values[name] = _PARSERS[name](settings[name]) if name in _PARSERS else settings[name]
            except ConfigError as error:
                faults += [replace(fault, pointer=f"/{name}") for fault in error.faults]
        if "path" not in settings:
            faults.append(Fault(message="missing key `path`"))
        try:
            config = cls(**{"path": ".", **values})
        except ConfigError as error:
            faults += error.faults
        if faults:
            raise ConfigError(faults)
        return config
