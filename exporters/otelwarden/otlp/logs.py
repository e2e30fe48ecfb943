"""Log records on the wire."""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk._logs import ReadableLogRecord

from otelwarden.core import item_attributes
from otelwarden.otlp.attributes import Attributes
from otelwarden.otlp.repair import Repairs
from otelwarden.otlp.values import MAX_LEVELS, encode_value
from otelwarden.otlp.wire import delimited, enumeration, fixed64, optional, pack_fixed32, uint32

_ATTRIBUTES: Final = Attributes(6, level=4)
_BODY_ROOM: Final = MAX_LEVELS - 4


def encode_log(record: ReadableLogRecord, repairs: Repairs) -> bytes:
    """A log record as a `LogRecord` message, without tag and length; raises whatever what cannot be repaired does."""
    log = record.log_record
    parts = [
        fixed64(b"\x09", log.timestamp),
        enumeration(b"\x10", getattr(log.severity_number, "value", None)),
        optional(b"\x1a", repairs.utf8_of(log.severity_text)),
        delimited(b"\x2a", encode_value(log.body, repairs, _BODY_ROOM)),
    ]
    append = parts.append
    attributes = item_attributes(record)
    if attributes:
        _ATTRIBUTES.write(attributes, parts, repairs)
    append(uint32(b"\x38", record.dropped_attributes))
    if log.trace_flags:
        append(b"\x45" + pack_fixed32(int(log.trace_flags)))
    if log.trace_id:
        append(b"\x4a\x10" + log.trace_id.to_bytes(16, "big"))
    if log.span_id:
        append(b"\x52\x08" + log.span_id.to_bytes(8, "big"))
    append(fixed64(b"\x59", log.observed_timestamp))
    append(optional(b"\x62", repairs.utf8_of(log.event_name)))
    return b"".join(parts)
