"""The fields of OTLP in its JSON form (OTLP specification, "JSON Protobuf Encoding")."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One value of telemetry."""

    place: str
    """Where it stands, in a few words."""
    key: str
    """The key it stands under; empty for none."""
    value: Any


_TOP = {"resourceSpans": "span", "resourceLogs": "log", "resourceMetrics": "metric"}
_SCOPES = ("scopeSpans", "scopeLogs", "scopeMetrics")
_POINTS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def is_otlp(document: Any) -> bool:
    """Whether a document is an export request, or the data of one."""
    return isinstance(document, Mapping) and any(isinstance(document.get(name), list) for name in _TOP)


def fields_of(document: Mapping[str, Any]) -> Iterator[Field]:
    """Every text and value of an export request, wherever it stands; malformed parts are passed over."""
    for top in _TOP:
        for each in _list(document, top):
            resource = _mapping(each, "resource")
            yield from _attributes("resource", resource)
            for scopes in _SCOPES:
                for scope_items in _list(each, scopes):
                    scope = _mapping(scope_items, "scope")
                    yield from _texts("scope", scope, "name", "version")
                    yield from _attributes("scope", scope)
                    yield from _items(scope_items)


def _items(scope_items: Mapping[str, Any]) -> Iterator[Field]:
    for span in _list(scope_items, "spans"):
        yield from _texts("span", span, "name", "traceState")
        yield from _texts("span status", _mapping(span, "status"), "message")
        yield from _attributes("span", span)
        for event in _list(span, "events"):
            yield from _texts("event", event, "name")
            yield from _attributes("event", event)
        for link in _list(span, "links"):
            yield from _texts("link", link, "traceState")
            yield from _attributes("link", link)
    for record in _list(scope_items, "logRecords"):
        yield from _texts("log", record, "severityText", "eventName")
        if "body" in record:
            yield Field("log body", "", _value(record["body"]))
        yield from _attributes("log", record)
    for metric in _list(scope_items, "metrics"):
        yield from _texts("metric", metric, "name", "description", "unit")
        for kind in _POINTS:
            for point in _list(_mapping(metric, kind), "dataPoints"):
                yield from _attributes("metric", point)
                for exemplar in _list(point, "exemplars"):
                    yield from _attributes("exemplar", exemplar, "filteredAttributes")


def _list(document: Any, name: str) -> list[Mapping[str, Any]]:
    found = document.get(name) if isinstance(document, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _mapping(document: Any, name: str) -> Mapping[str, Any]:
    found = document.get(name) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _texts(place: str, document: Mapping[str, Any], *names: str) -> Iterator[Field]:
    for name in names:
        if isinstance(document.get(name), str):
            yield Field(f"{place} {name}", "", document[name])


def _attributes(place: str, document: Mapping[str, Any], name: str = "attributes") -> Iterator[Field]:
    for each in _list(document, name):
        key = each.get("key")
        if isinstance(key, str):
            yield Field(place, key, _value(each.get("value")))


def _value(value: Any, depth: int = 0) -> Any:
    """An `AnyValue` as what it stands for."""
    if not isinstance(value, Mapping) or depth > 64:
        return value if isinstance(value, str) else None
    kind, held = next(iter(value.items()), ("", None))
    if kind == "arrayValue":
        return [_value(each, depth + 1) for each in _list(held, "values")]
    if kind == "kvlistValue":
        return {str(each.get("key")): _value(each.get("value"), depth + 1) for each in _list(held, "values")}
    if kind == "bytesValue" and isinstance(held, str):
        try:
            return base64.b64decode(held, validate=True)
        except (binascii.Error, ValueError):
            return held
    return held
