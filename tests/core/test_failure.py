from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from otelwarden.core import ErrorCount, PeriodicLog
from otelwarden.testing import FakeClock


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test.of.failure")
    yield logger
    logger.handlers.clear()
    logger.filters.clear()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(logger: logging.Logger, clock: FakeClock) -> PeriodicLog:
    return PeriodicLog(logger, period=60, clock=clock)


def test_the_first_of_a_kind_is_logged_and_then_one_a_period(
    log: PeriodicLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        log.warning("a", "%s failed", "it")
    log.warning("b", "another kind")
    clock.advance(59)
    log.warning("a", "%s failed", "it")
    clock.advance(1)
    log.warning("a", "%s failed", "it")
    log.warning("a", "%s failed", "it")
    clock.advance(60)
    log.warning("b", "another kind")
    assert caplog.messages == ["it failed", "another kind", "it failed (and 3 more like this)", "another kind"]


def test_a_percent_sign_in_what_is_logged_is_text(log: PeriodicLog, caplog: pytest.LogCaptureFixture) -> None:
    log.warning("a", "%s", "100 %s")
    assert caplog.messages == ["100 %s"]


class RaisingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("disk full")


def refuse(record: logging.LogRecord) -> bool:
    raise OSError("disk full")


@pytest.mark.parametrize("where", ["handler", "filter"])
def test_a_handler_or_filter_of_the_application_that_raises_is_survived(
    log: PeriodicLog, logger: logging.Logger, where: str
) -> None:
    if where == "handler":
        logger.addHandler(RaisingHandler())
    else:
        logger.addFilter(refuse)
    errors = ErrorCount("c", log)
    errors.record("transform", ValueError())
    assert errors.total == 1


def test_a_handler_that_fails_the_same_way_does_not_go_round_in_circles(
    log: PeriodicLog, logger: logging.Logger
) -> None:
    errors = ErrorCount("c", log)

    class LogsThroughUs(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.record("transform", ValueError())

    logger.addHandler(LogsThroughUs())
    errors.record("transform", ValueError())
    assert errors.total == 2


def test_errors_are_counted_by_place_and_type_and_their_text_is_not_kept(
    log: PeriodicLog, caplog: pytest.LogCaptureFixture
) -> None:
    errors = ErrorCount("redaction", log)
    for error in (ValueError("hunter2"), ValueError("hunter2"), KeyError("hunter2")):
        errors.record("transform", error)
    errors.record("export", ValueError("hunter2"))
    assert errors.snapshot() == {"transform:ValueError": 2, "transform:KeyError": 1, "export:ValueError": 1}
    assert errors.total == 4
    assert "hunter2" not in caplog.text
    assert "redaction: transform failed with ValueError" in caplog.messages


def test_errors_of_eight_threads_are_counted_exactly(log: PeriodicLog) -> None:
    errors = ErrorCount("c", log)

    def work() -> None:
        for _ in range(1000):
            errors.record("transform", ValueError())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors.total == 8000
