from __future__ import annotations

import threading
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import SYSTEM_CLOCK
from otelwarden.quota import MemoryStore, MeterKey, RateLimit
from otelwarden.quota.gcra import GcraMeter
from otelwarden.testing import FakeClock

STEPS = st.lists(st.tuples(st.integers(0, 3_000_000_000), st.integers(1, 12), st.booleans()), min_size=1, max_size=60)
RATES = st.one_of(
    st.sampled_from([0.5, 1.0, 3.0, 7.0, 100 / 60, 999.0, 500.0, 1e6 / 7]),
    st.integers(1, 10_000).map(float),
)


KEY = MeterKey("a", "traces", "items", "rate")


def bucket(limit, clock, max_debt=0):
    if limit is None:
        return GcraMeter(KEY, None, clock=clock)
    return MemoryStore(clock=clock).meter(KEY, RateLimit(limit.rate, limit.burst, max_debt))


def takes(tested, items=1, overdraw=False):
    return tested.take(items, overdraw) is None


@settings(max_examples=150, deadline=None)
@given(rate=RATES, burst=st.integers(1, 20), debt=st.integers(0, 30), steps=STEPS)
def test_it_decides_as_the_definition_does(rate, burst, debt, steps):
    """The definition, in exact fractions: tokens refill at the rate up to the burst, and may fall to minus the debt."""
    clock = FakeClock()
    tested = bucket(RateLimit(rate=rate, burst=burst), clock, debt)
    exact, tokens = Fraction(rate).limit_denominator(1_000_000), Fraction(burst)
    for pause, items, overdraw in steps:
        clock.advance(pause / 1e9)
        tokens = min(Fraction(burst), tokens + exact * pause / 10**9)
        expected = tokens - items >= (-debt if overdraw else 0)
        assert takes(tested, items, overdraw) is expected
        if expected:
            tokens -= items
        assert tested.level() == pytest.approx(float(tokens), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(rate=RATES, burst=st.integers(1, 20), steps=STEPS)
def test_no_interval_admits_more_than_burst_and_rate(rate, burst, steps):
    clock = FakeClock()
    tested = bucket(RateLimit(rate=rate, burst=burst), clock)
    exact = Fraction(rate).limit_denominator(1_000_000)
    admitted = []
    for pause, items, _ in steps:
        clock.advance(pause / 1e9)
        if takes(tested, items):
            admitted.append((clock.monotonic_ns(), items))
    for first in range(len(admitted)):
        total = 0
        for moment, items in admitted[first:]:
            total += items
            assert total <= burst + exact * (moment - admitted[first][0]) / 10**9


def test_odd_rates_do_not_drift(clock):
    tested = bucket(RateLimit(rate=100 / 60, burst=1), clock)
    passed = 0
    for _ in range(60_000):
        clock.advance(0.01)
        passed += takes(tested)
    assert passed == 1000  # 600 s at 100 a minute


def test_eight_threads_take_exactly_the_burst():
    tested = bucket(RateLimit(rate=1e-6, burst=20_000), SYSTEM_CLOCK)
    taken = []

    def work():
        taken.append(sum(1 for _ in range(5_000) if takes(tested)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == tested.allowed == 20_000
    assert tested.over == 20_000


def test_a_full_bucket_closes_and_then_answers_nobody(clock):
    tested = bucket(RateLimit(rate=1, burst=2), clock)
    assert takes(tested)
    assert not tested.close_if_idle()
    clock.advance(1)
    assert tested.close_if_idle()
    assert tested.take(1, False) == "closed"
    assert tested.allowed == 1


def test_an_interrupt_inside_leaves_the_bucket_usable():
    """A signal handler may raise anywhere: here it does in the clock, while the lock is held."""

    class InterruptedClock(FakeClock):
        interrupt = False

        def monotonic_ns(self) -> int:
            if self.interrupt:
                raise KeyboardInterrupt
            return super().monotonic_ns()

    clock = InterruptedClock()
    tested = bucket(RateLimit(rate=1, burst=2), clock)
    clock.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        tested.take(1, False)
    clock.interrupt = False
    found = []
    other = threading.Thread(target=lambda: found.append(takes(tested)))
    other.start()
    other.join(60)
    assert found == [True]


class TestChange:
    def test_what_was_taken_stays_taken(self, clock):
        tested = bucket(RateLimit(rate=10, burst=10), clock)
        assert takes(tested, 10)
        tested.change(RateLimit(rate=1, burst=20))
        assert tested.level() == 10
        assert not takes(tested, 11)
        assert takes(tested, 10)

    def test_a_smaller_burst_owes_at_most_itself(self, clock):
        tested = bucket(RateLimit(rate=10, burst=1000), clock)
        assert takes(tested, 1000)
        tested.change(RateLimit(rate=1, burst=5))
        assert tested.level() == 0
        clock.advance(1)
        assert takes(tested, 1)

    def test_a_limit_comes_and_goes(self, clock):
        tested = bucket(None, clock)
        assert takes(tested, 1_000_000)
        assert tested.level() is None
        tested.change(RateLimit(rate=1, burst=3))
        assert tested.level() == 3
        assert takes(tested, 3)
        assert not takes(tested, 1)
        tested.change(None)
        assert takes(tested, 1)
