"""Ten seconds of what happens to receivers: every item arrives, and none twice but where an answer was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from otelwarden.core import BatchConfig, FairBatchLogRecordProcessor, FairBatchSpanProcessor, Runtime, total
from otelwarden.failover import (
    Endpoint,
    EndpointPool,
    FailoverConfig,
    FailoverLogRecordExporter,
    FailoverMetricExporter,
    FailoverSpanExporter,
    SpoolConfig,
)
from otelwarden.testing import (
    EventRecorder,
    FaultyReceiver,
    LogWorkload,
    MetricWorkload,
    SpanWorkload,
    Workload,
    carry_out,
    fate_of,
    ordinary_faults,
)

from .conftest import ATTEMPT

SECONDS = 10.0
RATE = 400  # items/s of each signal
BATCH = BatchConfig(max_export_batch_size=64, schedule_delay=0.2, max_queue_size=1 << 17)


class Line:
    """A pipeline of one signal over one protocol, with a spool."""

    def __init__(
        self, make: Any, protocol: Literal["grpc", "http/protobuf"], receivers: list[FaultyReceiver], spool: Path
    ) -> None:
        self.runtime, self.events = Runtime(), EventRecorder()
        self.runtime.observe(self.events)
        urls = [each.grpc_endpoint if protocol == "grpc" else each.http_endpoint for each in receivers]
        config = FailoverConfig(initial_backoff=0.1, max_backoff=0.5, spool=SpoolConfig(path=str(spool)))
        # Only the first is ever frozen, so no attempt at the second has to run out of time.
        endpoints = [
            Endpoint(url=url, protocol=protocol, timeout=timeout)
            for url, timeout in zip(urls, (0.5, ATTEMPT), strict=True)
        ]
        self.pool = EndpointPool(endpoints, config=config, runtime=self.runtime)
        self.workload: Workload = make(self.pool, config, self.runtime)

    @property
    def unconfirmed(self) -> int:
        return sum(each.unconfirmed for each in self.pool.stats())


def spans(pool: EndpointPool, config: FailoverConfig, runtime: Runtime) -> Workload:
    exporter = FailoverSpanExporter(pool=pool, config=config, runtime=runtime)
    return SpanWorkload(FairBatchSpanProcessor(exporter, config=BATCH, runtime=runtime))


def logs(pool: EndpointPool, config: FailoverConfig, runtime: Runtime) -> Workload:
    exporter = FailoverLogRecordExporter(pool=pool, config=config, runtime=runtime)
    return LogWorkload(FairBatchLogRecordProcessor(exporter, config=BATCH, runtime=runtime))


def metrics(pool: EndpointPool, config: FailoverConfig, runtime: Runtime) -> Workload:
    exporter = FailoverMetricExporter(pool=pool, config=config, runtime=runtime)
    return MetricWorkload(PeriodicExportingMetricReader(exporter, export_interval_millis=200))


@pytest.fixture
def receivers() -> Iterator[list[FaultyReceiver]]:
    with ExitStack() as stack:
        yield [stack.enter_context(FaultyReceiver()) for _ in range(2)]


def test_nothing_is_lost(receivers: list[FaultyReceiver], tmp_path: Path) -> None:
    lines = [
        Line(spans, "grpc", receivers, tmp_path / "spans"),
        Line(logs, "http/protobuf", receivers, tmp_path / "logs"),
        Line(metrics, "grpc", receivers, tmp_path / "metrics"),
    ]
    workloads = [line.workload for line in lines]
    carry_out(ordinary_faults(*receivers, SECONDS), workloads, rate=RATE, seconds=SECONDS)
    for line in lines:
        assert line.workload.flush(60_000), line.pool.stats()
        line.workload.shutdown()
    for line in lines:
        account = total(line.runtime.balances(), "failover")
        fate = fate_of(line.workload, receivers)
        assert fate.sent >= SECONDS * RATE * 0.1  # the rest of them where the machine has the time
        assert fate.lost == 0, (fate, account)
        assert fate.doubled <= line.unconfirmed, (fate, line.pool.stats())
        assert (account.received, account.forwarded, account.dropped) == (fate.sent, fate.sent, {}), account
        actions = [event.action for event in line.events.events]
        # How often depends on how long a receiver takes to start: a slow one may be frozen before it was taken back.
        assert "failover" in actions, actions
        assert "outage" in actions, actions
