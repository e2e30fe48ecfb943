"""An item as the fields it consists of, for whoever looks for something in it. Reads the public face of the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from otelwarden.core import (
    LOGS,
    METRICS,
    TRACES,
    Classification,
    Item,
    Signal,
    state_of,
    tenant_of_point,
)

MAX_FIELDS: Final = 1024
"""Fields of one item that are looked at, at most."""

MAX_TEXT: Final = 16_384
"""Characters of one field that are looked at, at most: a sample may miss the tail of a very long text."""

_MAX_DEPTH: Final = 16

Attributes = Mapping[str, Any]


class Sampled(NamedTuple):
    """An item of the sample, or a data point."""

    signal: Signal
    tenant: str
    attributes: Attributes
    """Its own attributes."""
    resource: Attributes
    fields: Sequence[tuple[str, str]]
    """Key and text of everything in it; places that have no key are called `span.name`, `log.body` and so on."""
    classification: Classification | None = None
    """What redaction found in it, None when nothing has looked."""


def _flat(key: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value[:MAX_TEXT]
    elif value is None or isinstance(value, bool) or depth > _MAX_DEPTH:
        return
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield "", str(name)[:MAX_TEXT]
            yield from _flat(f"{key}.{name}" if key else str(name), inner, depth + 1)
    elif isinstance(value, (bytes, bytearray)):
        yield key, bytes(value[:MAX_TEXT]).decode("utf-8", "replace")
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _flat(key, inner, depth + 1)
    else:
        yield key, str(value)[:MAX_TEXT]


def _bounded(*parts: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for part in parts:
        for field in part:
            if len(fields) >= MAX_FIELDS:
                return fields
            if field[1]:
                fields.append(field)
    return fields


def _scope(scope: Any) -> Iterator[tuple[str, str]]:
    if scope is not None:
        yield "scope.name", scope.name or ""
        yield from _flat("", scope.attributes or {})


def sampled_span(span: Any) -> Sampled:
    """A finished span."""
    attributes = span.attributes or {}
    events = [(f"{index}", event) for index, event in enumerate(span.events)]
    state = state_of(span)
    return Sampled(
        TRACES,
        state.tenant,
        attributes,
        span.resource.attributes,
        _bounded(
            _flat("span.name", span.name),
            _flat("", attributes),
            _flat("span.status", span.status.description),
            *(_flat("event.name", event.name) for _, event in events),
            *(_flat("", event.attributes or {}) for _, event in events),
            *(_flat("", link.attributes or {}) for link in span.links),
            _scope(span.instrumentation_scope),
            _flat("", span.resource.attributes),
        ),
        state.classification,
    )


def sampled_log(item: Any) -> Sampled:
    """A log record."""
    record = item.log_record
    attributes = record.attributes or {}
    resource = item.resource.attributes if item.resource is not None else {}
    state = state_of(item)
    return Sampled(
        LOGS,
        state.tenant,
        attributes,
        resource,
        _bounded(
            _flat("log.body", record.body),
            _flat("", attributes),
            _flat("event.name", record.event_name),
            _scope(item.instrumentation_scope),
            _flat("", resource),
        ),
        state.classification,
    )


def sampled_item(item: Item) -> Sampled:
    """A finished span or a log record."""
    return sampled_log(item) if hasattr(item, "log_record") else sampled_span(item)


def sampled_points(data: Any, tenant_attribute: str) -> Iterator[Sampled]:
    """The data points of a collection, each with the texts of its metric and the names around it."""
    for resource_metrics in data.resource_metrics:
        resource = resource_metrics.resource.attributes
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                for point in metric.data.data_points:
                    attributes = point.attributes or {}
                    yield Sampled(
                        METRICS,
                        tenant_of_point(point, tenant_attribute),
                        attributes,
                        resource,
                        _bounded(
                            _flat("metric.name", metric.name),
                            _flat("metric.description", metric.description),
                            _flat("", attributes),
                            *(_flat("", each.filtered_attributes or {}) for each in getattr(point, "exemplars", ())),
                            _scope(scope_metrics.scope),
                            _flat("", resource),
                        ),
                    )
