from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import LOGS, TRACES, Runtime
from otelwarden.quota import (
    Amount,
    BudgetLimit,
    Budgets,
    MemoryStore,
    MeterKey,
    QuotaConfig,
    QuotaLimiter,
    SignalLimits,
    StoreConfig,
    TenantLimits,
    open_store,
)
from otelwarden.quota.periods import PERIODS, bounds, read_zone
from otelwarden.testing import EventRecorder, FakeClock

STEPS = st.lists(st.tuples(st.integers(-90_000, 400_000), st.integers(1, 5)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(period=st.sampled_from(PERIODS), amount=st.integers(1, 15), steps=STEPS)
def test_a_budget_counts_each_period_by_itself(period, amount, steps):
    """The definition: the sum over each period, however the wall clock moves between two neighbours."""
    clock, zone = FakeClock(), read_zone("America/New_York")
    meter = MemoryStore(clock=clock).meter(MeterKey("a", "traces", "items", period), BudgetLimit(amount, period, zone))
    used = Counter()
    last = None
    for seconds, items in steps:
        now = clock.time_ns() // 10**9 + seconds
        since = bounds(period, zone, now)[0]
        if seconds < 0 and last is not None and bounds(period, zone, last[0])[0] == bounds(period, zone, now)[1]:
            now, since = clock.time_ns() // 10**9, last[0]  # further back than one period is not remembered
        clock.set_time_ns(now * 10**9)
        since = bounds(period, zone, now)[0]
        fits = used[since] + items <= amount
        if since >= max(used, default=since):
            assert (meter.take(items, False) is None) is fits
            used[since] += items if fits else 0
        last = (since, now)


def limiter(clock, store=None, runtime=None, **limits):
    config = QuotaConfig(default=TenantLimits(**limits))
    return QuotaLimiter(config, clock=clock, store=store, runtime=runtime or Runtime(clock=clock))


def budget(amount, period="day", unit="items", **more):
    return SignalLimits(budget=Budgets(**{unit: (Amount(amount, period),)}), **more)


def test_a_clock_that_jumps_renews_nothing(clock):
    quota = limiter(clock, traces=budget(5))
    now = clock.time_ns()
    assert sum(quota.allow("a", TRACES) for _ in range(9)) == 5
    clock.set_time_ns(now + 86_400 * 10**9)
    assert sum(quota.allow("a", TRACES) for _ in range(9)) == 5
    clock.set_time_ns(now)
    assert not quota.allow("a", TRACES)
    clock.set_time_ns(now + 86_400 * 10**9)
    assert not quota.allow("a", TRACES)


def test_signals_together_share_one_budget_and_refusals_take_nothing(clock):
    quota = limiter(clock, all=budget(10), logs=budget(3))
    assert sum(quota.allow("a", LOGS) for _ in range(9)) == 3
    assert sum(quota.allow("a", TRACES) for _ in range(9)) == 7
    assert quota.refusal("a", TRACES) == "budget"
    assert {(s.scope, s.used, s.remaining) for s in quota.status()} == {("logs", 3, 0), ("all", 10, 0)}


def test_bytes_and_sizes(clock):
    quota = limiter(clock, traces=SignalLimits(byte_rate=1000, byte_burst=2000, max_item_size=1500))
    assert quota.refusal("a", TRACES, 1, 1501) == "size"
    assert quota.refusal("a", TRACES, 1, 1500) is None
    assert quota.refusal("a", TRACES, 1, 600) == "rate"
    clock.advance(0.1)
    assert quota.refusal("a", TRACES, 1, 600) is None


def test_warnings_are_told_once_each(clock):
    events = EventRecorder()
    runtime = Runtime(clock=clock)
    runtime.observe(events)
    quota = limiter(clock, runtime=runtime, traces=SignalLimits(soft_budget=Budgets(items=(Amount(100, "day"),))))
    for _ in range(150):
        assert quota.allow("a", TRACES)
    warnings = [(e.reason, e.tenant, e.signal, e.target) for e in events.events if e.action == "warn"]
    assert warnings == [(f"budget_{level}", "a", "traces", "items/day") for level in (80, 95, 100)]


def test_when_a_budget_runs_out_is_forecast(clock):
    since, until = bounds("day", read_zone("UTC"), clock.time_ns() // 10**9)
    clock.set_time_ns((since + 3600) * 10**9)
    quota = limiter(clock, traces=budget(100))
    assert quota.allow("a", TRACES, 50)
    (status,) = quota.status()
    assert (status.used, status.remaining, status.resets_at) == (50, 50, until)
    assert status.runs_out_at == since + 7200


def test_another_configuration_is_in_force_at_once_and_keeps_what_was_taken(clock):
    quota = limiter(clock, traces=budget(5))
    assert sum(quota.allow("a", TRACES) for _ in range(9)) == 5
    quota.reconfigure(QuotaConfig(default=TenantLimits(traces=budget(8))))
    assert sum(quota.allow("a", TRACES) for _ in range(9)) == 3


class TestFile:
    def open(self, tmp_path, clock, **limits):
        runtime = Runtime(clock=clock)
        store = open_store(StoreConfig(type="file", path=str(tmp_path / "quota.db")), runtime)
        return limiter(clock, store=store, runtime=runtime, **limits)

    def test_budgets_survive_a_restart(self, tmp_path, clock):
        first = self.open(tmp_path, clock, traces=budget(1000))
        assert first.allow("a", TRACES, 600)
        first.close()
        second = self.open(tmp_path, clock, traces=budget(1000))
        assert not second.allow("a", TRACES, 401)
        assert second.allow("a", TRACES, 400)

    def test_a_new_period_has_a_new_budget(self, tmp_path, clock):
        quota = self.open(tmp_path, clock, traces=budget(10))
        assert sum(quota.allow("a", TRACES) for _ in range(20)) == 10
        now = clock.time_ns()
        clock.advance(86_400)
        assert sum(quota.allow("a", TRACES) for _ in range(20)) == 10
        clock.set_time_ns(now)
        assert not quota.allow("a", TRACES)

    def test_a_rate_is_kept(self, tmp_path, clock):
        quota = self.open(tmp_path, clock, traces=SignalLimits(rate=100, burst=20))
        passed = 0
        for _ in range(2_000):
            clock.advance(0.001)
            passed += quota.allow("a", TRACES)
        assert 0.98 * 220 <= passed <= 220
