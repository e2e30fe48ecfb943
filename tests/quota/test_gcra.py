from __future__ import annotations

import threading
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.core import SYSTEM_CLOCK
from otelwarden.quota import MemoryStore, SignalLimits
from otelwarden.testing import FakeClock

STEPS = st.lists(st.tuples(st.integers(0, 3_000_000_000), st.integers(1, 12), st.booleans()), min_size=1, max_size=60)
RATES = st.one_of(
    st.sampled_from([0.5, 1.0, 3.0, 7.0, 100 / 60, 999.0, 500.0, 1e6 / 7]),
    st.integers(1, 10_000).map(float),
)


def bucket(limit, clock, max_debt=0):
    return MemoryStore(clock=clock).bucket("a", "traces", limit, max_debt=max_debt)


@settings(max_examples=150, deadline=None)
@given(rate=RATES, burst=st.integers(1, 20), debt=st.integers(0, 30), steps=STEPS)
def test_it_decides_as_the_definition_does(rate, burst, debt, steps):
    """The definition, in exact fractions: tokens refill at the rate up to the burst, and may fall to minus the debt."""
    clock = FakeClock()
    tested = bucket(SignalLimits(rate=rate, burst=burst), clock, debt)
    exact, tokens = Fraction(rate).limit_denominator(1_000_000), Fraction(burst)
    for pause, items, overdraw in steps:
        clock.advance(pause / 1e9)
        tokens = min(Fraction(burst), tokens + exact * pause / 10**9)
        expected = tokens - items >= (-debt if overdraw else 0)
        assert tested.take(items, overdraw) is expected
        if expected:
            tokens -= items
        assert tested.level() == pytest.approx(float(tokens), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(rate=RATES, burst=st.integers(1, 20), steps=STEPS)
def test_no_interval_admits_more_than_burst_and_rate(rate, burst, steps):
    clock = FakeClock()
    tested = bucket(SignalLimits(rate=rate, burst=burst), clock)
    exact = Fraction(rate).limit_denominator(1_000_000)
    admitted = []
    for pause, items, _ in steps:
        clock.advance(pause / 1e9)
        if tested.take(items, False):
            admitted.append((clock.monotonic_ns(), items))
    for first in range(len(admitted)):
        total = 0
        for moment, items in admitted[first:]:
            total += items
            assert total <= burst + exact * (moment - admitted[first][0]) / 10**9


def test_odd_rates_do_not_drift(clock):
    tested = bucket(SignalLimits(rate=100 / 60, burst=1), clock)
    passed = 0
    for _ in range(60_000):
        clock.advance(0.01)
        passed += tested.take(1, False)
    assert passed == 1000  # 600 s at 100 a minute


def test_eight_threads_take_exactly_the_burst():
    tested = bucket(SignalLimits(rate=1e-6, burst=20_000), SYSTEM_CLOCK)
    taken = []

    def work():
        taken.append(sum(1 for _ in range(5_000) if tested.take(1, False)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == tested.allowed == 20_000
    assert tested.over == 20_000


def test_a_full_bucket_closes_and_then_answers_nobody(clock):
    tested = bucket(SignalLimits(rate=1, burst=2), clock)
    assert tested.take(1, False) is True
    assert not tested.close_if_full()
    clock.advance(1)
    assert tested.close_if_full()
    assert tested.take(1, False) is None
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
    tested = bucket(SignalLimits(rate=1, burst=2), clock)
    clock.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        tested.take(1, False)
    clock.interrupt = False
    found = []
    other = threading.Thread(target=lambda: found.append(tested.take(1, False)))
    other.start()
    other.join(5)
    assert found == [True]


class TestChange:
    def test_what_was_taken_stays_taken(self, clock):
        tested = bucket(SignalLimits(rate=10, burst=10), clock)
        assert tested.take(10, False)
        tested.change(SignalLimits(rate=1, burst=20), 0)
        assert tested.level() == 10
        assert not tested.take(11, False)
        assert tested.take(10, False)

    def test_a_smaller_burst_owes_at_most_itself(self, clock):
        tested = bucket(SignalLimits(rate=10, burst=1000), clock)
        assert tested.take(1000, False)
        tested.change(SignalLimits(rate=1, burst=5), 0)
        assert tested.level() == 0
        clock.advance(1)
        assert tested.take(1, False)

    def test_a_limit_comes_and_goes(self, clock):
        tested = bucket(None, clock)
        assert tested.take(1_000_000, False)
        assert tested.level() is None
        tested.change(SignalLimits(rate=1, burst=3), 0)
        assert tested.level() == 3
        assert tested.take(3, False)
        assert not tested.take(1, False)
        tested.change(None, 0)
        assert tested.take(1, False)
