"""Without a line of code: `opentelemetry-instrument`, and what works like it, make the pipelines of a file.

The SDK loads one configurator, the first that it finds unless OTEL_PYTHON_CONFIGURATOR names one. Ours acts only where
it is named and OTELWARDEN_CONFIG says with which file; otherwise it leaves the work to the one that would have done it
without us, so that nobody's telemetry changes because this package is installed.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_CONFIGURATOR
from opentelemetry.instrumentation.logging.environment_variables import OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION

from otelwarden.pipeline.configure import configure

CONFIGURATOR: Final = "otelwarden"
"""What OTEL_PYTHON_CONFIGURATOR names."""

CONFIG_FILE: Final = "OTELWARDEN_CONFIG"
"""The variable with the path of the configuration."""

_GROUP: Final = "opentelemetry_configurator"
_logger: Final = logging.getLogger("otelwarden")


class OtelwardenConfigurator:
    """Configures the SDK of a process that is instrumented from outside."""

    def configure(self, **options: Any) -> None:
        """Starts the pipelines, or has another configurator do what it would.

        Args:
            options: what the loader tells every configurator; handed on.

        Raises:
            ConfigError: with everything that is wrong with the file. No telemetry leaves the process then.
        """
        named = os.environ.get(OTEL_PYTHON_CONFIGURATOR) == CONFIGURATOR
        file = os.environ.get(CONFIG_FILE, "").strip()
        if named and file:
            _configure(file)
            return
        if named:
            _logger.warning("%s names no file: the standard configurator does the work", CONFIG_FILE)
        _delegate(options)


def _configure(file: str) -> None:
    warden = configure(file)
    if warden.logger_provider is not None and warden.settings.logging_handler:
        # The instrumentation of logging, loaded next, would attach a second handler to the same provider.
        os.environ[OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION] = "false"


def _delegate(options: dict[str, Any]) -> None:
    for other in entry_points(group=_GROUP):
        if other.name != CONFIGURATOR:
            other.load()().configure(**options)
            return
