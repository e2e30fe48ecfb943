from __future__ import annotations

import math
import threading

import pytest

from otelwarden.core import Deadline
from otelwarden.testing import FakeClock


def test_a_deadline_comes_nearer() -> None:
    clock = FakeClock()
    deadline = Deadline(2.5, clock=clock)
    assert (deadline.remaining, deadline.remaining_millis, deadline.expired) == (2.5, 2500, False)
    clock.advance(2)
    assert (deadline.remaining, deadline.remaining_millis, deadline.expired) == (0.5, 500, False)
    clock.advance(0.5)
    assert (deadline.remaining, deadline.remaining_millis, deadline.expired) == (0, 0, True)
    clock.advance(1)
    assert (deadline.remaining, deadline.remaining_millis) == (0, 0)


@pytest.mark.parametrize("timeout", [0, -1, -1e9])
def test_a_deadline_may_have_passed_already(timeout: float) -> None:
    assert Deadline(timeout, clock=FakeClock()).expired


def test_the_wall_clock_does_not_move_it() -> None:
    clock = FakeClock()
    deadline = Deadline(1, clock=clock)
    clock.set_time_ns(0)
    assert deadline.remaining == 1


def test_milliseconds_are_the_unit_of_the_sdk() -> None:
    assert Deadline.after_millis(1500, clock=FakeClock()).remaining == 1.5


@pytest.mark.parametrize("timeout", [1e15, math.inf])
def test_it_is_never_longer_than_a_lock_can_wait(timeout: float) -> None:
    lock = threading.Lock()
    assert lock.acquire(timeout=Deadline(timeout).remaining)
