from __future__ import annotations

import threading

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, AlwaysRecordSampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from otelwarden.core import TRACES, Runtime, probability_of, size_of, total, use_tenant
from otelwarden.quota import QuotaLimiter, QuotaSampler, QuotaSpanProcessor, Usage
from otelwarden.testing import RecordingSpanProcessor


def dropped(pipeline):
    return total(pipeline.runtime.balances(), "quota", TRACES).dropped


def test_without_the_sampler_each_span_is_charged_and_none_overdraws(pipeline):
    run = pipeline(10.0, 5, sampler=False)
    for tenant in ("a", "b"):
        with use_tenant(tenant):
            for _ in range(8):
                run.tracer.start_span("s").end()
    assert len(run.sink.ended) == 10
    assert dropped(run) == {"rate": 6}
    assert all(balance.unaccounted == 0 for balance in run.runtime.balances())
    assert {(e.component, e.action, e.reason, e.signal) for e in run.events.events} == {
        ("quota", "drop", "rate", "traces")
    }


def test_a_trace_that_the_sampler_kept_overdraws_to_stay_whole(pipeline):
    run = pipeline(1.0, 5, max_debt=20)
    with run.tracer.start_as_current_span("root"):
        for _ in range(20):
            run.tracer.start_span("child").end()
    assert len(run.sink.ended) == 21
    assert run.limiter.level("unattributed", TRACES) == -16


def test_beyond_the_debt_it_is_cut_and_its_rest_is_of_unknown_probability(pipeline):
    run = pipeline(1.0, 5, max_debt=5)
    with run.tracer.start_as_current_span("root"):
        for _ in range(12):
            run.tracer.start_span("child").end()
        run.clock.advance(1.0)
    assert dropped(run) == {"trace_cut": 2}
    children, root = run.sink.ended[:-1], run.sink.ended[-1]
    assert {probability_of(child.context.trace_state) for child in children} == {1.0}
    assert root.name == "root"
    assert root.context.trace_state.to_header() == ""
    assert root.context.is_valid


def test_erasing_the_threshold_leaves_other_entries(pipeline):
    run = pipeline(1.0, 1, sampler=False)
    state = TraceState([("ot", "th:c;rv:fffffffffffff0"), ("x", "1")])
    parent = set_span_in_context(NonRecordingSpan(SpanContext(5, 6, True, TraceFlags(1), state)), Context())
    for _ in range(3):
        run.tracer.start_span("s", context=parent).end()
    run.clock.advance(1.0)
    run.tracer.start_span("last", context=parent).end()
    first, last = run.sink.ended
    assert first.context.trace_state.to_header() == state.to_header()
    assert last.context.trace_state.to_header() == "ot=rv:fffffffffffff0,x=1"
    assert dropped(run) == {"trace_cut": 2}


def test_a_trace_of_which_nothing_passed_is_not_cut(pipeline):
    run = pipeline(1.0, 1, sampler=False)
    run.tracer.start_span("first").end()
    with run.tracer.start_as_current_span("root"):
        run.tracer.start_span("child").end()
    assert dropped(run) == {"rate": 2}


def test_unsampled_spans_pass_uncharged(clock, runtime, traces_config):
    limiter = QuotaLimiter(traces_config(1.0), clock=clock, runtime=runtime)
    sink = RecordingSpanProcessor()
    provider = TracerProvider(sampler=AlwaysRecordSampler(ALWAYS_OFF))
    provider.add_span_processor(QuotaSpanProcessor(sink, limiter=limiter, runtime=runtime))
    for _ in range(10):
        provider.get_tracer("t").start_span("s").end()
    assert len(sink.ended) == 10
    assert limiter.usage() == []


def test_observing_lets_pass_and_tells(pipeline):
    run = pipeline(10.0, 5, sampler=False, overflow="observe")
    for _ in range(8):
        run.tracer.start_span("s").end()
    assert len(run.sink.ended) == 8
    assert dropped(run) == {}
    assert [(event.action, event.reason) for event in run.events.events] == [("would_drop", "rate")] * 3
    assert run.events.events[0].span_id == run.sink.ended[5].context.span_id
    assert run.limiter.usage() == [Usage("unattributed", TRACES, 5, 3)]


@pytest.mark.parametrize("sampler", [True, False], ids=["sampler", "processor_alone"])
def test_eight_threads_lose_count_of_nothing(traces_config, sampler):
    runtime = Runtime()
    limiter = QuotaLimiter(traces_config(0.001, 500, max_debt=0), runtime=runtime)
    sink = RecordingSpanProcessor()
    provider = TracerProvider(sampler=QuotaSampler(limiter, runtime=runtime)) if sampler else TracerProvider()
    provider.add_span_processor(QuotaSpanProcessor(sink, limiter=limiter, count_bytes=True, runtime=runtime))
    tracer = provider.get_tracer("t")

    def work():
        for _ in range(100):
            with tracer.start_as_current_span("root"):
                tracer.start_span("child").end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    balances = runtime.balances()
    assert all(balance.unaccounted == 0 for balance in balances)
    quota = total(balances, "quota", TRACES)
    assert quota.received == (total(balances, "sampler").forwarded if sampler else 1600)
    assert quota.forwarded == len(sink.ended) <= 500
    assert quota.forwarded_bytes == sum(size_of(span) for span in sink.ended)
    assert quota.received_bytes == quota.forwarded_bytes + sum(quota.dropped_bytes.values())
    assert quota.dropped_bytes.keys() == quota.dropped.keys()
    if not sampler:
        assert quota.forwarded == 500
