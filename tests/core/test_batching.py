from __future__ import annotations

import asyncio
import gc
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from otelwarden.core import (
    Balance,
    BatchConfig,
    ConfigError,
    FairBatchLogRecordProcessor,
    FairBatchSpanProcessor,
    GovernanceEvent,
    Runtime,
    SpanStageProcessor,
    is_instrumentation_suppressed,
    set_tenant,
    total,
)
from otelwarden.testing import EventRecorder, RecordingLogRecordExporter, RecordingSpanExporter, RecordingSpanProcessor

NEVER = 3600.0
Until = Callable[[Callable[[], object]], None]
BalanceOf = Callable[..., Balance]


def names(spans: Sequence[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


def batch_total(runtime: Runtime) -> Balance:
    return total(runtime.balances(), "batch")


@pytest.fixture
def batched(
    provider: TracerProvider, runtime: Runtime
) -> Callable[..., tuple[Callable[..., None], FairBatchSpanProcessor]]:
    """Sets a batch up before an exporter; answers what ends a span of a tenant, and the processor."""

    def make(exporter: SpanExporter, **config: Any) -> tuple[Callable[..., None], FairBatchSpanProcessor]:
        batch = FairBatchSpanProcessor(exporter, config=BatchConfig(**config), runtime=runtime)
        provider.add_span_processor(
            SpanStageProcessor(batch, lambda span, state: span, component="first", on_error="pass", runtime=runtime)
        )
        tracer = provider.get_tracer("test")

        def end(name: str, tenant: str = "a", **attributes: Any) -> None:
            tracer.start_span(name, context=set_tenant(tenant), attributes=attributes).end()

        return end, batch

    return make


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


# --- configuration


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_queue_size", 0),
        ("max_queue_bytes", -1),
        ("max_export_batch_size", 0),
        ("schedule_delay", 0),
        ("schedule_delay", math.nan),
    ],
)
def test_a_bound_that_is_not_positive_is_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"/{field}: not positive"):
        BatchConfig(**{field: value})


def test_all_faults_of_a_configuration_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        BatchConfig(max_queue_size=10, max_export_batch_size=11, max_queue_bytes=0)
    assert [fault.pointer for fault in refused.value.faults] == ["/max_queue_bytes", "/max_export_batch_size"]


# --- when batches leave


def test_a_full_batch_leaves_at_once(batched: Any, until: Until) -> None:
    exporter = RecordingSpanExporter()
    end, _ = batched(exporter, max_export_batch_size=3, schedule_delay=NEVER)
    for name in "abc":
        end(name)
    until(lambda: len(exporter.spans) == 3)
    assert names(exporter.spans) == ["a", "b", "c"]


def test_an_incomplete_batch_leaves_after_the_delay(batched: Any, until: Until) -> None:
    exporter = RecordingSpanExporter()
    end, _ = batched(exporter, schedule_delay=0.02)
    end("a")
    until(lambda: names(exporter.spans) == ["a"])
    end("b")
    until(lambda: names(exporter.spans) == ["a", "b"])


def test_the_delay_may_be_forever(batched: Any) -> None:
    exporter = RecordingSpanExporter()
    end, batch = batched(exporter, schedule_delay=math.inf)
    end("a")
    assert batch.force_flush()
    assert names(exporter.spans) == ["a"]


def test_logs_are_batched_alike(logger_provider: LoggerProvider, runtime: Runtime, balance: BalanceOf) -> None:
    exporter = RecordingLogRecordExporter()
    logger_provider.add_log_record_processor(FairBatchLogRecordProcessor(exporter, runtime=runtime))
    logger = logger_provider.get_logger("test")
    logger.emit(LogRecord(body="mine", context=set_tenant("acme")))
    logger.emit(LogRecord(body="nobody's"))
    assert logger_provider.force_flush()
    assert [record.log_record.body for record in exporter.records] == ["mine", "nobody's"]
    assert balance("batch", "acme", "logs").forwarded == 1
    assert balance("batch", "unattributed", "logs").forwarded == 1


