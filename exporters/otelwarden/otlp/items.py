"""Repaired copies of spans, log records and metrics; an item that needs none stays the same object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Metric, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from otelwarden.core import copy_event, copy_link, copy_log, copy_span, events_of, item_attributes, links_of
from otelwarden.otlp.repair import Repairs


class ItemRepairs:
    """Repairs the items of one batch; resources and scopes, which they share, once each."""

    def __init__(self) -> None:
        self._repairs = Repairs()
        self._shared: dict[int, tuple[Any, Any]] = {}  # id -> (what it is the id of, its repaired copy)

    @property
    def count(self) -> int:
        """Values changed so far."""
        return self._repairs.count

    def span(self, span: ReadableSpan) -> ReadableSpan:
        """A span that can be encoded, as far as a repair can make it one."""
        repairs = self._repairs
        resource, scope = self._resource(span.resource), self._scope(span.instrumentation_scope)
        before = repairs.count
        name = repairs.text(span.name)
        attributes = repairs.attributes(item_attributes(span))
        events = [self._event(event) for event in events_of(span)]
        links = [self._link(link) for link in links_of(span)]
        status = self._status(span.status)
        if repairs.count == before and resource is span.resource and scope is span.instrumentation_scope:
            return span
        return copy_span(
            span,
            name=name,
            attributes=attributes,
            events=events,
            links=links,
            status=status,
            resource=resource,
            scope=scope,
        )

    def log(self, record: ReadableLogRecord) -> ReadableLogRecord:
        """A log record that can be encoded, as far as a repair can make it one."""
        repairs = self._repairs
        resource, scope = self._resource(record.resource), self._scope(record.instrumentation_scope)
        before = repairs.count
        log = record.log_record
        body = repairs.value(log.body)
        attributes = repairs.attributes(item_attributes(record))
        event_name, severity_text = repairs.text(log.event_name), repairs.text(log.severity_text)
        if repairs.count == before and resource is record.resource and scope is record.instrumentation_scope:
            return record
        return copy_log(
            record,
            body=body,
            attributes=attributes,
            event_name=event_name,
            severity_text=severity_text,
            resource=resource,
            scope=scope,
        )

    def resource_metrics(self, metrics: ResourceMetrics) -> ResourceMetrics:
        """The metrics of one resource, as far as a repair can make them encodable; points never go missing."""
        scopes = [
            ScopeMetrics(self._scope(each.scope), [self._metric(metric) for metric in each.metrics], each.schema_url)
            for each in metrics.scope_metrics
        ]
        return replace(metrics, resource=self._resource(metrics.resource), scope_metrics=scopes)

    def _metric(self, metric: Metric) -> Metric:
        data: Any = metric.data
        return replace(
            metric,
            name=self._repairs.text(metric.name),
            description=self._repairs.text(metric.description),
            unit=self._repairs.text(metric.unit),
            data=replace(data, data_points=[self._point(point) for point in data.data_points]),
        )

    def _point(self, point: Any) -> Any:
        try:
            changes: dict[str, Any] = {"value": self._repairs.number(point.value)} if hasattr(point, "value") else {}
            exemplars = [self._exemplar(exemplar) for exemplar in point.exemplars or ()]
        except OverflowError:
            return point  # no float is near it: it will be dropped
        return replace(point, attributes=self._repairs.attributes(point.attributes), exemplars=exemplars, **changes)

    def _exemplar(self, exemplar: Any) -> Any:
        return replace(
            exemplar,
            filtered_attributes=self._repairs.attributes(exemplar.filtered_attributes),
            value=self._repairs.number(exemplar.value),
        )

    def _event(self, event: Event) -> Event:
        before = self._repairs.count
        name, attributes = self._repairs.text(event.name), self._repairs.attributes(event.attributes)
        return event if self._repairs.count == before else copy_event(event, name=name, attributes=attributes)

    def _link(self, link: Link) -> Link:
        before = self._repairs.count
        attributes = self._repairs.attributes(link.attributes)
        return link if self._repairs.count == before else copy_link(link, attributes=attributes)

    def _status(self, status: Status) -> Status:
        before = self._repairs.count
        description = self._repairs.text(status.description)
        return status if self._repairs.count == before else Status(status.status_code, description)

    def _resource(self, resource: Any) -> Any:
        if resource is None:
            return None
        known = self._shared.get(id(resource))
        if known is None:
            before = self._repairs.count
            attributes = self._repairs.attributes(resource.attributes)
            schema_url = self._repairs.text(resource.schema_url)
            repaired = resource if self._repairs.count == before else Resource(dict(attributes), schema_url)
            known = self._shared[id(resource)] = (resource, repaired)
        return known[1]

    def _scope(self, scope: Any) -> Any:
        if scope is None:
            return None
        known = self._shared.get(id(scope))
        if known is None:
            before = self._repairs.count
            name, version, schema_url = map(self._repairs.text, (scope.name, scope.version, scope.schema_url))
            attributes = self._repairs.attributes(scope.attributes)
            changed = self._repairs.count != before
            known = self._shared[id(scope)] = (
                scope,
                InstrumentationScope(name, version, schema_url, dict(attributes)) if changed else scope,
            )
        return known[1]
