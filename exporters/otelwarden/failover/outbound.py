"""What a selection may know of the batch that it chooses an endpoint for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otelwarden.core import LOGS, METRICS, Signal
from otelwarden.failover.terms import OPEN, Terms

_RESOURCES: Final = 1  # ExportTraceServiceRequest.resource_spans, and its like of the other signals
_RESOURCE: Final = 1  # ResourceSpans.resource, and its like
_SCOPES: Final = 2  # ResourceSpans.scope_spans, and its like
_ITEMS: Final = 2  # ScopeSpans.spans, and its like
_TRACE_ID: Final = {"traces": 1, "logs": 9}  # Span.trace_id, LogRecord.trace_id


@dataclass(frozen=True, slots=True)
class Outbound:
    """A batch that is about to leave."""

    signal: Signal
    """What it consists of."""
    body: bytes = b""
    """The serialized `Export...ServiceRequest`; empty when it has not been serialized."""
    terms: Terms = OPEN
    """Where it may go."""
    as_items: bool = False
    """Whether it can be given to an endpoint that is an exporter."""
    as_bytes: bool = True
    """Whether it can be given to any other."""

    @property
    def key(self) -> bytes:
        """What keeps batches together: the trace id of the first span or log record.

        The serialized resource where there is no trace id, as on every metric; empty for a request without any.
        """
        resources = _first(self.body, _RESOURCES)
        trace_id = b""
        if self.signal != METRICS:
            item = _first(_first(resources, _SCOPES), _ITEMS)
            trace_id = _first(item, _TRACE_ID[LOGS if self.signal == LOGS else "traces"])
        return trace_id or _first(resources, _RESOURCE)


def _first(message: bytes, number: int) -> bytes:
    """The first bytes, text or message of this field; empty when there is none.

    Source: Protocol Buffers, "Encoding". Only the bytes up to the field are looked at, so that a batch costs
    microseconds and not a parse.
    """
    return next((value for field, value in _fields(message) if field == number), b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 2:
            length, position = _varint(message, position)
            yield tag >> 3, message[position : position + length]
            position += length
        elif kind == 0:
            _, position = _varint(message, position)
        elif kind in (1, 5):
            position += 8 if kind == 1 else 4
        else:
            return


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return value, position
