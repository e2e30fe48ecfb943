from __future__ import annotations

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otelwarden.core import LOGS, METRICS, set_tenant, total
from otelwarden.quota import (
    QuotaConfig,
    QuotaLimiter,
    QuotaLogRecordProcessor,
    QuotaMetricReader,
    SignalLimits,
    TenantLimits,
    Usage,
)
from otelwarden.testing import EventRecorder, RecordingLogRecordProcessor


def emit(runtime, clock, overflow):
    events = EventRecorder()
    runtime.observe(events)
    config = QuotaConfig(default=TenantLimits(logs=SignalLimits(rate=10, burst=4)), overflow=overflow)
    limiter = QuotaLimiter(config, clock=clock, runtime=runtime)
    sink = RecordingLogRecordProcessor()
    provider = LoggerProvider()
    provider.add_log_record_processor(QuotaLogRecordProcessor(sink, limiter=limiter, runtime=runtime))
    for tenant in ("a", "b"):
        for number in range(6):
            record = LogRecord(
                body=str(number), severity_number=SeverityNumber.INFO, context=set_tenant(tenant), trace_id=9
            )
            provider.get_logger("t").emit(record)
    return sink, events.events, limiter


def test_logs_over_the_rate_are_dropped(runtime, clock):
    sink, events, _ = emit(runtime, clock, "drop")
    assert [record.log_record.body for record in sink.emitted] == ["0", "1", "2", "3"] * 2
    logs = total(runtime.balances(), "quota", LOGS)
    assert (logs.received, logs.forwarded, logs.dropped, logs.unaccounted) == (12, 8, {"rate": 4}, 0)
    assert [(event.action, event.tenant) for event in events] == [("drop", "a")] * 2 + [("drop", "b")] * 2


def test_observing_lets_logs_pass_and_tells(runtime, clock):
    sink, events, limiter = emit(runtime, clock, "observe")
    assert len(sink.emitted) == 12
    assert [(event.action, event.reason, event.signal) for event in events] == [("would_drop", "rate", "logs")] * 4
    assert limiter.usage() == [Usage("a", LOGS, 4, 2), Usage("b", LOGS, 4, 2)]


def test_metric_points_are_counted_and_all_pass(runtime, clock):
    limiter = QuotaLimiter(QuotaConfig(), clock=clock, runtime=runtime)
    inner = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[QuotaMetricReader(inner, limiter=limiter, runtime=runtime)])
    counter = provider.get_meter("t").create_counter("c")
    for number in range(3):
        counter.add(1, {"tenant.id": "a", "n": number})
    counter.add(1, {"tenant.id": "b"})
    counter.add(1)
    data = inner.get_metrics_data()
    assert len(data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points) == 5
    assert limiter.usage() == [
        Usage("a", METRICS, 3, 0),
        Usage("b", METRICS, 1, 0),
        Usage("unattributed", METRICS, 1, 0),
    ]
    metrics = total(runtime.balances(), "quota", METRICS)
    assert (metrics.received, metrics.forwarded, metrics.unaccounted) == (5, 5, 0)
