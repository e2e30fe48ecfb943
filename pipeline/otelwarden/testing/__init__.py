"""Fakes that are real: an OTLP receiver that fails on command, a clock that is set by hand, sinks that record."""

from otelwarden.testing._journal import ReceivedRequest
from otelwarden.testing._process import ReceiverError
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

__all__ = [
    "EventRecorder",
    "FakeClock",
    "Fault",
    "FaultMode",
    "FaultyReceiver",
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
]
