"""Limits follow the configuration file while the process runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from otelwarden.core import ConfigError, Runtime, WatchedFile, Watcher
from otelwarden.pipeline.settings import Settings, load_settings
from otelwarden.quota import QuotaConfig, QuotaLimiter

RELOAD_INTERVAL: Final = 0.5
"""Seconds between two looks at the configuration file."""


class LimitsReload:
    """Takes over changed defaults and plans of quota within a second; everything else is as it was at the start.

    While the file is bad or gone, the last good limits stay. Each change is told as an event: `reload`, `ok` or
    `refused`.

    Args:
        limiters: by the id of their block.
        environment: where variables are looked up.
    """

    def __init__(
        self,
        settings: Settings,
        limiters: Mapping[str, QuotaLimiter],
        *,
        runtime: Runtime,
        environment: Mapping[str, str] | None,
    ) -> None:
        self._file = WatchedFile(Path(settings.file).absolute(), clock=runtime.clock)
        self._file.changed()
        self._limiters = dict(limiters)
        self._blocks: dict[str, QuotaConfig] = {name: settings.components[name] for name in self._limiters}
        self._runtime = runtime
        self._environment = environment
        self._watcher = Watcher(self, name="limits")
        self._watcher.start(RELOAD_INTERVAL)

    def reload(self) -> bool:
        """Looks for a change; whether there was a good one."""
        try:
            if not self._file.changed():
                return False
            components = load_settings(self._file.path, environment=self._environment).components
        except ConfigError as error:
            self._refuse(error)
            return False
        except Exception as error:
            self._runtime.errors("quota").record("reload", error)
            return False
        changed = 0
        for name, limiter in self._limiters.items():
            block = components.get(name)
            if isinstance(block, QuotaConfig) and block != self._blocks[name]:
                self._blocks[name] = block
                limiter.reconfigure(block)
                changed += 1
        if changed:
            self._runtime.emit("quota", "reload", "ok", count=changed, target=str(self._file.path))
        return bool(changed)

    def _refuse(self, error: ConfigError) -> None:
        self._runtime.log.warning("limits reload", "quota: the limits stay as they are: %s", error)
        self._runtime.emit("quota", "reload", "refused", target=str(self._file.path))

    def close(self) -> None:
        """Stops looking."""
        self._watcher.stop()
