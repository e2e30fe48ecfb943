"""What each answer means: the one table of codes.

Source: the OTLP specification 1.x, "OTLP/gRPC Response" and "OTLP/HTTP Response". Where it leaves a code to the
client, an answer that is about these bytes is a data fault and everything else is a fault of the endpoint: another
endpoint may well take them.
"""

from __future__ import annotations

from typing import Final

from otelwarden.otlp.outcome import Verdict

INVALID: Final = "invalid"
TOO_LARGE: Final = "too_large"

GRPC: Final[dict[str, Verdict]] = {
    "CANCELLED": Verdict.RETRYABLE,
    "DEADLINE_EXCEEDED": Verdict.RETRYABLE,
    "ABORTED": Verdict.RETRYABLE,
    "OUT_OF_RANGE": Verdict.RETRYABLE,
    "UNAVAILABLE": Verdict.RETRYABLE,
    "DATA_LOSS": Verdict.RETRYABLE,
    "INVALID_ARGUMENT": Verdict.DATA_FAULT,
}
"""By gRPC status name; any other is an endpoint fault. RESOURCE_EXHAUSTED is retryable only with a RetryInfo."""

HTTP: Final[dict[int, Verdict]] = {
    200: Verdict.DELIVERED,
    202: Verdict.DELIVERED,
    204: Verdict.DELIVERED,
    400: Verdict.DATA_FAULT,
    413: Verdict.DATA_FAULT,
    429: Verdict.RETRYABLE,
    502: Verdict.RETRYABLE,
    503: Verdict.RETRYABLE,
    504: Verdict.RETRYABLE,
}
"""By HTTP status; any other (3xx, 401, 403, 404, 408, 500, 501 ...) is an endpoint fault."""

HTTP_REASONS: Final[dict[int, str]] = {400: INVALID, 413: TOO_LARGE}
"""Why the items of a data fault are lost."""

GRPC_TOO_LARGE: Final = ("larger than max", "exceeds maximum size", "length too large")
"""What gRPC servers (C core and Go, Java, Rust) say when a request exceeds their limit.

They say it as RESOURCE_EXHAUSTED (Rust: OUT_OF_RANGE), like an overload. Taken for one, the request would be moved from
endpoint to endpoint, fail everywhere, and hold up all that comes after it.
"""
