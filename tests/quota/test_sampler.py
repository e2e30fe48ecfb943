from __future__ import annotations

import os

import pytest
from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otelwarden.core import (
    TRACES,
    Identity,
    Runtime,
    probability_of,
    randomness_of,
    set_tenant,
    threshold_of,
    total,
    use_tenant,
    with_threshold,
)
from otelwarden.quota import QuotaConfig, QuotaLimiter, QuotaSampler, QuotaSpanProcessor
from otelwarden.testing import RecordingSpanProcessor

PROPAGATOR = TraceContextTextMapPropagator()


def flood(pipeline, count=400):
    """Traces of one span, 1 ms apart."""
    for _ in range(count):
        pipeline.clock.advance(0.001)
        pipeline.tracer.start_span("flood").end()


def remote(*, sampled, state=None, trace_id=0x1234_5678_9ABC_DEF0_1234_5678_9ABC_DEF0):
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 7, True, flags, state)), Context())


def test_a_new_trace_under_quota_is_known_to_stand_for_itself(pipeline):
    run = pipeline(1000.0)
    with run.tracer.start_as_current_span("root", attributes={"a": 1}):
        run.tracer.start_span("child", attributes={"b": 2}).end()
    child, root = run.sink.ended
    assert root.context.trace_state.to_header() == child.context.trace_state.to_header() == "ot=th:0"
    assert dict(root.attributes) == {"a": 1}
    assert dict(child.attributes) == {"b": 2}


def test_over_quota_the_threshold_written_is_the_one_decided_by(pipeline):
    run = pipeline(20.0)
    flood(run, 2000)
    probabilities = [probability_of(span.context.trace_state) for span in run.sink.ended]
    assert min(probabilities) < 0.1
    for span, probability in zip(run.sink.ended, probabilities, strict=True):
        assert randomness_of(span.context.trace_id) >= threshold_of(probability)


def test_local_children_obey_and_are_all_accounted_for(pipeline):
    run = pipeline(20.0)
    for _ in range(300):
        run.clock.advance(0.001)
        with run.tracer.start_as_current_span("root") as root:
            with run.tracer.start_as_current_span("child") as child:
                leaf = run.tracer.start_span("leaf")
                leaf.end()
        flags = {s.get_span_context().trace_flags.sampled for s in (root, child, leaf)}
        headers = {s.get_span_context().trace_state.to_header() for s in (root, child, leaf)}
        assert len(flags) == len(headers) == 1
    sampler = total(run.runtime.balances(), "sampler", TRACES)
    assert sampler.received == 900
    assert sampler.unaccounted == 0
    assert sampler.forwarded == len(run.sink.ended)
    assert sampler.dropped == {"rate": 900 - len(run.sink.ended)}
    assert sum(event.count for event in run.events.events) == sampler.dropped["rate"]
    assert {(event.component, event.action, event.reason) for event in run.events.events} == {
        ("sampler", "drop", "rate")
    }


class TestRemoteParent:
    def test_sampled_is_kept_over_quota_and_its_state_left_alone(self, pipeline):
        run = pipeline(1.0)
        flood(run)
        state = TraceState([("ot", "th:8;rv:11111111111111"), ("vendor", "x")])
        before = len(run.sink.ended)
        with run.tracer.start_as_current_span("server", context=remote(sampled=True, state=state)) as span:
            run.tracer.start_span("child").end()
        assert span.get_span_context().trace_state.to_header() == state.to_header()
        assert len(run.sink.ended) - before == 2

    def test_unsampled_is_dropped_as_not_sampled(self, pipeline):
        run = pipeline(1000.0)
        with run.tracer.start_as_current_span("server", context=remote(sampled=False)):
            run.tracer.start_span("child").end()
        assert run.sink.ended == ()
        assert total(run.runtime.balances(), "sampler").dropped == {"not_sampled": 2}
        assert run.events.events == []

    def test_its_spans_take_from_what_new_traces_get(self, pipeline):
        run = pipeline(100.0)
        new = 0
        for step in range(6000):
            run.clock.advance(0.0025)
            if step % 5 == 0:
                run.tracer.start_span("server", context=remote(sampled=True, trace_id=step + 1)).end()
            run.tracer.start_span("new").end()
        new = sum(span.name == "new" for span in run.sink.ended)
        assert sum(span.name == "server" for span in run.sink.ended) == 1200
        assert new == pytest.approx(15 * (100 - 80), rel=0.6)
        assert len(run.sink.ended) == pytest.approx(1500, rel=0.1)


def test_a_second_process_sees_the_decision(pipeline):
    first, second = pipeline(20.0), pipeline(1000.0)
    for _ in range(300):
        first.clock.advance(0.001)
        carrier: dict[str, str] = {}
        with first.tracer.start_as_current_span("client"):
            PROPAGATOR.inject(carrier)
        second.tracer.start_span("server", context=PROPAGATOR.extract(carrier, Context())).end()
    clients = {span.context.trace_id: probability_of(span.context.trace_state) for span in first.sink.ended}
    servers = {span.context.trace_id: probability_of(span.context.trace_state) for span in second.sink.ended}
    assert 0 < len(clients) < 300
    assert servers == clients


