"""The exporters called `otelwarden`, which the SDK makes by name: redaction and audit in front of failover.

In the SDK's declarative file, which loads exporters of others but no processors, what stands below the name is given as
arguments: the blocks `redaction`, `audit` and `failover` of a configuration of ours. By environment
(OTEL_TRACES_EXPORTER=otelwarden) there are none: personal data and secrets are redacted, and the endpoint is that of
the standard environment. Exporters with equal options share what the signals of one configuration share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otelwarden.core import LOGS, METRICS, SIGNALS, TRACES, ConfigError, Deadline, Fault, Signal
from otelwarden.failover.temporality import aggregation_of_environment, temporality_of_environment
from otelwarden.pipeline.components import Components
from otelwarden.pipeline.exporting import StagedMetricExporter, log_exporter, metric_exporter, span_exporter
from otelwarden.pipeline.files import check_files
from otelwarden.pipeline.settings import PipelineSettings, Settings, load_settings
from otelwarden.pipeline.warden import stop

_PLACES: Final = {
    "redaction": "/processors/redaction",
    "audit": "/processors/audit",
    "failover": "/exporters/failover",
}
"""Where each option stands in a configuration of ours."""

_ExporterT = TypeVar("_ExporterT", bound="SpanExporter | LogRecordExporter | StagedMetricExporter")


@dataclass(slots=True)
class _Shared:
    components: Components
    users: int = 0


_lock: Final = threading.Lock()
_running: Final[dict[str, _Shared]] = {}  # by the digest of the options


class _Use(Generic[_ExporterT]):
    """An exporter and its stages, of which it may share components; whoever is shut down last stops those.

    Raises:
        ConfigError: with everything that is wrong with the options.
    """

    def __init__(
        self,
        signal: Signal,
        options: Mapping[str, Any],
        build: Callable[[Components, PipelineSettings], _ExporterT],
    ) -> None:
        settings = _settings_of(options)
        self._digest = settings.digest
        self._ended = False
        with _lock:
            shared = _running.get(self._digest)
            if shared is None:
                shared = _running[self._digest] = _Shared(Components(settings))
            shared.users += 1
            self._shared = shared
        try:
            self.exporter = build(shared.components, settings.pipelines[signal])
        except BaseException:
            self._release(Deadline(5.0))
            raise

    def flush(self, timeout_millis: float) -> bool:
        """Flushes the exporter and what the trail holds; whether it was in time."""
        deadline = Deadline.after_millis(timeout_millis)
        flushed = self.exporter.force_flush(deadline.remaining_millis)
        for trail in self._shared.components.parts.trails:
            flushed = trail.flush(deadline) and flushed
        return flushed

    def end(self, timeout_millis: float) -> None:
        """Shuts the exporter down, and what it alone still uses."""
        if self._ended:
            return
        deadline = Deadline.after_millis(timeout_millis)
        self.exporter.shutdown(deadline.remaining_millis)  # type: ignore[call-arg]
        self._release(deadline)

    def _release(self, deadline: Deadline) -> None:
        self._ended = True
        with _lock:
            self._shared.users -= 1
            if self._shared.users:
                return
            _running.pop(self._digest, None)
        stop(self._shared.components.parts, deadline)


def _settings_of(options: Mapping[str, Any]) -> Settings:
    allowed = ", ".join(_PLACES)
    faults = [Fault(pointer=f"/{name}", message="unknown key", allowed=allowed) for name in options.keys() - _PLACES]
    processors = {"redaction": options.get("redaction")}
    if "audit" in options:
        processors["audit"] = options["audit"]
    pipeline = {"processors": list(processors), "exporters": ["failover"]}
    document = {
        "processors": processors,
        "exporters": {"failover": options.get("failover")},
        "service": {"pipelines": dict.fromkeys(SIGNALS, pipeline)},
    }
    try:
        settings = load_settings(document)
        found = check_files(settings)
    except ConfigError as error:
        found = list(error.faults)
    faults += [_as_given(fault) for fault in found]
    if faults:
        raise ConfigError(faults)
    return settings


def _as_given(fault: Fault) -> Fault:
    """The fault at its place among the options."""
    for name, place in _PLACES.items():
        if fault.pointer.startswith(place) and not fault.file:
            return replace(fault, pointer=f"/{name}{fault.pointer[len(place) :]}")
    return fault


class GovernedSpanExporter(SpanExporter):
    """Redacts and records spans and exports them by failover.

    Args:
        redaction: options of redaction; left out, personal data and secrets are redacted.
        audit: options of audit; left out, nothing is recorded.
        failover: options of failover; left out, the endpoint is that of the standard environment.

    Raises ConfigError with everything that is wrong with them.
    """

    counts_its_losses = True

    def __init__(self, **options: Any) -> None:
        self._use = _Use(TRACES, options, span_exporter)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Redacts the spans and takes charge of them; waits for no endpoint."""
        return self._use.exporter.export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until everything exported so far is delivered or dropped; whether it was in time."""
        return self._use.flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Delivers what is left, then drops the rest, or leaves it in the spool, counted."""
        self._use.end(timeout_millis)


class GovernedLogRecordExporter(LogRecordExporter):
    """As `GovernedSpanExporter`, for log records."""

    counts_its_losses = True

    def __init__(self, **options: Any) -> None:
        self._use = _Use(LOGS, options, log_exporter)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Redacts the records and takes charge of them; waits for no endpoint."""
        return self._use.exporter.export(batch)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until everything exported so far is delivered or dropped; whether it was in time."""
        return self._use.flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Delivers what is left, then drops the rest, or leaves it in the spool, counted."""
        self._use.end(timeout_millis)


class GovernedMetricExporter(MetricExporter):
    """As `GovernedSpanExporter`, for metrics."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            preferred_temporality=temporality_of_environment(), preferred_aggregation=aggregation_of_environment()
        )
        self._use = _Use(METRICS, options, metric_exporter)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Redacts the points and takes charge of them; waits for no endpoint."""
        return self._use.exporter.export(metrics_data, timeout_millis)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Waits until everything exported so far is delivered or dropped; whether it was in time."""
        return self._use.flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Delivers what is left, then drops the rest, or leaves it in the spool, counted."""
        self._use.end(timeout_millis)
