"""The logging handler of the pipelines: records of the standard library's logging become telemetry."""

from __future__ import annotations

import logging

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider

from otelwarden.core import ErrorCount, is_instrumentation_suppressed


class WardenHandler(LoggingHandler):
    """The contrib handler, with two manners of its own.

    It does not raise: the contrib one lets a message whose arguments do not fit, or whose `str()` fails, raise out of
    `logger.info()`. And it leaves out what is logged while telemetry is exported: each such line would make the next
    export log another.
    """

    def __init__(self, provider: LoggerProvider, *, level: int, errors: ErrorCount) -> None:
        super().__init__(level=level, logger_provider=provider)
        self._errors = errors
        self.addFilter(lambda _record: not is_instrumentation_suppressed())

    def emit(self, record: logging.LogRecord) -> None:
        """Emits the record, or counts the error."""
        try:
            super().emit(record)
        except Exception as error:
            self._errors.record("log", error)


def attach_handler(provider: LoggerProvider, *, level: str, errors: ErrorCount) -> logging.Handler:
    """Attaches a handler to the root logger and returns it, so that it can be detached."""
    handler = WardenHandler(provider, level=logging.getLevelName(level.upper()), errors=errors)
    logging.getLogger().addHandler(handler)
    return handler


def detach_handler(handler: logging.Handler) -> None:
    """Detaches what `attach_handler` attached."""
    logging.getLogger().removeHandler(handler)
