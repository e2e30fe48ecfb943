"""Redaction of metrics: `RedactionMetricReader`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from opentelemetry.sdk.metrics.export import Metric, MetricReader, MetricsData, ResourceMetrics, ScopeMetrics

from otelwarden.core import (
    DROP_ON_ERROR,
    METRICS,
    Drop,
    DropPoints,
    GovernedMetricReader,
    OnError,
    Runtime,
    default_runtime,
    tenant_of_point,
)
from otelwarden.redaction.actions import ItemFacts
from otelwarden.redaction.case import Redaction
from otelwarden.redaction.document import Unscannable
from otelwarden.redaction.envelopes import MAX_ENVELOPES, text_or_empty
from otelwarden.redaction.evidence import COMPONENT
from otelwarden.redaction.flat import NOT_FLAT, FlatHits, FlatItem, FlatItems
from otelwarden.redaction.live import AnyPolicy, follow
from otelwarden.redaction.points import merge_equal
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.stage import BLOCKED_ITEM, BOUND_POINT, DEFAULT_OPTIONS, RedactionOptions, Workplace


class _Around(NamedTuple):
    """What a metric stands in."""

    resource: ResourceMetrics
    scope: ScopeMetrics
    metric: Metric

    def alone(self, point: Any) -> MetricsData:
        """A collection of this one point, as it came."""
        data: Any = self.metric.data
        metric = replace(self.metric, data=replace(data, data_points=[point]))
        scope = replace(self.scope, metrics=[metric])
        return MetricsData([replace(self.resource, scope_metrics=[scope])])


class _Point(NamedTuple):
    """A point, and the scope that it was measured in."""

    point: Any
    scope: str


def facts_of_point(point: _Point) -> ItemFacts:
    """What actions and conditions may know about a data point."""
    return ItemFacts(point.point.time_unix_nano or 0, point.point.attributes or {}, point.scope)


class MetricRedaction:
    """The transform of the metric stage. A metric that it fails on is dropped or passed alone, not the collection."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, options: RedactionOptions, on_error: OnError) -> None:
        self._tenant_attribute = runtime.tenant_attribute
        self._work = Workplace(METRICS, policy, runtime, options, facts_of_point)
        self._redactor = self._work.redactor
        self._evidence = self._work.evidence
        self._envelopes = self._work.envelopes
        self._flat = FlatItems(self._redactor, ())
        self._clean: set[tuple[str, str | None, str | None]] = set()
        self._errors = runtime.errors(COMPONENT)
        self._on_error = on_error

    def __call__(self, data: MetricsData, dropped: DropPoints) -> MetricsData:
        """The collection as it may leave; what did not change is shared."""
        left = [changed for each in data.resource_metrics if (changed := self._resource(each, dropped))]
        return MetricsData(left)

    def _resource(self, metrics: ResourceMetrics, dropped: DropPoints) -> ResourceMetrics | None:
        try:
            resource = self._envelopes.resource(metrics.resource, METRICS, "")
        except Unscannable as error:
            for each in metrics.scope_metrics:
                self._drop_scope(each, error.reason, dropped)
            return None
        scopes = [changed for each in metrics.scope_metrics if (changed := self._scope(metrics, each, dropped))]
        if not scopes:
            return None
        if resource is metrics.resource:
            return replace(metrics, scope_metrics=scopes)
        return replace(metrics, resource=resource, schema_url=resource.schema_url, scope_metrics=scopes)

    def _scope(self, outer: ResourceMetrics, metrics: ScopeMetrics, dropped: DropPoints) -> ScopeMetrics | None:
        try:
            scope: Any = self._envelopes.scope(metrics.scope, METRICS, "")
        except Unscannable as error:
            self._drop_scope(metrics, error.reason, dropped)
            return None
        around = (_Around(outer, metrics, metric) for metric in metrics.metrics)
        left = [changed for each in around if (changed := self._guarded(each, dropped))]
        if not left:
            return None
        if scope is metrics.scope:
            return replace(metrics, metrics=left)
        return replace(metrics, scope=scope, schema_url=scope.schema_url or "", metrics=left)

    def _guarded(self, around: _Around, dropped: DropPoints) -> Metric | None:
        metric = around.metric
        try:
            return self._metric(around, dropped)
        except Unscannable as error:
            self._drop_all(metric, error.reason, dropped)
        except Exception as error:
            self._errors.record("transform", error)
            if self._on_error == "pass":
                return metric
            self._drop_all(metric, DROP_ON_ERROR.reason, dropped)
        return None

    def _drop_scope(self, metrics: ScopeMetrics, reason: str, dropped: DropPoints) -> None:
        for metric in metrics.metrics:
            self._drop_all(metric, reason, dropped)

    def _drop_all(self, metric: Metric, reason: str, dropped: DropPoints) -> None:
        for point in metric.data.data_points:
            dropped(tenant_of_point(point, self._tenant_attribute), reason, 1)

    def _metric(self, around: _Around, dropped: DropPoints) -> Metric | None:
        metric = around.metric
        named = self._names(metric)
        before: Sequence[Any] = metric.data.data_points
        after: list[Any] = []
        seen = self._look(before)
        for number, point in enumerate(before):
            new = point if number not in seen else self._point(point, around, seen[number])
            if isinstance(new, Drop):
                dropped(tenant_of_point(point, self._tenant_attribute), new.reason, 1)
            else:
                after.append(new)
        if len(after) == len(before) and all(new is old for new, old in zip(after, before, strict=True)):
            return named
        points, absorbed, lost = merge_equal(metric.data, after)
        for reason, gone in (("merged", absorbed), ("unmergeable", lost)):
            for point in gone:
                dropped(tenant_of_point(point, self._tenant_attribute), reason, 1)
        data: Any = metric.data
        return replace(named, data=replace(data, data_points=points)) if points else None

    def _look(self, points: Sequence[Any]) -> dict[int, Any]:
        """Which of the points cannot pass as they are."""
        if self._work.classifies:
            return dict.fromkeys(range(len(points)), NOT_FLAT)
        return self._flat.look([_flat_item(point) for point in points])

    def _names(self, metric: Metric) -> Metric:
        names = metric.name, metric.description, metric.unit
        if names in self._clean:
            return metric
        document = self._redactor.document()
        name = document.place("metric.name", metric.name)
        description = document.place("metric.description", metric.description)
        unit = document.place("metric.unit", metric.unit)
        redaction = self._redactor.redact(document, METRICS, "", ItemFacts())
        if redaction is None:
            # The same ones come with every collection.
            if len(self._clean) >= MAX_ENVELOPES:
                self._clean.clear()
            self._clean.add(names)
            return metric
        self._evidence.of_item(redaction.counts, METRICS, "")
        if redaction.blocked:
            raise Unscannable(BLOCKED_ITEM.reason)
        if self._work.is_bound(redaction.classification):
            raise Unscannable(BOUND_POINT.reason)
        if not redaction.changes:
            return metric
        edits = redaction.edits
        return replace(
            metric,
            name=text_or_empty(edits, name, metric.name),
            description=text_or_empty(edits, description, metric.description),
            unit=text_or_empty(edits, unit, metric.unit),
        )

    def _point(self, point: Any, around: _Around, seen: FlatHits | object) -> Any | Drop:
        tenant = tenant_of_point(point, self._tenant_attribute)
        redaction, changes = self._decided(point, seen, tenant, _Point(point, around.scope.scope.name))
        classification = self._work.class_of(redaction, around.resource.resource, around.scope.scope, "")
        if redaction is not None:
            self._evidence.of_item(redaction.counts, METRICS, tenant)
        if self._work.is_bound(classification):
            # A collection leaves as a whole, and the rest of it may go where this must not.
            return BOUND_POINT
        if redaction is None:
            return point
        if redaction.archives:
            self._work.archive(around.alone(point), redaction)
        if redaction.blocked:
            return BLOCKED_ITEM
        return replace(point, **changes) if changes else point

    def _decided(
        self, point: Any, seen: FlatHits | object, tenant: str, facts: _Point
    ) -> tuple[Redaction | None, dict[str, Any]]:
        """What was decided about a point, and what of it becomes another."""
        if isinstance(seen, FlatHits):
            result = self._flat.redact(seen, METRICS, tenant, facts)
            if result is None or not result[0].changes:
                return result and result[0], {}
            return result[0], {"attributes": result[1]}
        document = self._redactor.document()
        fields = document.fields(point.attributes or {})
        exemplars = [(exemplar, document.fields(exemplar.filtered_attributes or {})) for exemplar in point.exemplars]
        redaction = self._redactor.redact(document, METRICS, tenant, facts)
        if redaction is None or not redaction.changes:
            return redaction, {}
        edits = redaction.edits
        left = [replace(exemplar, filtered_attributes=each.rebuild(edits)) for exemplar, each in exemplars]
        return redaction, {"attributes": fields.rebuild(edits), "exemplars": left}


def _flat_item(point: Any) -> FlatItem | None:
    """The texts of a point; None for one whose exemplars have some, too."""
    if any(exemplar.filtered_attributes for exemplar in point.exemplars):
        return None
    return (), point.attributes or {}


class RedactionMetricReader(GovernedMetricReader):
    """Redacts what is collected before the reader sees it.

    Args:
        reader: the next in line, in-memory, periodic or pull.
        policy: a policy, one that follows its files, or names and paths of policies.
        on_error: what becomes of a metric that redaction failed on; `drop` fails closed.
        runtime: None for the one shared by all stages that are used by hand.
        options: keys, archives, limits and what else redaction may be given.

    Raises:
        ConfigError: a policy is refused, or needs a key or an archive that is not there.
    """

    def __init__(
        self,
        reader: MetricReader,
        *,
        policy: AnyPolicy,
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        options: RedactionOptions = DEFAULT_OPTIONS,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = follow(policy, lambda of: MetricRedaction(of, runtime, options, on_error))
        super().__init__(reader, transform, component=COMPONENT, on_error=on_error, runtime=runtime)