def test_a_log_record_that_is_changed_after_it_was_queued_leaves_as_it_was(runtime: Runtime) -> None:
    exporter = RecordingLogRecordExporter()
    processor = FairBatchLogRecordProcessor(exporter, runtime=runtime)
    record = ReadWriteLogRecord(LogRecord(body="before", attributes={"key": "before"}))
    processor.on_emit(record)
    record.log_record.body = "after"
    record.log_record.attributes["key"] = "after"  # type: ignore[index]
    processor.shutdown()
    (exported,) = exporter.records
    assert (exported.log_record.body, dict(exported.log_record.attributes or {})) == ("before", {"key": "before"})


@pytest.mark.filterwarnings("ignore:Log record attributes")
def test_a_queued_log_record_keeps_what_the_sdk_dropped_and_lets_go_of_its_context(runtime: Runtime) -> None:
    exporter = RecordingLogRecordExporter()
    processor = FairBatchLogRecordProcessor(exporter, runtime=runtime)
    record = ReadWriteLogRecord(LogRecord(body="b", context=set_tenant("acme"), attributes={"": 1, "kept": 2}))
    assert record.dropped_attributes == 1
    processor.on_emit(record)
    processor.shutdown()
    (exported,) = exporter.records
    assert exported.dropped_attributes == 1
    assert dict(exported.log_record.attributes or {}) == {"kept": 2}
    assert not exported.log_record.context
    assert '"dropped_attributes": 1' in exported.to_json()


# --- losses


def test_every_loss_has_a_reason(batched: Any, balance: BalanceOf, runtime: Runtime) -> None:
    observer = EventRecorder()
    runtime.observe(observer)
    exporter = RecordingSpanExporter()
    end, batch = batched(
        exporter, max_queue_size=4, max_export_batch_size=4, max_queue_bytes=2000, schedule_delay=NEVER
    )
    end("too large", text="x" * 3000)
    for number in range(3):
        end(str(number))
    for number in range(3):
        end(str(number), text="x" * 800)
    batch.shutdown()
    end("late")
    found = balance("batch", "a")
    assert found.dropped["too_large"] == 1
    assert found.dropped["already_shutdown"] == 1
    assert found.forwarded == len(exporter.spans)
    assert found.unaccounted == 0
    assert sum(event.count for event in observer.events) == sum(found.dropped.values())


def test_a_noisy_tenant_at_a_hundred_times_costs_the_quiet_one_nothing(
    batched: Any, gate: threading.Event, balance: BalanceOf, until: Until
) -> None:
    exporter = RecordingSpanExporter(gate=gate)
    end, batch = batched(exporter, max_queue_size=256, max_export_batch_size=64)
    for number in range(20):
        end(f"q{number}", "quiet")
        for _ in range(100):
            end("n", "noisy")
    gate.set()
    assert batch.force_flush()
    assert [name for name in names(exporter.spans) if name != "n"] == [f"q{number}" for number in range(20)]
    assert balance("batch", "quiet").dropped == {}
    noisy = balance("batch", "noisy")
    assert noisy.dropped["queue_full"] > 1000
    assert noisy.unaccounted == 0


def test_a_quiet_tenant_with_large_spans_loses_none_to_a_noisy_one_with_small_spans(
    batched: Any, gate: threading.Event, balance: BalanceOf
) -> None:
    exporter = RecordingSpanExporter(gate=gate)
    end, batch = batched(exporter, max_queue_size=100, max_export_batch_size=10)
    for number in range(8):
        end(str(number), "quiet", text="x" * 50_000)
    for _ in range(1000):
        end("n", "noisy")
    gate.set()
    batch.shutdown()
    assert balance("batch", "quiet").dropped == {}


