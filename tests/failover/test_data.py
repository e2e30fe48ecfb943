"""Bad data, tenants and the identity: whatever is exported is delivered or counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.core import Runtime, SpanStageProcessor, total, use_tenant
from otelwarden.failover import Endpoint, FailoverLogRecordExporter, FailoverSpanExporter
from otelwarden.testing import EventRecorder, Fault, FaultMode, FaultyReceiver

from .conftest import FAST, Rig


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def test_bad_values_cost_themselves_and_not_the_batch(rig: Rig, pair: list[FaultyReceiver]) -> None:
    tracer = rig.provider.get_tracer("t")
    tracer.start_span("good", attributes={"n": 1}).end()
    tracer.start_span("bad \ud800 name").end()
    tracer.start_span("surrogate", attributes={"text": "a\udfffb", "kept": "yes"}).end()
    tracer.start_span("large", attributes={"int": 2**70, "list": [1, 2**70]}).end()
    tracer.start_span("nan", attributes={"nan": float("nan"), "inf": float("inf")}).end()
    tracer.start_span("ten megabytes", attributes={"text": "x" * 10_000_000}).end()
    assert rig.flush()
    spans = {span.name: span.attributes for span in pair[0].spans()}
    assert set(spans) == {"good", "bad \ufffd name", "surrogate", "large", "nan", "ten megabytes"}
    assert spans["surrogate"] == {"text": "a\ufffdb", "kept": "yes"}
    assert spans["large"] == {"int": str(2**70), "list": [1, str(2**70)]}
    assert spans["nan"]["nan"] != spans["nan"]["nan"]
    assert len(spans["ten megabytes"]["text"]) == 10_000_000
    assert (rig.account.forwarded, rig.account.dropped) == (6, {})
    assert sum(event.count for event in rig.recorder.events if event.action == "repair") == 4


def test_a_body_without_bottom_does_no_harm(pair: list[FaultyReceiver]) -> None:
    runtime = Runtime()
    exporter = FailoverLogRecordExporter([pair[0].grpc_endpoint], runtime=runtime)
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    endless: list[Any] = []
    endless += [endless, endless]
    for body in (deep(10_000), endless, {"at": object, 3: {1, 2}}, "plain"):
        provider.get_logger("l").emit(body=body)
    provider.shutdown()
    assert len(pair[0].log_records()) == 4
    assert pair[0].log_records()[-1].body == "plain"
    balance = total(runtime.balances(), "failover")
    assert (balance.forwarded, balance.unaccounted) == (4, 0)


def test_what_cannot_be_encoded_at_all_is_dropped_alone(rig: Rig, pair: list[FaultyReceiver]) -> None:
    rig.send(2)
    rig.provider.get_tracer("t").start_span("before time", start_time=-5).end()
    assert rig.flush()
    assert len(pair[0].spans()) == 2
    assert rig.account.dropped == {"encoding": 1}


def test_tenants_are_accounted_for_one_by_one(
    endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    runtime, events = Runtime(), EventRecorder()
    runtime.observe(events)
    exporter = FailoverSpanExporter(endpoints_of(pair), config=FAST, runtime=runtime)
    provider = TracerProvider(shutdown_on_exit=False)
    batch = BatchSpanProcessor(exporter, schedule_delay_millis=10, max_export_batch_size=16)
    provider.add_span_processor(
        SpanStageProcessor(batch, lambda span, state: span, component="tenancy", on_error="pass", runtime=runtime)
    )
    tracer = provider.get_tracer("t")

    def work(tenant: str, count: int) -> None:
        with use_tenant(tenant):
            for _ in range(count):
                tracer.start_span("x").end()

    workers = [threading.Thread(target=work, args=(f"tenant-{n}", 10 * (n + 1))) for n in range(4)]
    faults = [FaultMode.PARTIAL, FaultMode.UNAVAILABLE, FaultMode.BAD_REQUEST]
    for worker, fault in zip(workers, [*faults, None], strict=True):
        pair[0].set_fault(fault and Fault(mode=fault, count=1))
        worker.start()
    for worker in workers:
        worker.join()
    provider.shutdown()
    balances = [b for b in runtime.balances() if b.component == "failover"]
    assert {b.tenant: b.received for b in balances} == {f"tenant-{n}": 10 * (n + 1) for n in range(4)}
    assert all((b.held, b.unaccounted) == (0, 0) for b in balances)
    assert sum(b.forwarded for b in balances) == sum(stats.delivered for stats in exporter.pool.stats())