class TestTenant:
    def test_is_the_one_that_the_resolver_finds(self, pipeline):
        class ByAttribute:
            def resolve(self, context, resource=None, attributes=None):
                return Identity(str((attributes or {}).get("who", "?")), "attribute")

        run = pipeline(1000.0, resolver=ByAttribute())
        with run.tracer.start_as_current_span("root", attributes={"who": "a"}):
            run.tracer.start_span("child").end()  # inherits, names nobody
        assert {balance.tenant for balance in run.runtime.balances()} == {"a"}

    def test_may_come_from_the_resource(self, clock, runtime, traces_config):
        class ByResource:
            def resolve(self, context, resource=None, attributes=None):
                return Identity(str((resource or {}).get("who", "?")), "resource")

        resource = Resource({"who": "b"})
        limiter = QuotaLimiter(traces_config(10.0), clock=clock, runtime=runtime)
        sampler = QuotaSampler(limiter, resolver=ByResource(), resource=resource, runtime=runtime)
        TracerProvider(sampler=sampler, resource=resource).get_tracer("t").start_span("s").end()
        assert [balance.tenant for balance in runtime.balances()] == ["b"]

    def test_a_child_of_another_is_charged_to_its_own(self, pipeline):
        run = pipeline(1000.0)
        with use_tenant("a"), run.tracer.start_as_current_span("root"):
            run.tracer.start_span("mine").end()
            run.tracer.start_span("theirs", context=set_tenant("b")).end()
        sampler = {b.tenant: b.received for b in run.runtime.balances() if b.component == "sampler"}
        quota = {b.tenant: b.received for b in run.runtime.balances() if b.component == "quota"}
        assert sampler == quota == {"a": 2, "b": 1}

    def test_other_baggage_changes_nothing_for_a_named_tenant(self, pipeline):
        run = pipeline(1000.0)
        with use_tenant("a"), run.tracer.start_as_current_span("root"):
            run.tracer.start_span("child", context=set_baggage("k", "v")).end()
        assert {balance.tenant for balance in run.runtime.balances()} == {"a"}


class TestRoot:
    """Another sampler decides first."""

    @staticmethod
    def build(root, clock, runtime, config):
        limiter = QuotaLimiter(config, clock=clock, runtime=runtime)
        sink = RecordingSpanProcessor()
        provider = TracerProvider(sampler=QuotaSampler(limiter, root=root, runtime=runtime))
        provider.add_span_processor(QuotaSpanProcessor(sink, limiter=limiter, runtime=runtime))
        return provider.get_tracer("t"), sink

    def test_what_it_drops_is_not_sampled(self, clock, runtime, traces_config):
        tracer, sink = self.build(ALWAYS_OFF, clock, runtime, traces_config(10.0))
        with tracer.start_as_current_span("root"):
            tracer.start_span("child").end()
        assert sink.ended == ()
        assert total(runtime.balances(), "sampler").dropped == {"not_sampled": 2}

    def test_record_only_is_passed_on_uncharged(self, clock, runtime, traces_config):
        tracer, sink = self.build(AlwaysRecordSampler(ALWAYS_OFF), clock, runtime, traces_config(1.0))
        for _ in range(5):
            tracer.start_span("root").end()
        assert len(sink.ended) == 5
        assert not any(span.context.trace_flags.sampled for span in sink.ended)
        balances = runtime.balances()
        assert total(balances, "sampler").forwarded == total(balances, "quota").forwarded == 5

    def test_without_a_threshold_of_its_own_none_is_written(self, clock, runtime, traces_config):
        tracer, sink = self.build(TraceIdRatioBased(0.5), clock, runtime, traces_config(1000.0))
        for _ in range(50):
            tracer.start_span("root").end()
        assert 0 < len(sink.ended) < 50
        assert {span.context.trace_state.to_header() for span in sink.ended} == {""}

    def test_a_threshold_is_raised_and_never_lowered(self, clock, runtime, traces_config):
        class Consistent(Sampler):
            def should_sample(self, parent_context, trace_id, *args, **kwargs):
                if randomness_of(trace_id) < threshold_of(0.5):
                    return SamplingResult(Decision.DROP)
                return SamplingResult(
                    Decision.RECORD_AND_SAMPLE, None, with_threshold(TraceState([("v", "1")]), threshold_of(0.5))
                )

            def get_description(self):
                return "Consistent"

        tracer, sink = self.build(Consistent(), clock, runtime, traces_config(50.0))
        for _ in range(4000):
            clock.advance(0.001)
            tracer.start_span("root").end()
        seen = [probability_of(span.context.trace_state) for span in sink.ended]
        assert seen[0] == 0.5
        assert max(seen) == 0.5
        assert min(seen) < 0.2
        assert {span.context.trace_state["v"] for span in sink.ended} == {"1"}
        assert sum(1 / p for p in seen) == pytest.approx(4000, rel=0.15)

    def test_the_randomness_that_it_wrote_decides_instead_of_the_trace_id(self, clock, runtime, traces_config):
        class Lucky(Sampler):
            def should_sample(self, parent_context, trace_id, *args, **kwargs):
                digits = "ffffffffffffff" if trace_id % 2 else "00000000000000"
                return SamplingResult(Decision.RECORD_AND_SAMPLE, None, TraceState([("ot", f"th:0;rv:{digits}")]))

            def get_description(self):
                return "Lucky"

        tracer, sink = self.build(Lucky(), clock, runtime, traces_config(10.0))
        for _ in range(500):
            clock.advance(0.001)
            tracer.start_span("root").end()
        over = [span for span in sink.ended if (probability_of(span.context.trace_state) or 0.0) < 1.0]
        assert over
        assert all(span.context.trace_id % 2 for span in over)
        assert all(span.context.trace_state["ot"].endswith("rv:ffffffffffffff") for span in over)

    def test_it_may_be_the_root_of_a_parent_based_one(self, clock, runtime, traces_config):
        limiter = QuotaLimiter(traces_config(10.0), clock=clock, runtime=runtime)
        over = ParentBased(QuotaSampler(limiter, runtime=runtime))
        tracer = TracerProvider(sampler=over).get_tracer("t")
        with tracer.start_as_current_span("root") as span:
            assert span.is_recording()
            assert tracer.start_span("child").is_recording()
        assert "QuotaSampler{root:AlwaysOnSampler,overflow:drop}" in over.get_description()


