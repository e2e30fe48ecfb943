"""The size of an item: one formula, everywhere.

    span        96 + name + attributes + events + links + status description
    log record  64 + body + attributes
    event       24 + name + attributes          link   40 + attributes
    attributes  for each: 32, for the key and the framing, + value
    value       text and bytes: their length; numbers, booleans and None: 8;
                lists and mappings: 8 + their contents (mappings: as attributes)

Lengths of text are in characters, not bytes, and keys count alike: measuring both would double the cost and tell
little, as keys come from the program and values from its users. On text in Latin script the formula is near the size
of the encoded OTLP message without resource and scope, which a batch shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from otelwarden.core._sdk import events_of, item_attributes, links_of, plain_attributes
from otelwarden.core.state import Item

_MAX_DEPTH = 64


def size_of_value(value: Any, depth: int = 0) -> int:
    """The size of an attribute value or log body."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if kind is int or kind is float or kind is bool or value is None:
        return 8
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if depth >= _MAX_DEPTH:
        return 8
    if isinstance(value, Mapping):
        return 8 + sum(32 + size_of_value(item, depth + 1) for item in value.values())
    if isinstance(value, Sequence):
        return 8 + sum(size_of_value(item, depth + 1) for item in value)
    return 8


def size_of_attributes(attributes: Mapping[str, Any]) -> int:
    """The size of a mapping of attributes."""
    total = 32 * len(attributes)
    for value in attributes.values():
        total += len(value) if type(value) is str else size_of_value(value)
    return total


def size_of(item: Item) -> int:
    """The size of a span or log record, in bytes by the formula of this module."""
    if isinstance(item, ReadableSpan):
        total = 96 + len(item.name) + size_of_attributes(item_attributes(item))
        for event in events_of(item):
            total += 24 + len(event.name) + size_of_attributes(plain_attributes(event.attributes))
        for link in links_of(item):
            total += 40 + size_of_attributes(plain_attributes(link.attributes))
        return total + len(item.status.description or "")
    record = item.log_record
    return 64 + size_of_value(record.body) + size_of_attributes(plain_attributes(record.attributes))
