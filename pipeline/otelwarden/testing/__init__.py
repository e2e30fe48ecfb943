"""Fakes that are real: an OTLP receiver that fails on command, a clock that is set by hand, sinks that record."""

from otelwarden.testing._journal import ReceivedRequest
from otelwarden.testing._process import ReceiverError
from otelwarden.testing.chaos import Fate, Incident, carry_out, fate_of, ordinary_faults
from otelwarden.testing.clock import FakeClock
from otelwarden.testing.faults import Fault, FaultMode
from otelwarden.testing.received import ReceivedEvent, ReceivedLink, ReceivedLogRecord, ReceivedMetric, ReceivedSpan
from otelwarden.testing.receiver import FaultyReceiver
from otelwarden.testing.sinks import (
    EventRecorder,
    RecordingLogRecordExporter,
    RecordingLogRecordProcessor,
    RecordingSpanExporter,
    RecordingSpanProcessor,
)
from otelwarden.testing.workloads import LogWorkload, MetricWorkload, SpanWorkload, Workload, arrived

__all__ = [
    "EventRecorder",
    "FakeClock",
    "Fate",
    "Fault",
    "FaultMode",
    "FaultyReceiver",
    "Incident",
    "LogWorkload",
    "MetricWorkload",
    "ReceivedEvent",
    "ReceivedLink",
    "ReceivedLogRecord",
    "ReceivedMetric",
    "ReceivedRequest",
    "ReceivedSpan",
    "ReceiverError",
    "RecordingLogRecordExporter",
    "RecordingLogRecordProcessor",
    "RecordingSpanExporter",
    "RecordingSpanProcessor",
    "SpanWorkload",
    "Workload",
    "arrived",
    "carry_out",
    "fate_of",
    "ordinary_faults",
]
