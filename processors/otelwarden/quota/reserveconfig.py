"""What is set aside for traces with errors: the block `reserve` of quota."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.core import ConfigError, Fault, parse_bytes, parse_duration
from otelwarden.quota.blocks import from_block

_LARGEST: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveConfig:
    """A bounded memory in which traces over a rate wait for their end, and a share of the rate for those with errors.

    Raises:
        ConfigError: a field is out of range.
    """

    share: float = 0.2
    """Part of each rate that traces with errors may use which were over it; more than 0, at most 0.5. What they leave
    of it is there for all others."""
    max_spans: int = 4096
    """Spans that wait at most, of all tenants together. Beyond, the tenant with most of them has its longest known
    trace decided at once."""
    max_bytes: int = 16 << 20
    """Bytes of them, as `core.size_of` counts them, at most."""
    max_age: float = 60.0
    """Seconds that a trace waits for its end; then it is decided by what is known."""

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> Iterator[Fault]:
        if not _is_number(self.share) or not 0 < self.share <= 0.5:
            yield Fault(pointer="/share", message="out of range", given=self.share, allowed="more than 0, at most 0.5")
        for name, unit in (("max_spans", "spans"), ("max_bytes", "bytes")):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
                allowed = f"from 1 to {_LARGEST} {unit}"
                yield Fault(pointer=f"/{name}", message="out of range", given=value, allowed=allowed)
        if not _is_number(self.max_age) or not 0.1 <= self.max_age <= 3600:
            allowed = "from 0.1 to 3600 seconds"
            yield Fault(pointer="/max_age", message="out of range", given=self.max_age, allowed=allowed)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> ReserveConfig:
        """The reserve that the block `reserve` of a file describes.

        Raises:
            ConfigError: with everything that is wrong, and a pointer relative to the block to each.
        """
        return from_block(cls, settings, {"max_bytes": parse_bytes, "max_age": parse_duration})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
