"""Traces with errors that were over a rate, kept out of a bounded reserve."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter

import pytest
from opentelemetry.trace import StatusCode, set_span_in_context

from otelwarden.core import TRACES, probability_of, size_of, total, use_tenant
from otelwarden.quota import Amount, Budgets, ReserveConfig, SignalLimits


def balance(run, component="reserve"):
    return total(run.runtime.balances(), component, TRACES)


def flood(run, traces=400, gap=0.001):
    """Traces of one span, until new ones are over the rate."""
    for _ in range(traces):
        run.clock.advance(gap)
        run.tracer.start_span("flood").end()


def waiting_root(run, name="waits"):
    """The first span of a trace that waits."""
    while True:
        run.clock.advance(0.0001)
        root = run.tracer.start_span(name)
        if not root.get_span_context().trace_flags.sampled and root.is_recording():
            return root
        root.end()


def child(run, root, *, error=False, name="child", **attributes):
    span = run.tracer.start_span(name, context=set_span_in_context(root), attributes=attributes)
    if error:
        span.set_status(StatusCode.ERROR)
    span.end()


def of(run, root):
    trace_id = root.get_span_context().trace_id
    return [span for span in run.sink.ended if span.context.trace_id == trace_id]


@pytest.mark.parametrize("load", [2, 10], ids=["twice", "tenfold"])
def test_traces_with_errors_are_kept_whole_and_the_rate_is_met(pipeline, load):
    run = pipeline(200.0, reserve=ReserveConfig())
    draw = random.Random(load)
    failed, expected = set(), {}
    for _ in range(200 * load * 10 // 4):
        run.clock.advance(draw.expovariate(200 * load / 4))
        error = draw.random() < 0.1 / load
        with run.tracer.start_as_current_span("root") as root:
            for number in range(3):
                child(run, root, error=error and number == 1)
        trace_id = root.get_span_context().trace_id
        expected[trace_id] = 4
        if error:
            failed.add(trace_id)
    arrived = Counter(span.context.trace_id for span in run.sink.ended)
    assert len(failed & set(arrived)) >= 0.99 * len(failed)
    assert all(expected[trace_id] == count for trace_id, count in arrived.items())
    assert len(run.sink.ended) == pytest.approx(200 * 10 + 100, rel=0.15)
    known = [span for span in run.sink.ended if probability_of(span.context.trace_state) is not None]
    assert sum(1 / probability_of(span.context.trace_state) for span in known) == pytest.approx(
        4 * len(expected), rel=0.15
    )
    assert all(span.context.trace_flags.sampled for span in run.sink.ended)
    assert all(each.unaccounted == each.unaccounted_bytes == each.held == 0 for each in run.runtime.balances())
    assert balance(run).forwarded == len(run.sink.ended) - len(known) > 0
    assert balance(run, "sampler").dropped == {}


def test_the_reserve_has_its_share_of_the_rate_and_no_more(pipeline):
    run = pipeline(100.0, reserve=ReserveConfig(share=0.2))
    for _ in range(20_000):
        run.clock.advance(0.001)
        span = run.tracer.start_span("all fail")
        span.set_status(StatusCode.ERROR)
        span.end()
    assert balance(run).forwarded == pytest.approx(20 * 20, rel=0.15)
    assert len(run.sink.ended) == pytest.approx(100 * 20, rel=0.15)
    # One that would find nothing left is not even recorded.
    assert balance(run, "sampler").dropped["rate"] > 10_000


def test_what_waits_is_held_to_the_item_and_the_byte(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig())
    flood(run)
    before = balance(run)
    with use_tenant("other"):
        flood(run)
        others = waiting_root(run)
        child(run, others)
    root = waiting_root(run)
    for _ in range(3):
        child(run, root, error=True)
    held = {each.tenant: each.held for each in run.runtime.balances() if each.component == "reserve"}
    assert held == {"unattributed": 3, "other": 1}
    assert all(each.unaccounted == each.unaccounted_bytes == 0 for each in run.runtime.balances("reserve"))
    assert of(run, root) == []
    root.end()
    others.end()
    assert {span.name for span in of(run, root)} == {"waits", "child"}
    after = balance(run)
    assert (after.held, after.held_bytes, after.forwarded - before.forwarded) == (0, 0, 4)
    assert after.forwarded_bytes == sum(size_of(span) for span in of(run, root))
    assert of(run, others) == []
    assert after.dropped["rate"] >= 2


def test_a_trace_without_an_error_is_dropped_for_its_rate_and_told(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig())
    root = waiting_root(run)
    child(run, root)
    run.events.events.clear()
    root.end()
    assert of(run, root) == []
    assert {(e.component, e.action, e.reason) for e in run.events.events} == {("reserve", "drop", "rate")}
    assert len(run.events.events) == 2


def test_what_ends_late_follows_what_was_decided(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig())
    kept, gone = waiting_root(run), waiting_root(run)
    late = [run.tracer.start_span("late", context=set_span_in_context(root)) for root in (kept, gone)]
    child(run, kept, error=True)
    kept.end()
    gone.end()
    child(run, gone, error=True)  # too late
    for span in late:
        span.end()
    assert [span.name for span in of(run, kept)] == ["child", "waits", "late"]
    assert of(run, gone) == []
    assert not run.tracer.start_span("later", context=set_span_in_context(gone)).is_recording()


def test_no_attack_makes_it_hold_more(pipeline):
    config = ReserveConfig(max_spans=100, max_bytes=50_000, max_age=60.0)
    run = pipeline(20.0, reserve=config)
    roots = [waiting_root(run) for _ in range(50)]  # they never end
    for number in range(2000):
        child(run, roots[number % 50], text="x" * (number % 700))
        now = balance(run)
        assert now.held <= 100
        assert now.held_bytes <= 50_000
    child(run, waiting_root(run), text="x" * 60_000)
    assert balance(run).held_bytes <= 50_000
    assert balance(run).unaccounted == balance(run).unaccounted_bytes == 0


def test_a_full_reserve_decides_early_by_what_it_knows(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig(max_spans=10))
    failing, calm = waiting_root(run), waiting_root(run)
    child(run, failing, error=True)
    child(run, calm)
    for _ in range(20):
        child(run, calm, name="more")
    assert len(of(run, failing)) == 1
    child(run, failing, name="after")
    failing.end()
    assert [span.name for span in of(run, failing)] == ["child", "after", "waits"]
    calm.end()
    assert of(run, calm) == []


def test_one_tenant_cannot_push_out_what_another_one_holds(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig(max_spans=100))
    with use_tenant("quiet"):
        root = waiting_root(run)
        child(run, root, error=True)
    with use_tenant("noisy"):
        noise = [waiting_root(run) for _ in range(20)]
        for number in range(1000):
            child(run, noise[number % 20], error=True)
    assert of(run, root) == []
    with use_tenant("quiet"):
        child(run, root, name="last")
        root.end()
    assert [span.name for span in of(run, root)] == ["child", "last", "waits"]


def test_a_trace_waits_no_longer_than_it_may(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig(max_age=30.0))
    failing, calm = waiting_root(run), waiting_root(run)
    child(run, failing, error=True)
    child(run, calm)
    run.clock.advance(29)
    assert not run.reserve.reload()
    run.clock.advance(2)
    assert run.reserve.reload()
    assert len(of(run, failing)) == 1
    assert of(run, calm) == []
    assert balance(run).held == 0


def test_a_flush_sends_the_errors_and_a_shutdown_decides_about_all(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig())
    failing, calm, other = waiting_root(run), waiting_root(run), waiting_root(run)
    child(run, failing, error=True)
    child(run, calm)
    assert run.provider.force_flush()
    assert len(of(run, failing)) == 1
    assert balance(run).held == 1
    child(run, failing, name="after")
    child(run, other, error=True)
    run.provider.shutdown()
    assert [span.name for span in of(run, failing)] == ["child", "after"]
    assert len(of(run, other)) == 1
    assert of(run, calm) == []
    calm.end()
    assert balance(run).held == balance(run).unaccounted == 0


def test_a_budget_has_no_reserve(pipeline):
    budget = SignalLimits(rate=1000, budget=Budgets(items=(Amount(5, "day"),)))
    run = pipeline(None, own=budget, reserve=ReserveConfig())
    for _ in range(10):
        span = run.tracer.start_span("fails")
        span.set_status(StatusCode.ERROR)
        span.end()
    assert len(run.sink.ended) == 5
    assert balance(run, "sampler").dropped == {"budget": 5}


def test_spans_of_another_tenant_are_charged_to_it(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig())
    root = waiting_root(run)
    with use_tenant("guest"):
        child(run, root, error=True)
    root.end()
    assert len(of(run, root)) == 2
    forwarded = {b.tenant: b.forwarded for b in run.runtime.balances("quota")}
    assert forwarded["guest"] == 1


def test_eight_threads_lose_count_of_nothing(pipeline):
    run = pipeline(100.0, reserve=ReserveConfig(max_spans=50))

    def work(seed):
        draw = random.Random(seed)
        for _ in range(200):
            with run.tracer.start_as_current_span("root") as root:
                child(run, root, error=draw.random() < 0.2)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each.unaccounted == each.held == 0 for each in run.runtime.balances())
    assert balance(run, "sampler").received == 3200
    assert balance(run, "quota").forwarded == len(run.sink.ended)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_holds_nothing_of_its_parent(pipeline):
    run = pipeline(20.0, reserve=ReserveConfig())
    root = waiting_root(run)
    child(run, root, error=True)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = len(run.sink.ended)
            empty = balance(run).held
            child(run, root, error=True)
            one = balance(run).held
            root.end()
            os.write(writing, f"{empty} {one} {balance(run).held} {len(run.sink.ended) - before}".encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as result:
        assert result.read() == "0 1 0 2"
    root.end()
    assert len(of(run, root)) == 2
