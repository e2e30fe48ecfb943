"""Telemetry at a steady rate, every item with an id of its own, to see afterwards what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from opentelemetry._logs import SeverityNumber
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from otelwarden.core.events import Signal
from otelwarden.testing._journal import ReceivedRequest
from otelwarden.testing.received import decode_span_ids
from otelwarden.testing.receiver import FaultyReceiver

SERIES: Final = 500
"""Points in one collection of a `MetricWorkload`."""

ATTRIBUTES: Final = {f"attribute.{number}": "a value of some length" for number in range(12)}
"""What every span carries, and half of it every log record."""

_SOME: Final = dict(list(ATTRIBUTES.items())[:6])
_ID: Final = "item.id"
_SERIES: Final = "series"


class Workload(Protocol):
    """Makes items of one signal, and knows their ids."""

    signal: Signal
    sent: set[str]
    """The ids of all items made so far."""

    def work(self, count: int) -> None:
        """Makes that many items; nothing where the pipeline itself asks for them."""
        ...

    def flush(self, timeout_millis: int = 30_000) -> bool:
        """Flushes the pipeline, its exporter included."""
        ...

    def shutdown(self) -> None:
        """Shuts the pipeline down."""
        ...


class SpanWorkload:
    """Spans of twelve attributes, half a kilobyte each; their id is the span id."""

    def __init__(self, processor: SpanProcessor) -> None:
        self.signal: Signal = "traces"
        self.sent: set[str] = set()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("workload")

    def work(self, count: int) -> None:
        """See `Workload.work`."""
        for _ in range(count):
            span = self._tracer.start_span("work", attributes=ATTRIBUTES)
            self.sent.add(span.get_span_context().span_id.to_bytes(8, "big").hex())
            span.end()

    def flush(self, timeout_millis: int = 30_000) -> bool:
        """See `Workload.flush`."""
        return self._provider.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """See `Workload.shutdown`."""
        self._provider.shutdown()


class LogWorkload:
    """Log records of seven attributes, the first of which is their id."""

    def __init__(self, processor: LogRecordProcessor) -> None:
        self.signal: Signal = "logs"
        self.sent: set[str] = set()
        self._provider = LoggerProvider(shutdown_on_exit=False)
        self._provider.add_log_record_processor(processor)
        self._logger = self._provider.get_logger("workload")

    def work(self, count: int) -> None:
        """See `Workload.work`."""
        for _ in range(count):
            item = f"log-{len(self.sent)}"
            self.sent.add(item)
            self._logger.emit(
                severity_number=SeverityNumber.INFO, body="an order was taken", attributes={_ID: item, **_SOME}
            )

    def flush(self, timeout_millis: int = 30_000) -> bool:
        """See `Workload.flush`."""
        return self._provider.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """See `Workload.shutdown`."""
        self._provider.shutdown()


class MetricWorkload:
    """Points of a gauge with `SERIES` series whose value is the number of the collection: both are the id of a point.

    The reader asks for them, at an interval of its own.
    """

    def __init__(self, reader: MetricReader) -> None:
        self.signal: Signal = "metrics"
        self.sent: set[str] = set()
        self._collections = 0
        self._provider = MeterProvider([reader], shutdown_on_exit=False)
        self._provider.get_meter("workload").create_observable_gauge("queue.length", [self._observe])

    def _observe(self, _: CallbackOptions) -> Iterator[Observation]:
        self._collections += 1
        number = self._collections
        for series in range(SERIES):
            self.sent.add(f"{series}-{number}")
            yield Observation(number, {_SERIES: series})

    def work(self, count: int) -> None:
        """See `Workload.work`."""

    def flush(self, timeout_millis: int = 30_000) -> bool:
        """See `Workload.flush`."""
        return self._provider.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """See `Workload.shutdown`."""
        self._provider.shutdown()


def arrived(receivers: Iterable[FaultyReceiver], signal: Signal) -> Counter[str]:
    """How often each item of a workload is in the accepted requests of all receivers."""
    ids = {"traces": _span_ids, "logs": _log_ids, "metrics": _point_ids}[signal]
    found: Counter[str] = Counter()
    for receiver in receivers:
        for request in receiver.requests():
            if request.accepted and request.signal == signal:
                found.update(ids(request))
    return found


def _span_ids(request: ReceivedRequest) -> Iterator[str]:
    return (each.hex() for each in decode_span_ids(request))


def _log_ids(request: ReceivedRequest) -> Iterator[str]:
    for resource in ExportLogsServiceRequest.FromString(request.body).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield record.attributes[0].value.string_value


def _point_ids(request: ReceivedRequest) -> Iterator[str]:
    for resource in ExportMetricsServiceRequest.FromString(request.body).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.gauge.data_points:
                    yield f"{point.attributes[0].value.int_value}-{point.as_int}"
