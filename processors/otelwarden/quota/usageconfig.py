"""How usage is exported for billing: the block `usage` of quota."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from otelwarden.core import ConfigError, Fault, parse_duration
from otelwarden.quota.blocks import from_block

_DAY: Final = 86_400
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "period": (1, _DAY),
    "checkpoint": (0.1, 3600),
    "timeout": (0.1, 60),
}
_URL_ALLOWED: Final = "like https://billing.example/usage, without credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageConfig:
    """What each tenant used, told once for each period as CloudEvents.

    Raises:
        ConfigError: a field is out of range.
    """

    path: str = "./usage"
    """Directory of the events, shared by processes: `usage-2026-11.jsonl` and so on; with `url`, of those only that
    were not delivered yet."""
    url: str | None = None
    """Where each event is posted to instead, as HTTP in structured mode; None for files."""
    token_file: str | None = None
    """File with a bearer token for `url`; read at each delivery, so it may be changed."""
    source: str = "/otelwarden"
    """The `source` of the events: a URI reference that names whoever runs these processes."""
    period: float = 3600.0
    """Seconds that an event is about; a day has a whole number of periods, which begin with the day in UTC."""
    checkpoint: float = 10.0
    """Seconds between two times that a process writes down what it counted: what `kill -9` loses at most."""
    timeout: float = 5.0
    """Seconds after which one delivery to `url` has failed."""

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> Iterator[Fault]:
        for name in ("path", "source"):
            value = getattr(self, name)
            if (
                not isinstance(value, str)
                or not value
                or not value.isprintable()
                or (name == "source" and " " in value)
            ):
                yield Fault(pointer=f"/{name}", message="not a text", given=value, allowed="printable characters")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                allowed = f"from {least:g} to {most:g} seconds"
                yield Fault(pointer=f"/{name}", message="out of range", given=value, allowed=allowed)
            elif name == "period" and (value != int(value) or _DAY % int(value)):
                allowed = "whole seconds of which a day has a whole number, like 60s, 15m, 1h or 1d"
                yield Fault(pointer="/period", message="not a part of a day", given=value, allowed=allowed)
        yield from self._url_faults()

    def _url_faults(self) -> Iterator[Fault]:
        if self.url is None:
            if self.token_file is not None:
                yield Fault(pointer="/token_file", message="a token without `url`", given=self.token_file)
            return
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            credentials = parts.username is not None or parts.password is not None
        except (ValueError, AttributeError, TypeError):
            good = credentials = False
        if credentials:
            yield Fault(pointer="/url", message="a URL with a user or password in it", allowed="`token_file`")
        elif not good:
            yield Fault(pointer="/url", message="not the URL of a server", given=self.url, allowed=_URL_ALLOWED)
        elif self.token_file is not None and parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
            yield Fault(pointer="/url", message="a token would leave in the clear", given=self.url, allowed="https")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> UsageConfig:
        """The export that the block `usage` of a file describes.

        Raises:
            ConfigError: with everything that is wrong, and a pointer relative to the block to each.
        """
        return from_block(cls, settings, dict.fromkeys(_RANGES, parse_duration))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
