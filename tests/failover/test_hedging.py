"""A second endpoint is asked when the first does not answer; the first answer counts, and only one."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from otelwarden.failover import Endpoint, FailoverConfig, Status
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import Rig

HEDGED = FailoverConfig(hedge_after=0.1, initial_backoff=0.1, max_backoff=0.3, shutdown_patience=0.5)


def names(receiver: FaultyReceiver) -> int:
    return len(receiver.spans())


@pytest.fixture
def rig(make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]) -> Rig:
    rig = make_rig(endpoints_of(pair), HEDGED)
    rig.send()
    assert rig.flush()
    return rig


def test_while_the_first_answers_the_second_is_not_asked(rig: Rig, pair: list[FaultyReceiver]) -> None:
    for _ in range(5):
        rig.send()
        assert rig.flush()
    assert not pair[1].requests()
    assert rig.exporter.pool.summary().hedged == 0


def test_a_frozen_primary_costs_no_attempt(rig: Rig, pair: list[FaultyReceiver]) -> None:
    first, second = pair
    first.freeze()
    for number in range(1, 6):
        start = time.monotonic()
        rig.send()
        assert rig.flush()
        assert time.monotonic() - start < 2.0  # an attempt takes 5 s; the figure is for benchmarks
        assert names(second) == number
    summary = rig.exporter.pool.summary()
    # As often as it may fail, then it is left alone: nothing waits for it any more, not even that long.
    assert (summary.hedged, summary.hedges_won) == (3, 3)
    assert rig.actions("failover") == [("failover", summary.endpoints[1].url)]
    assert summary.endpoints[0].last_code == "overtaken"
    assert summary.endpoints[0].unconfirmed == 3
    first.thaw()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].status is Status.HEALTHY)
    assert rig.account.forwarded == 6


def test_the_first_answer_counts_whoever_gives_it(rig: Rig, pair: list[FaultyReceiver]) -> None:
    pair[0].set_fault(Fault(mode=FaultMode.SLOW, delay=0.3))
    pair[1].set_fault(Fault(mode=FaultMode.SLOW, delay=30.0))
    rig.send(2)
    assert rig.flush()
    summary = rig.exporter.pool.summary()
    assert (summary.hedged, summary.hedges_won) == (1, 0)
    assert (summary.endpoints[0].delivered, summary.endpoints[1].delivered) == (3, 0)
    assert rig.account.forwarded == 3
    assert not rig.actions("failover")


def test_when_both_fail_the_batch_waits_as_ever(rig: Rig, pair: list[FaultyReceiver]) -> None:
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))
    rig.send(2)
    rig.provider.force_flush()
    rig.wait_until(lambda: ("outage", "") in rig.actions())
    pair[1].clear_fault()
    assert rig.flush()
    assert names(pair[1]) == 2


def test_what_is_wrong_with_the_data_ends_it_for_both(rig: Rig, pair: list[FaultyReceiver]) -> None:
    pair[0].freeze()
    pair[1].set_fault(Fault(mode=FaultMode.BAD_REQUEST))
    rig.send(2)
    assert rig.flush()
    assert rig.account.dropped == {"invalid": 2}


def test_a_shutdown_calls_off_both(rig: Rig, pair: list[FaultyReceiver]) -> None:
    for receiver in pair:
        receiver.freeze()
    rig.send(2)
    rig.provider.force_flush()
    rig.wait_until(lambda: rig.exporter.pool.summary().hedged)
    start = time.monotonic()
    rig.provider.shutdown()
    assert time.monotonic() - start < HEDGED.shutdown_patience + 1.0
    assert rig.account.dropped == {"shutdown": 2}


def test_a_quantile_needs_requests_to_be_one(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    rig = make_rig(endpoints_of(pair), FailoverConfig(hedge_after="p90", initial_backoff=0.1, max_backoff=0.3))
    for _ in range(25):
        rig.send()
        rig.provider.force_flush()
    assert rig.flush()
    pair[0].freeze()
    start = time.monotonic()
    rig.send()
    assert rig.flush()
    assert time.monotonic() - start < 2.0
    assert rig.exporter.pool.summary().hedges_won >= 1
