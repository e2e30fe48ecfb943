"""Where what was used is kept: the extension point, and the memory of this process."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable

from otelwarden.core import SYSTEM_CLOCK, Clock, ConfigError, Fault, Runtime
from otelwarden.quota.budget import BudgetMeter
from otelwarden.quota.gcra import GcraMeter
from otelwarden.quota.meters import BudgetLimit, Limit, Meter, MeterKey
from otelwarden.quota.storeconfig import FILE, MEMORY, REDIS, StoreConfig

ENTRY_POINTS: Final = "otelwarden_quota_store"
"""The group of entry points under which other packages bring stores: name -> `StoreFactory`."""


class Store(Protocol):
    """Makes the meters of a limiter. An extension point: a store may back them with a file or a server."""

    def meter(self, key: MeterKey, limit: Limit, /) -> Meter:
        """The meter of one limit, with what is known of it. Called once for each key until its meter is closed."""
        ...

    def close(self, timeout: float = 5.0) -> None:
        """Gives back what is held, and stops.

        Args:
            timeout: seconds.
        """
        ...


@runtime_checkable
class Reachable(Protocol):
    """A store that may be out of reach; limits are then those of this process alone."""

    @property
    def down(self) -> bool:
        """Whether it cannot be asked at the moment."""
        ...


StoreFactory: TypeAlias = Callable[[StoreConfig, Runtime], Store]
"""Makes a store of its configuration; raises ConfigError for one that cannot be."""


class MemoryStore:
    """The memory of this process: each process has the limits for itself, and forgets what was used when it ends."""

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock

    def meter(self, key: MeterKey, limit: Limit, /) -> Meter:
        """A full meter."""
        if isinstance(limit, BudgetLimit):
            return BudgetMeter(key, limit, clock=self._clock)
        return GcraMeter(key, limit, clock=self._clock)

    def close(self, timeout: float = 5.0) -> None:
        """Holds nothing."""


def open_store(config: StoreConfig, runtime: Runtime) -> Store:
    """The store that a configuration names.

    Raises:
        ConfigError: there is none of that type, or it cannot be opened; with pointers relative to the block `store`.
    """
    if config.type == MEMORY:
        return MemoryStore(clock=runtime.clock)
    if config.type == FILE:
        from otelwarden.quota.filestore import FileStore

        return FileStore(config, runtime=runtime)
    if config.type == REDIS:
        from otelwarden.quota.redisstore import RedisStore

        return RedisStore(config, runtime=runtime)
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if config.type not in found:
        allowed = ", ".join(sorted({MEMORY, FILE, REDIS, *found}))
        raise ConfigError([Fault(pointer="/type", message="no such store", given=config.type, allowed=allowed)])
    try:
        return cast(StoreFactory, found[config.type].load())(config, runtime)
    except ConfigError:
        raise
    except Exception as error:
        message = f"the store failed to start: {type(error).__qualname__}: {error}"
        raise ConfigError([Fault(pointer="/type", message=message, given=config.type)]) from error
