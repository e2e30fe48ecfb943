"""Spans on the wire."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from otelwarden.core import SPAN_ID, TRACE_ID, TRACE_STATE, events_of, fields_of, links_of, plain_attributes
from otelwarden.otlp.attributes import Attributes
from otelwarden.otlp.repair import Repairs
from otelwarden.otlp.wire import delimited, enumeration, fixed64, optional, pack_fixed32, uint32

_ATTRIBUTES: Final = Attributes(9, level=4)
_EVENT_ATTRIBUTES: Final = Attributes(3, level=5)
_LINK_ATTRIBUTES: Final = Attributes(4, level=5)

_pack_times: Final[Callable[[int, Any, int, Any], bytes]] = struct.Struct("<BQBQ").pack
_START_TIME: Final = 0x39
_END_TIME: Final = 0x41

_KINDS: Final = {kind: bytes((0x30, kind.value + 1)) for kind in SpanKind}
_STATUS: Final = b"\x7a"
_BARE_STATUSES: Final = {code: delimited(_STATUS, enumeration(b"\x18", code.value)) for code in StatusCode}
_HAS_IS_REMOTE: Final = pack_fixed32(0x100)
_IS_REMOTE: Final = pack_fixed32(0x300)
_FLAGS: Final = b"\x85\x01" + _HAS_IS_REMOTE
_FLAGS_OF_REMOTE: Final = b"\x85\x01" + _IS_REMOTE
_LINK_FLAGS: Final = b"\x35" + _HAS_IS_REMOTE
_LINK_FLAGS_OF_REMOTE: Final = b"\x35" + _IS_REMOTE


def encode_span(span: ReadableSpan, repairs: Repairs) -> bytes:
    """A span as a `Span` message, without tag and length; raises whatever what cannot be repaired does."""
    context, parent, name, kind, start, end, status, attributes, all_there_is = fields_of(span)
    parts = [b"\x0a\x10", context[TRACE_ID].to_bytes(16, "big"), b"\x12\x08", context[SPAN_ID].to_bytes(8, "big")]
    append = parts.append
    trace_state = context[TRACE_STATE]
    if trace_state:
        append(optional(b"\x1a", repairs.utf8(",".join([f"{key}={value}" for key, value in trace_state.items()]))))
    if parent:
        append(b"\x22\x08")
        append(parent[SPAN_ID].to_bytes(8, "big"))
    append(optional(b"\x2a", repairs.utf8_of(name)))
    append(_KINDS[kind])
    if start and end:
        append(_pack_times(_START_TIME, start, _END_TIME, end))
    else:
        append(fixed64(b"\x39", start) + fixed64(b"\x41", end))
    if attributes:
        _ATTRIBUTES.write(attributes, parts, repairs)
    if not all_there_is:
        _write_rest(span, parts, repairs)
    if status is not None:
        append(_encode_status(status, repairs) if status.description else _BARE_STATUSES[status.status_code])
    append(_FLAGS_OF_REMOTE if parent and parent.is_remote else _FLAGS)
    return b"".join(parts)


def _write_rest(span: ReadableSpan, parts: list[bytes], repairs: Repairs) -> None:
    """Adds what most spans do not have: events, links, and how many of them and of the attributes were dropped."""
    append = parts.append
    append(uint32(b"\x50", span.dropped_attributes))
    for event in events_of(span):
        append(delimited(b"\x5a", _encode_event(event, repairs)))
    append(uint32(b"\x60", span.dropped_events))
    for link in links_of(span):
        append(delimited(b"\x6a", _encode_link(link, repairs)))
    append(uint32(b"\x70", span.dropped_links))


def _encode_status(status: Status, repairs: Repairs) -> bytes:
    message = optional(b"\x12", repairs.utf8_of(status.description))
    return delimited(_STATUS, message + enumeration(b"\x18", status.status_code.value))


def _encode_event(event: Event, repairs: Repairs) -> bytes:
    parts = [fixed64(b"\x09", event.timestamp), optional(b"\x12", repairs.utf8_of(event.name))]
    _EVENT_ATTRIBUTES.write(plain_attributes(event.attributes), parts, repairs)
    parts.append(uint32(b"\x20", event.dropped_attributes))
    return b"".join(parts)


def _encode_link(link: Link, repairs: Repairs) -> bytes:
    # As in the public encoder, the trace state of a link is not sent.
    context = link.context
    parts = [b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id.to_bytes(8, "big")]
    _LINK_ATTRIBUTES.write(plain_attributes(link.attributes), parts, repairs)
    parts.append(uint32(b"\x28", link.dropped_attributes))
    parts.append(_LINK_FLAGS_OF_REMOTE if context.is_remote else _LINK_FLAGS)
    return b"".join(parts)
