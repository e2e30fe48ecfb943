"""Where it is kept what was used: the block `store` of quota."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from otelwarden.core import ConfigError, Fault, parse_duration

Fallback: TypeAlias = Literal["open", "closed", "fair"]

FALLBACKS: Final[tuple[Fallback, ...]] = ("open", "closed", "fair")
MEMORY: Final = "memory"
FILE: Final = "file"
REDIS: Final = "redis"

_SCHEMES: Final = ("redis", "rediss", "unix")
_URL_ALLOWED: Final = "like redis://host:6379/0, rediss://host:6380/0 for TLS, or unix:///run/redis.sock"
_DURATIONS: Final[Mapping[str, tuple[float, float]]] = {"interval": (0.001, 60.0), "timeout": (0.001, 60.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Where it is kept what was used, and what holds while that cannot be asked.

    Raises:
        ConfigError: a field is out of range, or is of no use to this type of store.
    """

    type: str = MEMORY
    """`memory`: each process has the limits for itself; `file`: shared by the processes of one host, and kept; `redis`:
    shared by a fleet (Redis 6 or Valkey, and later); or the name of a store that another package brings."""
    path: str = "./quota.db"
    """The file that the processes share; made when it is missing."""
    url: str = "redis://localhost:6379/0"
    """Of the Redis server; without a password, which would end up in logs."""
    username: str | None = None
    """For the Redis server; None for its default user."""
    password_file: str | None = None
    """File whose text is the password; read at each connection, so it may be changed."""
    password_env: str | None = None
    """Environment variable that holds the password."""
    ca_file: str | None = None
    """File with the certificates (PEM) that may vouch for the server; None for those of the system."""
    cert_file: str | None = None
    """File with the certificate (PEM) that this process shows."""
    key_file: str | None = None
    """File with the private key (PEM) of `cert_file`; None if it is in there."""
    prefix: str = "otelwarden"
    """What all keys in Redis begin with; processes that share limits share it."""
    interval: float = 0.025
    """Seconds between two calls of one process to Redis; stretched so that a fleet makes at most 150 calls/s."""
    timeout: float = 0.1
    """Seconds after which a call has failed."""
    fallback: Fallback = "fair"
    """What passes while the store cannot be asked: `open` everything, `closed` nothing, `fair` this process's equal
    share of each limit, by elapsed time."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What a store of another package wants to know."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        faults = list(self._faults())
        if faults:
            raise ConfigError(faults)

    def _faults(self) -> Iterator[Fault]:
        for name in ("type", "path", "prefix"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or not value.isprintable():
                yield Fault(pointer=f"/{name}", message="not a text", given=value, allowed="printable characters")
        if self.fallback not in FALLBACKS:
            allowed = ", ".join(FALLBACKS)
            yield Fault(pointer="/fallback", message="unknown fallback", given=self.fallback, allowed=allowed)
        for name, (least, most) in _DURATIONS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                allowed = f"from {least:g} to {most:g} seconds"
                yield Fault(pointer=f"/{name}", message="out of range", given=value, allowed=allowed)
        yield from self._url_faults()
        if self.password_file is not None and self.password_env is not None:
            yield Fault(pointer="/password_env", message="a second password", given=self.password_env)
        if self.key_file is not None and self.cert_file is None:
            yield Fault(pointer="/key_file", message="a key without `cert_file`", given=self.key_file)

    def _url_faults(self) -> Iterator[Fault]:
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except (ValueError, AttributeError, TypeError):
            yield Fault(pointer="/url", message="not a URL", given=self.url, allowed=_URL_ALLOWED)
            return
        if parts.password is not None or parts.username is not None:
            message = "a URL with a user or password in it"
            yield Fault(pointer="/url", message=message, allowed="`username`, and `password_file` or `password_env`")
            return
        database = parts.path.strip("/") if parts.scheme != "unix" else ""
        bad = parts.scheme not in _SCHEMES or port == 0 or (database and not database.isdecimal()) or parts.query
        if bad or not (parts.path if parts.scheme == "unix" else parts.hostname):
            yield Fault(pointer="/url", message="not the URL of a Redis server", given=self.url, allowed=_URL_ALLOWED)

    def read_password(self) -> str | None:
        """The password; None for none.

        Raises:
            ConfigError: its file cannot be read, or its variable is not set.
        """
        if self.password_env is not None:
            password = os.environ.get(self.password_env)
            if password is None:
                message = "the environment has no such variable"
                raise ConfigError([Fault(pointer="/password_env", message=message, given=self.password_env)])
            return password
        if self.password_file is None:
            return None
        try:
            return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            message = f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
            raise ConfigError([Fault(pointer="/password_file", message=message, given=self.password_file)]) from None

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> StoreConfig:
        """The store that the block `store` of a file describes.

        Raises:
            ConfigError: with everything that is wrong, and a pointer relative to the block to each.
        """
        faults = [
            Fault(pointer=f"/{key}", message="unknown key", given=key, allowed=", ".join(sorted(_names())))
            for key in settings
            if key not in _names()
        ]
        values = {key: value for key, value in settings.items() if key in _names()}
        for name in _DURATIONS:
            if name in values:
                try:
                    values[name] = parse_duration(values[name])
                except ConfigError as error:
                    faults += [fault.within(f"/{name}") for fault in error.faults]
                    del values[name]
        if not faults:
            return cls(**values)
        raise ConfigError(faults)


def _names() -> list[str]:
    return [each.name for each in fields(StoreConfig)]
