from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from otelwarden.core import (
    BatchConfig,
    Drop,
    FairBatchLogRecordProcessor,
    FairBatchSpanProcessor,
    Runtime,
    SpanStageProcessor,
    default_runtime,
    publish_self_metrics,
    run_in_child_after_fork,
    set_tenant,
    state_of,
    use_tenant,
)
from otelwarden.testing import RecordingLogRecordExporter, RecordingSpanExporter

# What Python 3.12 and later warn of is what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

InChild = Callable[[Callable[[], Any]], Any]


class Owner:
    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self.told = told

    def forget(self) -> None:
        self.told.append(self.name)


def test_methods_are_called_in_the_child_in_order_while_their_object_lives(in_child: InChild) -> None:
    told: list[str] = []
    first, dead, last = (Owner(name, told) for name in ("first", "dead", "last"))
    for owner in (first, dead, last):
        run_in_child_after_fork(owner.forget)
    del dead, owner
    assert in_child(lambda: list(told)) == ["first", "last"]
    assert told == []


@pytest.fixture
def exporter() -> RecordingSpanExporter:
    return RecordingSpanExporter()


@pytest.fixture
def traced(runtime: Runtime, exporter: RecordingSpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    batch = FairBatchSpanProcessor(exporter, config=BatchConfig(schedule_delay=3600), runtime=runtime)
    provider.add_span_processor(
        SpanStageProcessor(
            batch,
            lambda span, _: Drop("refused") if span.name == "bad" else span,
            component="first",
            on_error="pass",
            runtime=runtime,
        )
    )
    yield provider
    provider.shutdown()


def counts(runtime: Runtime) -> dict[str, tuple[int, int, int, int]]:
    return {b.component: (b.received, b.forwarded, b.held, b.unaccounted) for b in runtime.balances()}


def test_a_child_starts_with_an_empty_queue_and_zeroed_counters_and_works(
    traced: TracerProvider, runtime: Runtime, exporter: RecordingSpanExporter, in_child: InChild
) -> None:
    tracer = traced.get_tracer("test")
    tracer.start_span("of the parent").end()
    tracer.start_span("bad").end()
    runtime.errors("first").record("transform", OSError())

    def child() -> Any:
        before = (runtime.balances(), runtime.decisions(), runtime.error_counts())
        tracer.start_span("of the child").end()
        held = counts(runtime)
        flushed = traced.force_flush()
        return before, held, flushed, [span.name for span in exporter.spans], counts(runtime)

    before, held, flushed, exported, after = in_child(child)
    assert before == ([], {}, {"first": {}, "batch": {}})
    assert held == {"first": (1, 1, 0, 0), "batch": (1, 0, 1, 0)}
    assert flushed
    assert exported == ["of the child"]
    assert after == {"first": (1, 1, 0, 0), "batch": (1, 1, 0, 0)}
    assert counts(runtime) == {"first": (2, 1, 0, 0), "batch": (1, 0, 1, 0)}
    assert traced.force_flush()
    assert [span.name for span in exporter.spans] == ["of the parent"]


def test_a_grandchild_works_too(traced: TracerProvider, exporter: RecordingSpanExporter, in_child: InChild) -> None:
    tracer = traced.get_tracer("test")

    def work(name: str) -> list[str]:
        tracer.start_span(name).end()
        assert traced.force_flush()
        return [span.name for span in exporter.spans]

    assert in_child(lambda: [work("child"), in_child(lambda: work("grandchild"))]) == [
        ["child"],
        ["child", "grandchild"],  # the exporter's own memory is not ours to forget
    ]


def test_logs_start_anew_in_a_child(runtime: Runtime, in_child: InChild) -> None:
    provider, exporter = LoggerProvider(), RecordingLogRecordExporter()
    provider.add_log_record_processor(FairBatchLogRecordProcessor(exporter, runtime=runtime))
    provider.get_logger("test").emit(LogRecord(body="of the parent"))

    def child() -> list[Any]:
        provider.get_logger("test").emit(LogRecord(body="of the child"))
        assert provider.force_flush()
        return [record.log_record.body for record in exporter.records]

    assert in_child(child) == ["of the child"]
    provider.shutdown()


def test_a_span_that_started_before_the_fork_keeps_its_tenant_in_the_child(
    traced: TracerProvider, exporter: RecordingSpanExporter, in_child: InChild
) -> None:
    with use_tenant("acme"):
        span = traced.get_tracer("test").start_span("a")

    def child() -> str:
        span.end()
        traced.force_flush()
        return state_of(exporter.spans[0]).tenant

    assert in_child(child) == "acme"


def test_a_child_of_a_parent_that_was_shut_down_stays_shut_down(
    traced: TracerProvider, runtime: Runtime, exporter: RecordingSpanExporter, in_child: InChild
) -> None:
    traced.shutdown()

    def child() -> Any:
        traced.get_tracer("test").start_span("a").end()
        (batch,) = [b for b in runtime.balances() if b.component == "batch"]
        return batch.dropped, exporter.shutdowns, exporter.spans

    assert in_child(child) == ({"already_shutdown": 1}, 1, ())


def test_a_child_of_a_parent_whose_exporter_hangs_works(
    runtime: Runtime, in_child: InChild, until: Callable[[Callable[[], object]], None]
) -> None:
    gate = threading.Event()

    class HangsInTheParent(RecordingSpanExporter):
        parent = os.getpid()

        def export(self, spans: Any) -> Any:
            if os.getpid() == self.parent:
                hanging.set()
                gate.wait()
            return super().export(spans)

    hanging = threading.Event()
    exporter = HangsInTheParent()
    provider = TracerProvider()
    provider.add_span_processor(
        FairBatchSpanProcessor(exporter, config=BatchConfig(max_export_batch_size=1), runtime=runtime)
    )
    provider.get_tracer("test").start_span("of the parent").end()
    assert hanging.wait(60)

    def child() -> Any:
        provider.get_tracer("test").start_span("of the child").end()
        return provider.force_flush(), [span.name for span in exporter.spans], counts(runtime)

    assert in_child(child) == (True, ["of the child"], {"batch": (1, 1, 0, 0)})
    gate.set()
    provider.shutdown()
    assert counts(runtime) == {"batch": (1, 1, 0, 0)}


def test_locks_that_other_threads_hold_at_the_fork_hang_no_child(
    traced: TracerProvider, runtime: Runtime, in_child: InChild
) -> None:
    """Four threads take every lock there is as often as they can; one of them is held at some of the forks."""
    stop = threading.Event()
    tracer = traced.get_tracer("test")
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    publish_self_metrics(runtime, meters)

    def busy(number: int) -> None:
        while not stop.is_set():
            tracer.start_span("bad" if number % 2 else "good", context=set_tenant(f"t{number}")).end()
            runtime.errors("first").record("transform", OSError())
            runtime.balances()
            runtime.decisions()
            default_runtime()

    def child() -> bool:
        with use_tenant("child"):
            tracer.start_span("good").end()
            tracer.start_span("bad").end()
        runtime.errors("first").record("transform", OSError())
        default_runtime()
        assert reader.get_metrics_data() is not None
        assert traced.force_flush()
        return all(b.unaccounted == 0 for b in runtime.balances())

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert all(in_child(child) for _ in range(12))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
