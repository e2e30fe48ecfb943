"""What becomes of items over a limit, and what is never throttled; each way counted exactly."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from otelwarden.core import LOGS, TRACES, ConfigError, Runtime, probability_of, set_tenant, threshold_of, total
from otelwarden.quota import (
    Exempt,
    QuotaConfig,
    QuotaLimiter,
    QuotaLogRecordProcessor,
    QuotaSampler,
    QuotaSpanProcessor,
    SignalLimits,
    TenantLimits,
)
from otelwarden.testing import EventRecorder, FakeClock, RecordingLogRecordProcessor, RecordingSpanProcessor

RATIO = 0.25


class SeededIds(RandomIdGenerator):
    """Trace ids that are the same in every run: on them hangs what is kept."""

    def __init__(self) -> None:
        self._draw = random.Random(1)

    def generate_trace_id(self) -> int:
        return self._draw.getrandbits(128) or 1


class Run:
    """Spans and log records of which five of each pass, on a clock that stands still."""

    def __init__(self, *, sampler: bool = False, limits: SignalLimits | None = None, **settings: Any) -> None:
        limits = limits or SignalLimits(rate=0.001, burst=5)
        config = QuotaConfig(default=TenantLimits(traces=limits, logs=limits), max_debt=0, **settings)
        clock = FakeClock()
        self.runtime = Runtime(clock=clock)
        self.heard = EventRecorder()
        self.runtime.observe(self.heard)
        limiter = QuotaLimiter(config, clock=clock, runtime=self.runtime)
        self.spans, self.other_spans = RecordingSpanProcessor(), RecordingSpanProcessor()
        self.logs, self.other_logs = RecordingLogRecordProcessor(), RecordingLogRecordProcessor()
        reroutes = config.overflow == "reroute"
        head = QuotaSampler(limiter, runtime=self.runtime) if sampler else ALWAYS_ON
        tracers = TracerProvider(sampler=head, id_generator=SeededIds())
        tracers.add_span_processor(
            QuotaSpanProcessor(
                self.spans,
                limiter=limiter,
                reroute=self.other_spans if reroutes else None,
                count_bytes=True,
                runtime=self.runtime,
            )
        )
        loggers = LoggerProvider()
        loggers.add_log_record_processor(
            QuotaLogRecordProcessor(
                self.logs,
                limiter=limiter,
                reroute=self.other_logs if reroutes else None,
                count_bytes=True,
                runtime=self.runtime,
            )
        )
        self.tracers, self.loggers = tracers, loggers

    def span(self, trace_id: int = 0, *, scope: str = "t", error: bool = False) -> None:
        context = Context()
        if trace_id:
            parent = NonRecordingSpan(SpanContext(trace_id, 7, True, TraceFlags(1)))
            context = set_span_in_context(parent, context)
        span = self.tracers.get_tracer(scope).start_span("work", context=context)
        if error:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def log(self, trace_id: int = 0, *, scope: str = "t", severity: SeverityNumber = SeverityNumber.INFO) -> None:
        context = set_tenant("acme", Context())
        if trace_id:
            parent = NonRecordingSpan(SpanContext(trace_id, 7, True, TraceFlags(1)))
            context = set_span_in_context(parent, context)
        self.loggers.get_logger(scope).emit(LogRecord(body="work", severity_number=severity, context=context))

    def account(self, signal: Any) -> tuple[int, int, dict[str, int]]:
        balance = total(self.runtime.balances(), "quota", signal)
        assert (balance.unaccounted, balance.unaccounted_bytes) == (0, 0)
        assert balance.dropped_bytes.keys() == balance.dropped.keys()
        return balance.received, balance.forwarded, dict(balance.dropped)

    def told(self) -> Counter[tuple[str, str, str]]:
        return Counter((event.action, event.reason, event.signal) for event in self.heard.events)


def trace_ids(count: int) -> list[int]:
    """Traces whose randomness is spread evenly."""
    return [(1 << 120) | ((number << 56) // count + 1) for number in range(count)]


def test_a_sample_of_what_is_over_passes_by_the_trace() -> None:
    run = Run(overflow="sample", sample_ratio=RATIO)
    for trace_id in trace_ids(40):
        for _ in range(3):
            run.span(trace_id)
            run.log(trace_id)
    for signal, passed in ((TRACES, run.spans.ended), (LOGS, run.logs.emitted)):
        received, forwarded, dropped = run.account(signal)
        assert (received, forwarded) == (120, len(passed))
        assert forwarded == 5 + 3 * 40 * RATIO
        assert sum(dropped.values()) == 120 - forwarded
        assert run.told()["sample", "rate", signal] == 3 * 40 * RATIO
    beyond = [span.context.trace_id for span in run.spans.ended[5:]]
    assert set(beyond) == {each for each in trace_ids(40) if each % (1 << 56) >= threshold_of(RATIO)}
    assert set(Counter(beyond).values()) == {3}, "whole traces"
    assert {record.log_record.trace_id for record in run.logs.emitted[5:]} == set(beyond)


def test_log_records_of_no_trace_are_sampled_by_chance() -> None:
    run = Run(overflow="sample", sample_ratio=0.5)
    for _ in range(1005):
        run.log()
    _, forwarded, dropped = run.account(LOGS)
    assert 400 < forwarded < 610, "1 in 10^9 runs is outside"
    assert dropped == {"rate": 1005 - forwarded}


def test_with_the_sampler_the_probability_falls_no_lower_than_the_sample() -> None:
    run = Run(sampler=True, overflow="sample", sample_ratio=0.1)
    for _ in range(2000):
        run.span()
    kept = run.spans.ended
    assert 120 < len(kept) < 300, "a tenth, give or take, and the burst"
    for span in kept[20:]:
        assert probability_of(span.context.trace_state) == pytest.approx(0.1)
    sampler = total(run.runtime.balances(), "sampler", TRACES)
    received, forwarded, _ = run.account(TRACES)
    assert (sampler.received, sampler.forwarded) == (2000, received)
    assert forwarded == len(kept) > received - 40, "at first more are kept than the bucket has"


def test_what_is_over_goes_another_way() -> None:
    run = Run(overflow="reroute")
    for _ in range(12):
        run.span()
        run.log()
    assert (len(run.spans.ended), len(run.other_spans.ended)) == (5, 7)
    assert (len(run.logs.emitted), len(run.other_logs.emitted)) == (5, 7)
    assert run.account(TRACES) == run.account(LOGS) == (12, 5, {"rerouted": 7})
    assert run.told() == {("reroute", "rate", TRACES): 7, ("reroute", "rate", LOGS): 7}


def test_whole_traces_go_another_way_where_the_sampler_decides() -> None:
    run = Run(sampler=True, overflow="reroute", limits=SignalLimits(rate=0.001, burst=20))
    for _ in range(60):
        tracer = run.tracers.get_tracer("t")
        with tracer.start_as_current_span("root"):
            tracer.start_span("child").end()
    here = {span.context.trace_id for span in run.spans.ended}
    there = {span.context.trace_id for span in run.other_spans.ended}
    assert len(run.spans.ended) == 2 * len(here) <= 20
    assert len(run.other_spans.ended) == 2 * len(there)
    assert len(here) + len(there) == 60
    assert not here & there
    assert all(probability_of(span.context.trace_state) is None for span in run.other_spans.ended)
    assert run.account(TRACES) == (120, 2 * len(here), {"rerouted": 2 * len(there)})
    sampler = total(run.runtime.balances(), "sampler", TRACES)
    assert (sampler.forwarded, dict(sampler.dropped)) == (120, {})


def test_a_pipeline_that_fails_takes_nothing_and_the_item_is_dropped() -> None:
    class Failing(RecordingSpanProcessor):
        def on_end(self, span: Any) -> None:
            raise RuntimeError("full")

    runtime = Runtime(clock=FakeClock())
    config = QuotaConfig(default=TenantLimits(traces=SignalLimits(rate=0.001, burst=1)), overflow="reroute")
    limiter = QuotaLimiter(config, clock=runtime.clock, runtime=runtime)
    provider = TracerProvider()
    processor = QuotaSpanProcessor(RecordingSpanProcessor(), limiter=limiter, reroute=Failing(), runtime=runtime)
    provider.add_span_processor(processor)
    for _ in range(3):
        provider.get_tracer("t").start_span("work").end()
    assert total(runtime.balances(), "quota", TRACES).dropped == {"rate": 2}
    assert runtime.error_counts()["quota"] == {"reroute:RuntimeError": 2}


def test_both_ways_are_flushed_and_shut_down() -> None:
    run = Run(overflow="reroute")
    assert run.tracers.force_flush()
    run.tracers.shutdown()
    run.loggers.shutdown()
    for sink in (run.spans, run.other_spans, run.logs, run.other_logs):
        assert sink.shutdowns == 1


@pytest.mark.parametrize("overflow", ["drop", "sample", "reroute"])
def test_errors_are_never_throttled_where_they_are_exempt(overflow: Any) -> None:
    run = Run(overflow=overflow, sample_ratio=1e-9, exempt=Exempt(errors=True))
    for number in range(20):
        run.span(error=number % 2 == 0)
        run.log(severity=SeverityNumber.FATAL if number % 2 == 0 else SeverityNumber.WARN4)
    errors = [span for span in run.spans.ended if span.status.status_code is StatusCode.ERROR]
    assert len(errors) == 10
    assert sum(record.log_record.severity_number is SeverityNumber.FATAL for record in run.logs.emitted) == 10
    reason = "rerouted" if overflow == "reroute" else "rate"
    for signal in (TRACES, LOGS):
        assert run.account(signal) == (20, 12, {reason: 8}), "the first five were charged, three of them errors"
        assert run.told()["exempt", "rate", signal] == 7


def test_scopes_are_never_throttled_where_they_are_exempt() -> None:
    run = Run(exempt=Exempt(scopes=("payments.*", "billing")))
    passed = []
    for _ in range(5):
        run.span(), run.log()
    for scope in ("payments.card", "payments.", "payment", "billing", "billing.x", "Billing"):
        before = len(run.spans.ended), len(run.logs.emitted)
        run.span(scope=scope), run.log(scope=scope)
        if (len(run.spans.ended), len(run.logs.emitted)) != before:
            passed.append(scope)
    assert passed == ["payments.card", "payments.", "billing"]


def test_an_exempt_item_is_charged_and_one_that_is_too_large_is_not_exempt() -> None:
    run = Run(limits=SignalLimits(rate=0.001, burst=2, max_item_size=101), exempt=Exempt(errors=True))
    run.span(error=True), run.span(error=True)
    run.span()
    span = run.tracers.get_tracer("t").start_span("a name of more than five characters")
    span.set_status(Status(StatusCode.ERROR))
    span.end()
    assert run.account(TRACES) == (4, 2, {"rate": 1, "size": 1})


def test_a_way_that_is_missing_or_of_no_use_is_refused() -> None:
    runtime = Runtime()
    for overflow, reroute in (("reroute", None), ("drop", RecordingSpanProcessor())):
        limiter = QuotaLimiter(QuotaConfig(overflow=overflow), runtime=runtime)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="/overflow"):
            QuotaSpanProcessor(RecordingSpanProcessor(), limiter=limiter, reroute=reroute, runtime=runtime)
