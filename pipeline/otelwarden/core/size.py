"""The size of an item: one formula, everywhere.

    span        96 + name + attributes + events + links + status description
    log record  64 + body + attributes
    event       24 + name + attributes          link   40 + attributes
    attributes  for each: 32, for the key and the framing, + value
    value       text and bytes: their length; numbers, booleans and None: 8;
                lists and mappings: 8 + their contents (mappings: as attributes)

Below 64 levels, and beyond the first 65,536 values inside one value, a value counts 8 whatever it is: a list that holds
itself twice would take forever, in the application's thread.

Lengths of text are in characters, not bytes, and keys count alike: measuring both would double the cost and tell
little, as keys come from the program and values from its users. On text in Latin script the formula is near the size
of the encoded OTLP message without resource and scope, which a batch shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from otelwarden.core._sdk import bare_attributes, events_of, item_attributes, links_of, plain_attributes
from otelwarden.core.state import Item

_MAX_DEPTH = 64
_MAX_VALUES = 65_536
_SIZE: Final = "_otelwarden_size"


def size_of_value(value: Any, depth: int = 0) -> int:
    """The size of an attribute value or log body."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if kind is int or kind is float or kind is bool or value is None:
        return 8
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if kind is tuple or isinstance(value, (Mapping, Sequence)):
        return _size_of_contents(value, depth)
    return 8


def _size_of_contents(value: Mapping[Any, Any] | Sequence[Any], depth: int) -> int:
    total = 0
    left = _MAX_VALUES
    pending = [(value, depth)]
    while pending:
        container, depth = pending.pop()
        count = len(container)
        total += 8
        if depth >= _MAX_DEPTH:
            continue
        contents: Any = container
        if not isinstance(container, (list, tuple)) and isinstance(container, Mapping):
            total += 32 * count
            contents = container.values()
        if count > left:
            total += 8 * count
            continue
        left -= count
        for item in contents:
            kind = type(item)
            if kind is str or isinstance(item, (str, bytes, bytearray)):
                total += len(item)
            elif kind is int or kind is float or kind is bool:
                total += 8
            elif kind is list or kind is tuple or kind is dict or isinstance(item, (Mapping, Sequence)):
                pending.append((item, depth + 1))
            else:
                total += 8
    return total


def size_of_attributes(attributes: Mapping[str, Any]) -> int:
    """The size of a mapping of attributes."""
    total = 32 * len(attributes)
    for value in attributes.values():
        kind = type(value)
        if kind is str:
            total += len(value)
        else:
            total += 8 if kind is int else size_of_value(value)
    return total


def size_of(item: Item) -> int:
    """The size of a span or log record, in bytes by the formula of this module."""
    if isinstance(item, ReadableSpan):
        bare = bare_attributes(item)
        if bare is not None:
            return 96 + len(item.name) + size_of_attributes(bare)
        total = 96 + len(item.name) + size_of_attributes(item_attributes(item))
        for event in events_of(item):
            total += 24 + len(event.name) + size_of_attributes(plain_attributes(event.attributes))
        for link in links_of(item):
            total += 40 + size_of_attributes(plain_attributes(link.attributes))
        return total + len(item.status.description or "")
    record = item.log_record
    return 64 + size_of_value(record.body) + size_of_attributes(plain_attributes(record.attributes))


def measure(item: Item) -> int:
    """The size of an item, remembered on it, so that stages one behind the other measure it once.

    A stage that changes an item hands on a copy, which is measured anew.
    """
    size: int | None = getattr(item, _SIZE, None)
    if size is None:
        size = size_of(item)
        object.__setattr__(item, _SIZE, size)  # a readable log record is a frozen dataclass
    return size


def measured(item: Item) -> int:
    """The size of an item: the one that `measure` remembered, if it did."""
    size: int | None = getattr(item, _SIZE, None)
    return size_of(item) if size is None else size
