"""A second endpoint is asked when the first does not answer; the first answer counts, and only one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otelwarden.core import Runtime
from otelwarden.failover import Endpoint, FailoverConfig, FailoverSpanExporter, Status
from otelwarden.failover.window import RECENT
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, Rig

HEDGED = FailoverConfig(hedge_after=0.1, initial_backoff=0.1, max_backoff=0.3, shutdown_patience=0.5)
PATIENT = replace(HEDGED, hedge_after=300.0)
"""Nothing takes that long, however slow the machine."""


def names(receiver: FaultyReceiver) -> int:
    return len(receiver.spans())


def warm(rig: Rig) -> Rig:
    """Opens the way to the first endpoint, which may take its time: an exporter that does not hedge does it."""
    first = FailoverSpanExporter(config=replace(HEDGED, hedge_after=None), runtime=Runtime(), pool=rig.exporter.pool)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(first))
    provider.get_tracer("tests").start_span("span").end()
    assert first.force_flush(60_000)
    provider.shutdown()
    return rig


@pytest.fixture
def rig(make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]) -> Rig:
    return warm(make_rig(endpoints_of(pair), HEDGED))


def test_while_the_first_answers_the_second_is_not_asked(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    rig = make_rig(endpoints_of(pair), PATIENT)
    for _ in range(5):
        rig.send()
        assert rig.flush()
    assert names(pair[0]) == 5
    assert not pair[1].requests()
    assert rig.exporter.pool.summary().hedged == 0


def test_a_frozen_primary_costs_no_attempt(rig: Rig, pair: list[FaultyReceiver]) -> None:
    first, second = pair
    first.freeze()
    for number in range(1, 6):
        rig.send()
        assert rig.flush()  # within less than an attempt; the figure is for benchmarks
        assert names(second) == number
    summary = rig.exporter.pool.summary()
    # As often as it may fail, then it is left alone: nothing waits for it any more, not even that long.
    assert (summary.hedged, summary.hedges_won) == (3, 3)
    assert rig.actions("failover") == [("failover", summary.endpoints[1].url)]
    assert summary.endpoints[0].last_code == "overtaken"
    assert summary.endpoints[0].unconfirmed == 3
    first.thaw()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].status is Status.HEALTHY)
    assert rig.account.forwarded == 5


def test_the_first_answer_counts_whoever_gives_it(rig: Rig, pair: list[FaultyReceiver]) -> None:
    first, second = pair
    second.set_fault(Fault(mode=FaultMode.SLOW, delay=ATTEMPT))
    first.freeze()
    rig.send()
    rig.wait_until(lambda: rig.exporter.pool.summary().hedged)
    first.thaw()
    assert rig.flush()
    summary = rig.exporter.pool.summary()
    assert (summary.hedged, summary.hedges_won) == (1, 0)
    assert (summary.endpoints[0].delivered, summary.endpoints[1].delivered) == (2, 0)
    assert rig.account.forwarded == 1
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
    assert time.monotonic() - start < ATTEMPT / 2
    assert rig.account.dropped == {"shutdown": 2}


def test_a_quantile_needs_requests_to_be_one(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    rig = make_rig(endpoints_of(pair), replace(HEDGED, hedge_after="p90"))
    for _ in range(RECENT):
        rig.send()
        assert rig.flush()
    assert rig.exporter.pool.summary().hedged == 0  # there was none for any of these
    pair[0].freeze()
    rig.send()
    assert rig.flush()
    summary = rig.exporter.pool.summary()
    assert (summary.hedged, summary.hedges_won) == (1, 1)