def test_a_trace_state_that_others_changed_is_still_obeyed(pipeline):
    run = pipeline(1000.0)
    root = run.tracer.start_span("root")
    old = root.get_span_context()
    changed = SpanContext(old.trace_id, old.span_id, False, old.trace_flags, old.trace_state.add("mine", "1"))
    run.tracer.start_span("child", context=set_span_in_context(NonRecordingSpan(changed))).end()
    (child,) = run.sink.ended
    assert child.context.trace_state["mine"] == "1"
    assert total(run.runtime.balances(), "sampler").forwarded == 2


def test_observing_keeps_all_and_says_what_would_have_gone(pipeline):
    run = pipeline(20.0, overflow="observe")
    for _ in range(300):
        run.clock.advance(0.001)
        with run.tracer.start_as_current_span("root"):
            run.tracer.start_span("child").end()
    assert len(run.sink.ended) == 600
    assert {span.context.trace_state.to_header() for span in run.sink.ended} == {"ot=th:0"}
    told = [event for event in run.events.events if event.component == "sampler"]
    assert {event.action for event in told} == {"would_drop"}
    assert 400 < len(told) < 600
    sampler = total(run.runtime.balances(), "sampler")
    assert (sampler.forwarded, sampler.dropped) == (600, {})
    # The bucket was charged with the rest alone, as it would have been.
    assert sum(usage.allowed + usage.over for usage in run.limiter.usage()) == 600 - len(told)


def test_a_resolver_that_fails_drops_nothing(pipeline):
    class Broken:
        def resolve(self, context, resource=None, attributes=None):
            raise RuntimeError

    run = pipeline(1.0, resolver=Broken())
    with run.tracer.start_as_current_span("root") as span:
        assert get_current_span() is span
    assert len(run.sink.ended) == 1
    assert run.runtime.error_counts()["sampler"] == {"should_sample:RuntimeError": 1}
    assert all(balance.unaccounted == 0 for balance in run.runtime.balances())


def test_a_limit_that_comes_and_goes_is_obeyed(clock, runtime, directory):
    limiter = QuotaLimiter(QuotaConfig(), directory=directory, clock=clock, runtime=runtime)
    tracer = TracerProvider(sampler=QuotaSampler(limiter, runtime=runtime)).get_tracer("t")

    def kept(count=500):
        found = 0
        for _ in range(count):
            clock.advance(0.001)
            with use_tenant("a"):
                found += tracer.start_span("s").is_recording()
        return found

    assert kept() == 500
    directory.set("a", {"traces": {"rate": "10/s"}})
    assert kept() < 100
    directory.set("a", None)
    assert kept() == 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on_and_counts_from_zero(pipeline):
    run = pipeline(20.0)
    flood(run)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            flood(run, 100)
            mine = total(run.runtime.balances(), "sampler")
            os.write(writing, f"{mine.received} {mine.unaccounted} {mine.forwarded < 50}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as result:
        assert result.read() == "100 0 True"


def test_always_on_is_the_default(traces_config):
    limiter = QuotaLimiter(traces_config(10.0), runtime=Runtime())
    assert QuotaSampler(limiter).get_description() == QuotaSampler(limiter, root=ALWAYS_ON).get_description()
