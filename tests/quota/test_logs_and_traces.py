"""Log records go with their trace."""

from __future__ import annotations

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context, get_current
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.trace import set_span_in_context

from otelwarden.core import LOGS, total
from otelwarden.quota import QuotaLogRecordProcessor, ReserveConfig
from otelwarden.testing import RecordingLogRecordProcessor


@pytest.fixture
def log(pipeline):
    """Makes a pipeline for spans and logs, and a function that logs a trace id in the current context."""

    def make(**settings):
        run = pipeline(20.0, **settings)
        sink = RecordingLogRecordProcessor()
        provider = LoggerProvider()
        provider.add_log_record_processor(QuotaLogRecordProcessor(sink, limiter=run.limiter, runtime=run.runtime))

        def say(body, context=None):
            record = LogRecord(body=body, severity_number=SeverityNumber.INFO, context=context or get_current())
            provider.get_logger("t").emit(record)

        return run, sink, say

    return make


def flood(run, say):
    """300 traces of two spans, each with a log record below the inner one."""
    for _ in range(300):
        run.clock.advance(0.001)
        with run.tracer.start_as_current_span("root"), run.tracer.start_as_current_span("child") as child:
            say(child.get_span_context().trace_id)


def test_the_records_that_pass_are_those_of_the_traces_that_are_kept(log):
    run, sink, say = log()
    flood(run, say)
    kept = {span.context.trace_id for span in run.sink.ended}
    assert 0 < len(kept) < 200
    assert {record.log_record.body for record in sink.emitted} == kept
    logs = total(run.runtime.balances(), "quota", LOGS)
    assert (logs.received, logs.forwarded, logs.unaccounted) == (300, len(kept), 0)
    assert logs.dropped == {"trace_dropped": 300 - len(kept)}
    assert sum(usage.allowed for usage in run.limiter.usage() if usage.signal == LOGS) == len(kept)


def test_a_record_outside_of_any_trace_follows_none(log):
    run, sink, say = log()
    flood(run, say)
    before = len(sink.emitted)
    say("alone", Context())
    assert [record.log_record.body for record in sink.emitted[before:]] == ["alone"]


def test_all_pass_whose_traces_wait_for_an_error(log):
    run, sink, say = log(reserve=ReserveConfig(share=0.5))
    root = run.tracer.start_span("waits")
    while root.get_span_context().trace_flags.sampled:
        root.end()
        run.clock.advance(0.001)
        root = run.tracer.start_span("waits")
    say("of a trace that waits", set_span_in_context(root))
    assert [record.log_record.body for record in sink.emitted] == ["of a trace that waits"]


@pytest.mark.parametrize("settings", [{"logs_follow_traces": False}, {"overflow": "observe"}], ids=["off", "observe"])
def test_all_pass_where_they_need_not_follow(log, settings):
    run, sink, say = log(**settings)
    flood(run, say)
    assert len(sink.emitted) == 300
    assert total(run.runtime.balances(), "quota", LOGS).dropped == {}