class RecordOnly(Sampler):
    def should_sample(self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any) -> SamplingResult:
        keep = name == "kept"
        return SamplingResult(Decision.RECORD_AND_SAMPLE if keep else Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "records all, samples what is called `kept`"


@pytest.mark.parametrize("staged", [False, True])
def test_spans_that_are_only_recorded_are_never_exported(runtime: Runtime, balance: BalanceOf, staged: bool) -> None:
    exporter = RecordingSpanExporter()
    provider = TracerProvider(sampler=RecordOnly())
    batch: Any = FairBatchSpanProcessor(exporter, runtime=runtime)
    if staged:
        batch = SpanStageProcessor(batch, lambda s, _: s, component="first", on_error="pass", runtime=runtime)
    provider.add_span_processor(batch)
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("kept"):
        tracer.start_span("not kept").end()
    with tracer.start_as_current_span("not kept"):
        tracer.start_span("kept").end()
    provider.shutdown()
    assert names(exporter.spans) == ["kept", "kept"]
    found = balance("batch")
    assert (found.received, found.dropped, found.unaccounted) == (4, {"not_sampled": 2}, 0)


def test_being_not_sampled_is_no_decision_that_observers_are_told(runtime: Runtime) -> None:
    observer = EventRecorder()
    runtime.observe(observer)
    provider = TracerProvider(sampler=RecordOnly())
    provider.add_span_processor(FairBatchSpanProcessor(RecordingSpanExporter(), runtime=runtime))
    provider.get_tracer("test").start_span("not kept").end()
    provider.shutdown()
    assert observer.events == []


# --- exporters that fail


@pytest.mark.parametrize(
    ("exporter", "reason", "errors"),
    [
        (RecordingSpanExporter(result=SpanExportResult.FAILURE), "export_failed", {}),
        (RecordingSpanExporter(error=OSError("down")), "export_error", {"export:OSError": 1}),
        (RecordingSpanExporter(error=asyncio.CancelledError()), "export_error", {"export:CancelledError": 1}),
        (RecordingSpanExporter(error=SystemExit(1)), "export_error", {"export:SystemExit": 1}),
    ],
    ids=["fails", "raises", "is cancelled", "exits"],
)
def test_what_an_exporter_loses_is_counted_and_the_next_batch_goes_out(
    batched: Any, balance: BalanceOf, runtime: Runtime, exporter: Any, reason: str, errors: dict[str, int]
) -> None:
    end, batch = batched(exporter)
    end("lost")
    assert not batch.force_flush()
    exporter.result, exporter.error = SpanExportResult.SUCCESS, None
    end("well")
    assert batch.force_flush()
    found = balance("batch", "a")
    assert (found.forwarded, found.dropped, found.unaccounted) == (1, {reason: 1}, 0)
    assert runtime.error_counts()["batch"] == errors


class CountingExporter(RecordingSpanExporter):
    counts_its_losses = True


def test_an_exporter_that_counts_its_losses_is_believed(batched: Any, balance: BalanceOf) -> None:
    end, batch = batched(CountingExporter(result=SpanExportResult.FAILURE))
    end("a")
    batch.shutdown()
    assert balance("batch", "a").forwarded == 1


def test_an_exporter_that_blocks_does_not_block_the_application(
    batched: Any, gate: threading.Event, balance: BalanceOf, until: Until
) -> None:
    exporter = RecordingSpanExporter(gate=gate)
    end, batch = batched(exporter, max_queue_size=100, max_export_batch_size=10)
    for _ in range(10):
        end("first")
    until(lambda: exporter.batches)
    began = time.monotonic()
    for _ in range(1000):
        end("rest")
    assert not batch.force_flush(50)
    batch.shutdown(50)
    assert time.monotonic() - began < 60  # it would have been forever
    found = balance("batch", "a")
    assert found.dropped == {"queue_full": 900, "shutdown_timeout": 110}
    assert (found.received, found.held, found.unaccounted) == (1010, 0, 0)
    gate.set()
    until(lambda: exporter.shutdowns)  # late, but once it can
    assert balance("batch", "a") == found  # and what comes out late is not counted again


class BlockingExporter(RecordingSpanExporter):
    """Exports at once, and hangs where it is asked to."""

    def __init__(self, gate: threading.Event, *, flush: bool = False, shutdown: bool = False) -> None:
        super().__init__()
        self.waits = {"flush": flush, "shutdown": shutdown}
        self.on = gate

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return not self.waits["flush"] or self.on.wait()

    def shutdown(self) -> None:
        if self.waits["shutdown"]:
            self.on.wait()


def test_a_flush_that_hangs_ends_at_its_deadline(batched: Any, gate: threading.Event) -> None:
    exporter = BlockingExporter(gate, flush=True)
    end, batch = batched(exporter)
    end("a")
    assert not batch.force_flush(50)
    assert names(exporter.spans) == ["a"]


def test_a_shutdown_that_hangs_ends_at_its_deadline(batched: Any, gate: threading.Event, balance: BalanceOf) -> None:
    end, batch = batched(BlockingExporter(gate, shutdown=True))
    end("a")
    batch.shutdown(200)
    assert balance("batch", "a").forwarded == 1


@pytest.mark.parametrize("moment", ["export", "force_flush", "shutdown"])
def test_an_exporter_that_calls_its_own_processor_does_not_wait_for_itself(
    batched: Any, moment: str, balance: BalanceOf
) -> None:
    class Inward(RecordingSpanExporter):
        processor: FairBatchSpanProcessor

        def _inward(self, when: str) -> None:
            if when == moment:
                self.processor.force_flush(60_000)
                self.processor.shutdown(60_000)

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self._inward("export")
            return super().export(spans)

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            self._inward("force_flush")
            return True

        def shutdown(self) -> None:
            self._inward("shutdown")

    exporter = Inward()
    end, batch = batched(exporter)
    exporter.processor = batch
    end("a")
    began = time.monotonic()
    batch.force_flush(60_000)
    batch.shutdown(60_000)
    assert time.monotonic() - began < 60
    assert balance("batch", "a").unaccounted == 0


# --- flush and shutdown


def test_a_flush_reaches_the_exporter(batched: Any) -> None:
    exporter = RecordingSpanExporter()
    _, batch = batched(exporter)
    assert batch.force_flush()
    assert exporter.flushed == 1


def test_a_flush_tells_what_the_exporter_says(batched: Any) -> None:
    class Unwell(RecordingSpanExporter):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return False

    _, batch = batched(Unwell())
    assert not batch.force_flush()


def test_a_flush_whose_exporter_raises_has_failed(batched: Any, runtime: Runtime) -> None:
    class Raising(RecordingSpanExporter):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            raise OSError("down")

    end, batch = batched(Raising())
    assert not batch.force_flush()
    assert runtime.error_counts()["batch"] == {"force_flush:OSError": 1}
    end("a")
    batch.shutdown()
    assert batch_total(runtime).forwarded == 1


@pytest.mark.parametrize("timeout", [10**18, math.inf], ids=["huge", "infinite"])
def test_a_timeout_may_be_longer_than_a_lock_can_wait(batched: Any, timeout: Any) -> None:
    exporter = RecordingSpanExporter()
    end, batch = batched(exporter)
    end("a")
    assert batch.force_flush(timeout)
    end("b")
    batch.shutdown(timeout)
    assert names(exporter.spans) == ["a", "b"]


def test_a_timeout_of_nothing_is_kept(batched: Any, gate: threading.Event) -> None:
    end, batch = batched(RecordingSpanExporter(gate=gate))
    end("a")
    began = time.monotonic()
    assert not batch.force_flush(0)
    batch.shutdown(0)
    assert time.monotonic() - began < 30  # it would have been forever


def test_one_who_waits_briefly_does_not_cut_short_one_who_waits_long(
    batched: Any, gate: threading.Event, until: Until
) -> None:
    exporter = RecordingSpanExporter(gate=gate)
    end, batch = batched(exporter, max_queue_size=100, max_export_batch_size=1)
    end("first")
    until(lambda: exporter.batches)
    end("a")
    answers: list[bool] = []
    patient = threading.Thread(target=lambda: answers.append(batch.force_flush(60_000)))
    patient.start()
    assert not batch.force_flush(20)
    assert not batch.force_flush(20)
    gate.set()
    patient.join(60)
    assert answers == [True]


def test_a_flush_under_load_ends_and_has_what_was_there(batched: Any, runtime: Runtime) -> None:
    class Slow(RecordingSpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            time.sleep(0.002)
            return super().export(spans)

    exporter = Slow()
    end, batch = batched(exporter, max_queue_size=64, max_export_batch_size=8, schedule_delay=NEVER)
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            end("noise", "noisy")

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):
            end(f"q{number}", "quiet")
            assert batch.force_flush(60_000)
            assert f"q{number}" in names(exporter.spans)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    batch.shutdown()
    assert batch_total(runtime).unaccounted == 0


def test_shutdown_exports_what_is_queued_and_happens_once(batched: Any, balance: BalanceOf) -> None:
    exporter = RecordingSpanExporter()
    end, batch = batched(exporter, max_export_batch_size=2, schedule_delay=NEVER)
    for name in "abcde":
        end(name)
    batch.shutdown()
    batch.shutdown()
    assert names(exporter.spans) == list("abcde")
    assert exporter.shutdowns == 1
    assert not batch.force_flush()
    assert balance("batch", "a").unaccounted == 0


def test_shutdown_without_any_item_reaches_the_exporter(batched: Any) -> None:
    exporter = RecordingSpanExporter()
    _, batch = batched(exporter)
    batch.shutdown()
    assert exporter.shutdowns == 1


# --- threads


def test_eight_threads_and_the_exact_identity(batched: Any, runtime: Runtime) -> None:
    exporter = RecordingSpanExporter()
    end, batch = batched(exporter, max_queue_size=512, max_export_batch_size=64, schedule_delay=0.01)
    start = threading.Barrier(9)

    def work(number: int) -> None:
        start.wait()
        for each in range(500):
            end(f"{number}.{each}", f"t{each % 5}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        assert all(b.unaccounted >= 0 for b in runtime.balances())  # negative is a defect at any moment
        batch.force_flush()
    batch.shutdown()
    whole = batch_total(runtime)
    assert (whole.received, whole.held, whole.unaccounted) == (4000, 0, 0)
    assert whole.forwarded == len(exporter.spans) == 4000 - sum(whole.dropped.values())
    assert max(Counter(names(exporter.spans)).values()) == 1
    assert all(b.unaccounted == 0 for b in runtime.balances())


def test_the_thread_is_a_daemon_with_a_name_and_leaves_instrumentation_alone(batched: Any) -> None:
    seen: list[tuple[str, bool, bool]] = []

    class Looking(RecordingSpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            thread = threading.current_thread()
            seen.append((thread.name, thread.daemon, is_instrumentation_suppressed()))
            return SpanExportResult.SUCCESS

    end, batch = batched(Looking())
    end("a")
    assert batch.force_flush()
    assert seen == [("otelwarden-batch-traces", True, True)]


class EndsASpanWhenCollected:
    """In a cycle, as an abandoned generator around a `with` is: the collector ends the span, whenever it likes."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.end = end
        self.me = self

    def __del__(self) -> None:
        self.end()


def test_spans_that_the_collector_ends_in_the_midst_of_anything_are_neither_lost_nor_harmful(
    batched: Any, runtime: Runtime
) -> None:
    exporter = RecordingSpanExporter()
    end, batch = batched(exporter, max_queue_size=32, max_export_batch_size=8, schedule_delay=0.001)
    ended = Counter[str]()

    def collected(tenant: str) -> Callable[[], None]:
        def finish() -> None:
            ended[tenant] += 1
            end("collected", tenant)

        return finish

    before = gc.get_threshold()
    gc.set_threshold(3, 1_000_000, 1_000_000)
    try:
        for number in range(1500):
            EndsASpanWhenCollected(collected(f"t{number % 3}"))
            end("ordinary", f"t{number % 3}")
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert batch.force_flush()
    end("last", "t0")
    batch.shutdown()
    assert names(exporter.spans)[-1] == "last"
    whole = batch_total(runtime)
    assert whole.received == 1501 + ended.total()
    assert (whole.unaccounted, whole.held) == (0, 0)
    assert runtime.error_counts()["batch"] == {}


def test_a_signal_handler_that_ends_spans_in_the_midst_of_anything_is_neither_lost_nor_harmful(
    batched: Any, runtime: Runtime
) -> None:
    exporter = RecordingSpanExporter()
    end, batch = batched(exporter, max_queue_size=2, max_export_batch_size=1, schedule_delay=0.001)
    ended = Counter[str]()

    def handler(*_: Any) -> None:
        ended["handler"] += 1
        end("handler", f"t{ended.total() % 3}")
        signal.setitimer(signal.ITIMER_REAL, 0.0002)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002)
    stop = time.monotonic() + 1
    try:
        while time.monotonic() < stop:
            ended["main"] += 1
            end("main", f"t{ended['main'] % 7}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ended["handler"]
    assert batch.force_flush()
    end("last", "t0")
    batch.shutdown()
    assert names(exporter.spans)[-1] == "last"
    whole = batch_total(runtime)
    assert whole.received == ended.total() + 1
    assert (whole.unaccounted, whole.held) == (0, 0)
    assert not any(runtime.error_counts().values())


def test_an_observer_may_wait_for_a_thread_that_ends_spans(batched: Any, runtime: Runtime) -> None:
    done: list[bool] = []

    def observer(event: GovernanceEvent) -> None:
        if event.tenant == "a":
            other = threading.Thread(target=end, args=("told", "b"))
            other.start()
            other.join(60)
            done.append(not other.is_alive())

    runtime.observe(observer)
    exporter = RecordingSpanExporter(result=SpanExportResult.FAILURE)
    end, batch = batched(exporter)
    end("lost")
    batch.force_flush()
    end("late")
    batch.shutdown()
    end("later")
    assert done == [True, True, True]


def test_two_batches_of_one_pipeline_have_accounts_of_their_own(runtime: Runtime) -> None:
    provider = TracerProvider()
    good, bad = RecordingSpanExporter(), RecordingSpanExporter(result=SpanExportResult.FAILURE)
    provider.add_span_processor(FairBatchSpanProcessor(good, runtime=runtime))
    provider.add_span_processor(FairBatchSpanProcessor(bad, runtime=runtime))
    provider.get_tracer("test").start_span("a").end()
    provider.shutdown()
    assert [(b.component, b.forwarded, dict(b.dropped)) for b in runtime.balances()] == [
        ("batch", 1, {}),
        ("batch/2", 0, {"export_failed": 1}),
    ]


# --- content


class Unmeasurable(str):
    def __len__(self) -> int:
        raise RuntimeError("no length")


def test_what_cannot_be_measured_is_dropped_counted_and_told(
    logger_provider: LoggerProvider, runtime: Runtime, balance: BalanceOf
) -> None:
    observer = EventRecorder()
    runtime.observe(observer)
    logger_provider.add_log_record_processor(FairBatchLogRecordProcessor(RecordingLogRecordExporter(), runtime=runtime))
    logger_provider.get_logger("test").emit(LogRecord(body=Unmeasurable("x")))
    found = balance("batch", signal="logs")
    assert (found.received, found.dropped, found.unaccounted) == (1, {"error": 1}, 0)
    assert [(event.reason, event.signal) for event in observer.events] == [("error", "logs")]
    assert runtime.error_counts()["batch"] == {"size_of:RuntimeError": 1}


def test_a_log_exporter_may_answer_failure(
    logger_provider: LoggerProvider, runtime: Runtime, balance: BalanceOf
) -> None:
    exporter = RecordingLogRecordExporter(result=LogRecordExportResult.FAILURE)
    logger_provider.add_log_record_processor(FairBatchLogRecordProcessor(exporter, runtime=runtime))
    logger_provider.get_logger("test").emit(LogRecord(body="x"))
    logger_provider.shutdown()
    assert balance("batch", signal="logs").dropped == {"export_failed": 1}


def test_on_start_asks_for_nothing(provider: TracerProvider, runtime: Runtime) -> None:
    watcher = RecordingSpanProcessor()
    provider.add_span_processor(FairBatchSpanProcessor(RecordingSpanExporter(), runtime=runtime))
    provider.add_span_processor(watcher)
    provider.get_tracer("test").start_span("a").end()
    assert names(watcher.started) == ["a"]
