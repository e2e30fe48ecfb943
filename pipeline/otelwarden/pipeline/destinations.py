"""Data of a classification that is bound to destinations leaves through exporters that know no other endpoint.

Each has endpoints and a spool of its own: whatever fails, restarts or is replayed, it has nowhere else to go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core import Classification, Deadline, Item, state_of
from otelwarden.failover import FailoverConfig, FailoverLogRecordExporter, FailoverSpanExporter

_ExporterT = TypeVar("_ExporterT", bound="FailoverSpanExporter | FailoverLogRecordExporter")
_ItemT = TypeVar("_ItemT", bound=Item)


def bound_to(config: FailoverConfig, classification: Classification, names: Sequence[str]) -> FailoverConfig:
    """The configuration of an exporter that knows these endpoints alone.

    Args:
        names: labels of endpoints, which are there.
    """
    spool = config.spool
    if spool is not None:
        # A directory is shared by whoever replays what is in it.
        spool = replace(spool, path=f"{spool.path.rstrip('/')}-{classification}")
    endpoints = tuple(endpoint for endpoint in config.endpoints if endpoint.label in names)
    return replace(config, endpoints=endpoints, spool=spool)


class _Split(Generic[_ExporterT]):
    """Hands each item of a batch to the exporter of its classification."""

    def __init__(self, others: _ExporterT, bound: Mapping[Classification, _ExporterT]) -> None:
        self._others: _ExporterT = others
        self._bound: Mapping[Classification, _ExporterT] = bound

    def parts(self, batch: Sequence[_ItemT]) -> list[tuple[_ExporterT, list[_ItemT]]]:
        bound = self._bound
        parts: dict[Classification | None, list[_ItemT]] = {}
        for item in batch:
            classification = state_of(item).classification
            parts.setdefault(classification if classification in bound else None, []).append(item)
        return [
            (self._others if classification is None else bound[classification], items)
            for classification, items in parts.items()
        ]

    def shutdown(self, timeout_millis: float) -> None:
        deadline = Deadline.after_millis(timeout_millis)
        for exporter in (self._others, *self._bound.values()):
            exporter.shutdown(deadline.remaining_millis)

    def force_flush(self, timeout_millis: float) -> bool:
        deadline = Deadline.after_millis(timeout_millis)
        # Each is flushed, whatever another answers.
        done = [exporter.force_flush(deadline.remaining_millis) for exporter in (self._others, *self._bound.values())]
        return all(done)


class DestinationSpanExporter(SpanExporter):
    """Exports spans of bound classifications through exporters of their own.

    Args:
        others: for all other spans.
        bound: the exporter of each classification that is bound.
    """

    counts_its_losses = True

    def __init__(self, others: FailoverSpanExporter, bound: Mapping[Classification, FailoverSpanExporter]) -> None:
        self._split = _Split(others, bound)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports each span where it may go."""
        results = [exporter.export(part) for exporter, part in self._split.parts(spans)]
        done = all(result is SpanExportResult.SUCCESS for result in results)
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Shuts all of them down within one deadline."""
        self._split.shutdown(timeout_millis)

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Flushes all of them within one deadline."""
        return self._split.force_flush(timeout_millis)


class DestinationLogRecordExporter(LogRecordExporter):
    """As `DestinationSpanExporter`, for log records."""

    counts_its_losses = True

    def __init__(
        self, others: FailoverLogRecordExporter, bound: Mapping[Classification, FailoverLogRecordExporter]
    ) -> None:
        self._split = _Split(others, bound)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Exports each record where it may go."""
        results = [exporter.export(part) for exporter, part in self._split.parts(batch)]
        done = all(result is LogRecordExportResult.SUCCESS for result in results)
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Shuts all of them down within one deadline."""
        self._split.shutdown(timeout_millis)

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Flushes all of them within one deadline."""
        return self._split.force_flush(timeout_millis)
