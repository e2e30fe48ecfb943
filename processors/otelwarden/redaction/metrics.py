"""Redaction of metrics: `RedactionMetricReader`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import Metric, MetricReader, MetricsData, ResourceMetrics, ScopeMetrics

from otelwarden.core import (
    DROP_ON_ERROR,
    METRICS,
    DropPoints,
    GovernedMetricReader,
    OnError,
    Runtime,
    default_runtime,
    tenant_of_point,
)
from otelwarden.redaction.document import Unscannable
from otelwarden.redaction.envelopes import Envelopes, text_or_empty
from otelwarden.redaction.evidence import COMPONENT, Evidence
from otelwarden.redaction.points import merge_equal
from otelwarden.redaction.policy import PolicySource, RedactionPolicy, policy_of
from otelwarden.redaction.redactor import MAX_VALUE_LENGTH, Redactor


class MetricRedaction:
    """The transform of the metric stage. A metric that it fails on is dropped or passed alone, not the collection."""

    def __init__(self, policy: RedactionPolicy, runtime: Runtime, max_value_length: int, on_error: OnError) -> None:
        self._tenant_attribute = runtime.tenant_attribute
        self._redactor = Redactor(
            policy, max_value_length=max_value_length, exempt=frozenset([runtime.tenant_attribute])
        )
        self._evidence = Evidence(runtime)
        self._envelopes = Envelopes(self._redactor, self._evidence.of_envelope)
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
        scopes = [changed for each in metrics.scope_metrics if (changed := self._scope(each, dropped))]
        if not scopes:
            return None
        if resource is metrics.resource:
            return replace(metrics, scope_metrics=scopes)
        return replace(metrics, resource=resource, schema_url=resource.schema_url, scope_metrics=scopes)

    def _scope(self, metrics: ScopeMetrics, dropped: DropPoints) -> ScopeMetrics | None:
        try:
            scope: Any = self._envelopes.scope(metrics.scope, METRICS, "")
        except Unscannable as error:
            self._drop_scope(metrics, error.reason, dropped)
            return None
        left = [changed for metric in metrics.metrics if (changed := self._guarded(metric, dropped))]
        if not left:
            return None
        if scope is metrics.scope:
            return replace(metrics, metrics=left)
        return replace(metrics, scope=scope, schema_url=scope.schema_url or "", metrics=left)

    def _guarded(self, metric: Metric, dropped: DropPoints) -> Metric | None:
        try:
            return self._metric(metric, dropped)
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

    def _metric(self, metric: Metric, dropped: DropPoints) -> Metric:
        named = self._names(metric)
        before = metric.data.data_points
        after: list[Any] = [self._point(point) for point in before]
        if all(new is old for new, old in zip(after, before, strict=True)):
            return named
        points, absorbed, lost = merge_equal(metric.data, after)
        for reason, gone in (("merged", absorbed), ("unmergeable", lost)):
            for point in gone:
                dropped(tenant_of_point(point, self._tenant_attribute), reason, 1)
        data: Any = metric.data
        return replace(named, data=replace(data, data_points=points))

    def _names(self, metric: Metric) -> Metric:
        document = self._redactor.document()
        name = document.text("metric.name", metric.name)
        description = document.optional("metric.description", metric.description)
        unit = document.optional("metric.unit", metric.unit)
        redaction = self._redactor.redact(document, METRICS, "")
        if redaction is None:
            return metric
        self._evidence.of_item(redaction.counts, METRICS, "")
        edits = redaction.edits
        return replace(
            metric,
            name=text_or_empty(edits, name, metric.name),
            description=text_or_empty(edits, description, metric.description),
            unit=text_or_empty(edits, unit, metric.unit),
        )

    def _point(self, point: Any) -> Any:
        tenant = tenant_of_point(point, self._tenant_attribute)
        document = self._redactor.document()
        fields = document.fields(point.attributes or {})
        exemplars = [(exemplar, document.fields(exemplar.filtered_attributes or {})) for exemplar in point.exemplars]
        redaction = self._redactor.redact(document, METRICS, tenant)
        if redaction is None:
            return point
        self._evidence.of_item(redaction.counts, METRICS, tenant)
        edits = redaction.edits
        return replace(
            point,
            attributes=fields.rebuild(edits),
            exemplars=[replace(exemplar, filtered_attributes=each.rebuild(edits)) for exemplar, each in exemplars],
        )


class RedactionMetricReader(GovernedMetricReader):
    """Redacts what is collected before the reader sees it.

    Args:
        reader: the next in line, in-memory, periodic or pull.
        policy: a policy, or names and paths of policies.
        on_error: what becomes of a metric that redaction failed on; `drop` fails closed.
        runtime: None for the one shared by all stages that are used by hand.
        max_value_length: characters of the longest value that is scanned; a metric with a longer one is dropped.

    Raises:
        ConfigError: a policy is refused.
    """

    def __init__(
        self,
        reader: MetricReader,
        *,
        policy: RedactionPolicy | Sequence[PolicySource],
        on_error: OnError = "drop",
        runtime: Runtime | None = None,
        max_value_length: int = MAX_VALUE_LENGTH,
    ) -> None:
        runtime = runtime or default_runtime()
        transform = MetricRedaction(policy_of(policy), runtime, max_value_length, on_error)
        super().__init__(reader, transform, component=COMPONENT, on_error=on_error, runtime=runtime)
