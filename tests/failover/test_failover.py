"""One endpoint after another fails, in every way a receiver knows, under a real tracer provider."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from otelwarden.failover import Endpoint, FailoverConfig, Status
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, FAST, Load, Rig

MOVES = [
    FaultMode.REFUSE,
    FaultMode.CLOSE,
    FaultMode.UNAVAILABLE,
    FaultMode.EXHAUSTED,
    FaultMode.UNAUTHENTICATED,
    FaultMode.FORBIDDEN,
    FaultMode.REDIRECT,
    FaultMode.INTERNAL,
    FaultMode.GARBAGE,
]


NO_WAY_BACK = replace(FAST, initial_backoff=ATTEMPT, max_backoff=ATTEMPT)
"""Who waits for a backoff of this does not end in time."""

A_WHILE = 2.0
"""Seconds for the attempts that are meant to run out of time: long beside what a slow machine takes for an answer."""


def ids(*receivers: FaultyReceiver) -> list[int]:
    return [int.from_bytes(span.span_id, "big") for receiver in receivers for span in receiver.spans()]


@pytest.mark.parametrize("mode", MOVES, ids=lambda mode: mode.value)
def test_a_failing_primary_moves_the_same_bytes_to_the_next(
    make_rig: Callable[..., Rig],
    endpoints_of: Callable[..., list[Endpoint]],
    pair: list[FaultyReceiver],
    mode: FaultMode,
) -> None:
    first, second = pair
    rig = make_rig(endpoints_of(pair), NO_WAY_BACK)
    rig.send()
    assert rig.flush()
    first.set_fault(Fault(mode=mode))
    rig.send(3)
    assert rig.flush()  # so nobody sat out a backoff; the figure is for benchmarks

    assert Counter(ids(first, second)) == Counter(rig.sent)
    assert len(ids(second)) == 3
    assert rig.actions("failover") == [("failover", rig.exporter.pool.stats()[1].url)]


@pytest.mark.parametrize("how", ["frozen", "refusing"])
def test_an_export_returns_whoever_does_not_answer(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver], how: str
) -> None:
    rig = make_rig(endpoints_of(pair), NO_WAY_BACK)
    for receiver in pair:
        if how == "frozen":
            receiver.freeze()
        else:
            receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    for number in range(1, 4):
        rig.send()
        assert rig.provider.force_flush(ATTEMPT / 2 * 1000)  # in less than an attempt, or a backoff
        assert (rig.account.received, rig.account.held) == (number, number)


@pytest.mark.parametrize("mode", [FaultMode.HANG, FaultMode.SLOW_BODY], ids=lambda mode: mode.value)
def test_an_attempt_ends_with_its_timeout(
    make_rig: Callable[..., Rig],
    endpoints_of: Callable[..., list[Endpoint]],
    pair: list[FaultyReceiver],
    mode: FaultMode,
) -> None:
    first, second = pair
    rig = make_rig(endpoints_of(pair[:1], timeout=0.5) + endpoints_of(pair[1:]))
    first.set_fault(Fault(mode=mode, delay=0.3))  # each byte comes long before the timeout, their sum does not
    start = time.monotonic()
    rig.send()
    assert rig.flush()
    assert time.monotonic() - start > 0.4
    assert ids(second) == list(rig.sent)  # and what the first would have said at last, nobody waited for


def test_a_frozen_primary_is_left_after_one_attempt_and_taken_back_when_it_thaws(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    first, second = pair
    rig = make_rig(endpoints_of(pair[:1], timeout=A_WHILE) + endpoints_of(pair[1:]))
    rig.send()
    assert rig.flush()
    first.freeze()
    rig.send()
    assert rig.flush()
    assert len(ids(second)) == 1
    # From here on nothing waits for the frozen one: probes do, out of band.
    for _ in range(5):
        rig.send()
        assert rig.flush()
    assert rig.exporter.pool.stats()[0].failed_attempts == 1
    first.thaw()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].status is Status.HEALTHY)
    rig.send()
    assert rig.flush()
    assert len(ids(second)) == 6
    assert set(ids(first, second)) == rig.sent
    assert [action for action, _ in rig.actions("failover", "failback")] == ["failover", "failback"]


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_death_under_load_loses_nothing(rig: Rig, pair: list[FaultyReceiver], how: str) -> None:
    first, second = pair
    with Load(rig, rate=100):
        first.wait_for_spans(100)
        getattr(first, how)()
        second.wait_for_spans(200)
        first.restart()
        rig.wait_until(lambda: rig.exporter.pool.stats()[0].active)
        first.wait_for_spans(100)
    assert rig.flush()

    seen = Counter(ids(first, second))
    assert set(seen) == rig.sent
    # Twice is only what was recorded and not acknowledged: the one request that was under way.
    twice = {span for span, times in seen.items() if times > 1}
    assert all(seen[span] == 2 for span in twice)
    assert len(twice) <= 512
    assert [action for action, _ in rig.actions("failover", "failback")] == ["failover", "failback"]
    assert rig.account.forwarded == len(rig.sent)


def test_both_dead_then_one_back_loses_nothing(rig: Rig, pair: list[FaultyReceiver]) -> None:
    first, second = pair
    rig.send()
    assert rig.flush()
    first.kill()
    second.kill()
    for _ in range(5):
        rig.send(10)
        rig.provider.force_flush()
    assert not rig.exporter.force_flush(100)
    assert rig.account.held == 50
    rig.wait_until(lambda: ("outage", "") in rig.actions())
    second.restart()
    assert rig.flush()
    assert set(ids(first, second)) == rig.sent
    rig.assert_balanced()


def test_order_is_kept_through_an_outage(rig: Rig, pair: list[FaultyReceiver]) -> None:
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    for number in range(5):
        rig.send(number=number)
        rig.provider.force_flush()
    pair[1].clear_fault()
    assert rig.flush()
    assert [span.attributes["number"] for span in pair[1].spans()] == list(range(5))


@pytest.mark.parametrize("place", ["status-details", "metadata", "date"])
def test_an_endpoint_that_asks_for_time_gets_it(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver], place: Any
) -> None:
    first = pair[0]
    rig = make_rig(endpoints_of([first]))
    first.set_fault(
        Fault(
            mode=FaultMode.EXHAUSTED,
            count=1,
            retry_after=1.0,
            retry_info="metadata" if place == "date" else place,
            retry_date=place == "date",
        )
    )
    rig.send()
    assert rig.flush()
    requests = first.requests()
    assert [request.accepted for request in requests][:1] == [False]
    # An HTTP date names a whole second, so that a second from now may be all but over.
    assert requests[1].time_ns - requests[0].time_ns > (0 if place == "date" else 0.9e9)
    assert ids(first) == list(rig.sent)


def test_partial_success_is_counted_and_not_sent_again(rig: Rig, pair: list[FaultyReceiver]) -> None:
    pair[0].set_fault(Fault(mode=FaultMode.PARTIAL, rejected=2))
    rig.send(5)
    assert rig.flush()
    assert len(pair[0].requests()) == 1
    assert not pair[1].requests()
    assert (rig.account.forwarded, rig.account.dropped) == (3, {"rejected": 2})
    stats = rig.exporter.pool.stats()[0]
    assert (stats.delivered, stats.rejected) == (3, 2)


def test_what_is_wrong_with_the_data_is_dropped_and_marks_nobody(
    rig: Rig, pair: list[FaultyReceiver], protocol: str
) -> None:
    pair[0].set_fault(Fault(mode=FaultMode.BAD_REQUEST))
    rig.send(2)
    assert rig.flush()
    assert rig.account.dropped == {"invalid": 2}
    assert not pair[1].requests()
    stats = rig.exporter.pool.stats()[0]
    assert (stats.status, stats.refused, stats.active) == (Status.HEALTHY, 2, True)


def test_http_says_when_a_request_is_too_large(make_rig: Callable[..., Rig], pair: list[FaultyReceiver]) -> None:
    rig = make_rig([Endpoint(url=each.http_endpoint, protocol="http/protobuf") for each in pair])
    pair[0].set_fault(Fault(mode=FaultMode.TOO_LARGE))
    rig.send(2)
    assert rig.flush()
    assert rig.account.dropped == {"too_large": 2}


def test_a_batch_that_makes_every_receiver_fail_does_not_hold_up_the_rest(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    # Over gRPC this receiver answers large requests with RESOURCE_EXHAUSTED and takes the small ones.
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.TOO_LARGE, max_bytes=2_000))
    rig = make_rig([Endpoint(url=each.grpc_endpoint) for each in pair])
    rig.send(1, large="x" * 4_000)
    rig.provider.force_flush()
    rig.send(1, large="no")
    assert rig.flush()
    assert rig.account.dropped == {"refused": 1}
    assert rig.account.forwarded == 1


def test_what_nobody_takes_expires(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    rig = make_rig(endpoints_of(pair), FailoverConfig(max_age=0.3, initial_backoff=0.1, max_backoff=0.2))
    rig.send(4)
    assert rig.flush()
    assert rig.account.dropped == {"expired": 4}


def test_a_full_queue_drops_the_oldest(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    rig = make_rig(endpoints_of(pair), replace(FAST, max_queue_bytes=10_000))
    pair[0].freeze()
    for number in range(10):
        rig.send(number=number, padding="x" * 2_000)
        rig.provider.force_flush()
        rig.wait_until(lambda: rig.exporter.pool.summary().in_flight)
    dropped = rig.account.dropped["queue_full"]
    assert dropped + rig.account.held == 10
    pair[0].thaw()
    assert rig.flush()
    # The first was under way; the others went in the order they came.
    assert [span.attributes["number"] for span in pair[0].spans()] == [0, *range(1 + dropped, 10)]
    assert rig.account.forwarded + rig.account.dropped["queue_full"] == 10


@pytest.mark.parametrize("fault", ["dead", "frozen", "refusing"])
def test_shutdown_with_nobody_there_is_short_and_counted(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver], fault: str
) -> None:
    rig = make_rig(endpoints_of(pair))
    for receiver in pair:
        if fault == "dead":
            receiver.kill()
        elif fault == "frozen":
            receiver.freeze()
        else:
            receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    rig.send(3)
    rig.provider.force_flush()
    start = time.monotonic()
    rig.provider.shutdown()
    assert time.monotonic() - start < ATTEMPT / 10
    assert rig.account.dropped == {"shutdown": 3}
    rig.provider.get_tracer("late").start_span("late").end()
    rig.assert_balanced()


def test_shutdown_delivers_what_is_left(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    rig = make_rig(endpoints_of(pair), replace(FAST, shutdown_patience=ATTEMPT))
    rig.send(50)
    rig.provider.shutdown()
    assert set(ids(pair[0])) == rig.sent
    assert rig.account.forwarded == 50
