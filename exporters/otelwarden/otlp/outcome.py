"""What became of one request: the five ways it can end, whichever the protocol."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """What an answer, or the lack of one, says about the request and about the endpoint."""

    DELIVERED = "delivered"
    """The endpoint took the request, perhaps without some of its items (`Outcome.rejected`)."""
    RETRYABLE = "retryable"
    """The endpoint cannot take it now; the same bytes may be sent again, there or elsewhere."""
    DATA_FAULT = "data_fault"
    """The endpoint refuses these bytes; so would any other."""
    ENDPOINT_FAULT = "endpoint_fault"
    """The endpoint is not what it should be (credentials, path, a defect); the bytes are for another one."""
    CANCELLED = "cancelled"
    """We called it off ourselves: it says nothing about the endpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one request."""

    verdict: Verdict
    """What it means."""
    code: str
    """What was seen: a gRPC status name, an HTTP status, or `timeout`, `connection`, `garbage`, `cancelled`."""
    reason: str = ""
    """Why the items are lost, a word for the accounts; only with DATA_FAULT."""
    rejected: int = 0
    """Items that the endpoint left out of a request it took (OTLP partial success)."""
    message: str = ""
    """What the endpoint said, shortened; for a log line, never for a metric."""
    retry_after: float | None = None
    """Seconds that the endpoint wants to be left alone; None when it did not say."""
    answered: bool = True
    """Whether the endpoint itself gave an answer; False for refused connections, timeouts and the like."""
    unconfirmed: bool = False
    """Whether it may have taken the request all the same: it was sent to it, and the answer was lost or late."""


MAX_MESSAGE = 200


def shortened(message: str | None) -> str:
    """A message of an endpoint as one line of at most `MAX_MESSAGE` characters."""
    return " ".join((message or "").split())[:MAX_MESSAGE]
