from __future__ import annotations

import pytest

from otelwarden.core import Deadline, ErrorCount, Runtime, counts_its_losses, flush_within, shutdown_within
from otelwarden.testing import FakeClock


@pytest.fixture
def errors(runtime: Runtime) -> ErrorCount:
    return runtime.errors("c")


class Timed:
    def __init__(self) -> None:
        self.told: list[int] = []

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.told.append(timeout_millis)
        return True

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        self.told.append(timeout_millis)


class Plain:
    counts_its_losses = True
    answer: bool | None = None
    down = False

    def force_flush(self, timeout_millis: int) -> bool | None:
        return self.answer

    def shutdown(self) -> None:
        self.down = True


class Raising:
    counts_its_losses = False

    def force_flush(self) -> bool:  # takes no timeout
        return True

    def shutdown(self) -> None:
        raise OSError


def test_who_can_be_told_is_told_what_is_left(errors: ErrorCount) -> None:
    clock = FakeClock()
    deadline = Deadline(10, clock=clock)
    clock.advance(4)
    timed = Timed()
    assert flush_within(timed, deadline, errors)
    clock.advance(4)
    shutdown_within(timed, deadline, errors)
    assert timed.told == [6000, 2000]


def test_who_cannot_be_told_is_called(errors: ErrorCount) -> None:
    plain = Plain()
    shutdown_within(plain, Deadline(1), errors)
    assert plain.down


@pytest.mark.parametrize(("answer", "well"), [(None, True), (True, True), (False, False)])
def test_only_a_plain_no_means_that_a_flush_failed(errors: ErrorCount, answer: bool | None, well: bool) -> None:
    plain = Plain()
    plain.answer = answer
    assert flush_within(plain, Deadline(1), errors) is well


def test_a_flush_that_came_back_late_has_failed(errors: ErrorCount) -> None:
    clock = FakeClock()
    deadline = Deadline(1, clock=clock)

    class Slow(Plain):
        def force_flush(self, timeout_millis: int) -> bool:
            clock.advance(2)
            return True

    assert not flush_within(Slow(), deadline, errors)


def test_what_is_raised_is_counted(errors: ErrorCount) -> None:
    assert not flush_within(Raising(), Deadline(1), errors)
    shutdown_within(Raising(), Deadline(1), errors)
    assert errors.snapshot() == {"force_flush:TypeError": 1, "shutdown:OSError": 1}


def test_who_counts_its_losses() -> None:
    assert counts_its_losses(Plain())
    assert not counts_its_losses(Raising())
    assert not counts_its_losses(Timed())
