"""Calls down a chain of processors and exporters: `shutdown` and `force_flush` within one deadline, errors caught.

Losses are counted once, by whoever hands items to something that does not count its own.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

from otelwarden.core.deadline import Deadline
from otelwarden.core.failure import ErrorCount


@runtime_checkable
class CountsItsLosses(Protocol):
    """An exporter that accounts for every item it was given, so that whoever hands items to it need not."""

    counts_its_losses: bool


def counts_its_losses(exporter: object) -> bool:
    """Whether an exporter accounts for what it loses; the SDK's and other people's do not."""
    return isinstance(exporter, CountsItsLosses) and exporter.counts_its_losses


def _takes_timeout(method: Any) -> bool:
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return False
    return "timeout_millis" in parameters


def shutdown_within(component: Any, deadline: Deadline, errors: ErrorCount) -> None:
    """Shuts down the next in line, telling it what is left of the time where it can be told."""
    try:
        if _takes_timeout(component.shutdown):
            component.shutdown(timeout_millis=deadline.remaining_millis)
        else:
            component.shutdown()
    except Exception as error:
        errors.record("shutdown", error)


def flush_within(component: Any, deadline: Deadline, errors: ErrorCount) -> bool:
    """Flushes the next in line; whether it said that everything went out in time."""
    try:
        return component.force_flush(deadline.remaining_millis) is not False and not deadline.expired
    except Exception as error:
        errors.record("force_flush", error)
        return False
