"""The compliance stage for spans: takes the sample, and holds back what may not leave."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from otelwarden.compliance.watch import Watch
from otelwarden.core import (
    TRACES,
    Drop,
    ItemState,
    Runtime,
    SpanStageExporter,
    SpanStageProcessor,
    SpanTransform,
    TenantResolver,
)


def _transform(watch: Watch) -> SpanTransform:
    def transform(span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        watch.take_one(TRACES, span)
        return watch.refuses(TRACES, state.tenant) or span

    return transform


class ComplianceSpanProcessor(SpanStageProcessor):
    """Shows each span that it hands to the next processor to the watch; while that blocks its kind, it goes no further.

    Args:
        next_processor: the next in line.
        watch: looks at what leaves.
        resolver: whose a span is that no stage before this one has asked about.
        runtime: None for the watch's.
    """

    def __init__(
        self,
        next_processor: SpanProcessor,
        *,
        watch: Watch,
        resolver: TenantResolver | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__(
            next_processor,
            _transform(watch),
            component="compliance",
            on_error="pass",
            resolver=resolver,
            runtime=runtime or watch.runtime,
        )


class ComplianceSpanExporter(SpanStageExporter):
    """The same in front of an exporter; the arguments are those of `ComplianceSpanProcessor`."""

    def __init__(self, next_exporter: SpanExporter, *, watch: Watch, runtime: Runtime | None = None) -> None:
        super().__init__(
            next_exporter,
            _transform(watch),
            component="compliance",
            on_error="pass",
            runtime=runtime or watch.runtime,
        )
