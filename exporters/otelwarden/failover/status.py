"""What may be said of an endpoint."""

from __future__ import annotations

import enum


class Status(enum.Enum):
    """What an endpoint's recent past says about the next request."""

    UNKNOWN = "unknown"
    """Never tried; taken for healthy."""
    HEALTHY = "healthy"
    """Took the last request."""
    DEGRADED = "degraded"
    """Failed lately, is on its way back, slow, or fails now and then; chosen after every healthy one."""
    UNHEALTHY = "unhealthy"
    """Failed `failure_threshold` times in a row; chosen when there is nothing better."""


RANK = {Status.UNKNOWN: 0, Status.HEALTHY: 0, Status.DEGRADED: 1, Status.UNHEALTHY: 2}
"""The order of choice; equal for those that a selection strategy may choose among."""
