from __future__ import annotations

import logging
import threading

import pytest

from otelwarden.core import Clock
from otelwarden.core.failure import PeriodicLog
from otelwarden.testing import FakeClock


def test_it_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock(start_ns=1_000)
    assert (clock.time_ns(), clock.monotonic_ns()) == (1_000, 0)
    clock.advance(1.5)
    assert (clock.time_ns(), clock.monotonic_ns()) == (1_500_001_000, 1_500_000_000)


def test_a_wall_clock_set_back_leaves_the_monotonic_one_alone() -> None:
    clock = FakeClock()
    clock.advance(10)
    clock.set_time_ns(5)
    clock.advance(1)
    assert (clock.time_ns(), clock.monotonic_ns()) == (1_000_000_005, 11_000_000_000)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match=r"seconds is -1; allowed: 0 or more"):
        FakeClock().advance(-1)


def test_no_step_is_lost_between_threads() -> None:
    clock = FakeClock(start_ns=0)

    def advance() -> None:
        for _ in range(1_000):
            clock.advance(1e-9)

    threads = [threading.Thread(target=advance) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (clock.time_ns(), clock.monotonic_ns()) == (8_000, 8_000)


def test_it_serves_where_a_clock_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    clock: Clock = FakeClock()
    log = PeriodicLog(logging.getLogger("otelwarden.test"), period=60, clock=clock)
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        log.warning("kind", "it happened")
    assert caplog.messages == ["it happened", "it happened (and 1 more like this)"]
