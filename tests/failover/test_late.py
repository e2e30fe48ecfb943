"""What arrives late: the points of metrics in order and not too old, and attempts that end with the batch's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otelwarden.core import Runtime, total
from otelwarden.failover import Endpoint, FailoverConfig, FailoverMetricExporter, SpoolConfig
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

from .conftest import ATTEMPT, PATIENCE, Rig


class Meters:
    """A cumulative counter: its points must not arrive out of order."""

    def __init__(self, receivers: list[FaultyReceiver], **config: Any) -> None:
        self.runtime = Runtime()
        settings: dict[str, Any] = {"initial_backoff": 0.1, "max_backoff": 0.2, "shutdown_patience": 0.3, **config}
        endpoints = [Endpoint(url=each.grpc_endpoint, timeout=ATTEMPT) for each in receivers]
        config = FailoverConfig(**settings)
        self.exporter = FailoverMetricExporter(endpoints, config=config, runtime=self.runtime)
        self.provider = MeterProvider(
            [PeriodicExportingMetricReader(self.exporter, export_interval_millis=60_000_000)], shutdown_on_exit=False
        )
        self.counter = self.provider.get_meter("m").create_counter("orders")

    def collect(self, times: int = 1) -> None:
        for _ in range(times):
            self.counter.add(1)
            self.provider.force_flush(100)

    @property
    def account(self) -> Any:
        return total(self.runtime.balances(), "failover")

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.account
            time.sleep(0.005)


@pytest.fixture
def make_meters(pair: list[FaultyReceiver]) -> Iterator[Callable[..., Meters]]:
    made: list[Meters] = []

    def make(**config: Any) -> Meters:
        made.append(Meters(pair, **config))
        return made[-1]

    yield make
    for each in made:
        each.exporter.shutdown()
        assert (each.account.unaccounted, each.account.held) == (0, 0)


def refuse(pair: list[FaultyReceiver]) -> None:
    for receiver in pair:
        receiver.set_fault(Fault(mode=FaultMode.UNAVAILABLE))


def times(receiver: FaultyReceiver) -> list[int]:
    return [each.point.time_unix_nano for each in receiver.metrics()]


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_points_arrive_in_order_though_an_outage_is_replayed(
    make_meters: Callable[..., Meters], pair: list[FaultyReceiver], tmp_path: Path, spooled: bool
) -> None:
    meters = make_meters(spool=SpoolConfig(path=str(tmp_path / "s"), fsync="none") if spooled else None)
    refuse(pair)
    meters.collect(5)
    pair[1].clear_fault()
    meters.collect(5)  # while the first five are replayed
    assert meters.exporter.force_flush()
    assert [each.value for each in pair[1].metrics()] == list(range(1, 11))
    assert times(pair[1]) == sorted(times(pair[1]))


def test_what_a_dead_process_left_goes_before_what_came_later(
    make_meters: Callable[..., Meters], pair: list[FaultyReceiver], tmp_path: Path
) -> None:
    spool = SpoolConfig(path=str(tmp_path / "s"), fsync="none")
    refuse(pair)
    before, after = make_meters(spool=spool), make_meters(spool=spool)
    before.collect(3)
    after.collect(2)
    before.exporter.shutdown()  # it leaves them, and the other one, which has younger ones waiting, takes them over
    after.wait_until(lambda: after.account.held == 5)
    pair[1].clear_fault()
    assert after.exporter.force_flush()
    after.wait_until(lambda: not after.account.held)
    assert [each.value for each in pair[1].metrics()] == [1, 2, 3, 1, 2]
    assert times(pair[1]) == sorted(times(pair[1]))


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_points_that_are_too_late_are_dropped_and_counted(
    make_meters: Callable[..., Meters], pair: list[FaultyReceiver], tmp_path: Path, spooled: bool
) -> None:
    spool = SpoolConfig(path=str(tmp_path / "s"), fsync="none") if spooled else None
    meters = make_meters(spool=spool, metrics_max_age=0.4)
    refuse(pair)
    meters.collect(2)
    assert meters.exporter.force_flush()
    assert meters.account.dropped == {"expired": 2}
    pair[0].clear_fault()
    meters.collect()
    assert meters.exporter.force_flush()
    assert [each.value for each in pair[0].metrics() + pair[1].metrics()] == [3]


def test_no_attempt_outlasts_the_time_of_the_batch(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    config = FailoverConfig(max_age=0.6, initial_backoff=0.1, max_backoff=0.2, shutdown_patience=0.5)
    rig = make_rig(endpoints_of(pair[:1]), config)
    pair[0].set_fault(Fault(mode=FaultMode.HANG))
    rig.send(2)
    assert rig.flush()  # in less than an attempt
    assert rig.account.dropped == {"expired": 2}
    # It was the batch that ran out of time: nobody knows whether the endpoint would have answered.
    assert rig.exporter.pool.stats()[0].failed_attempts == 0
