from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from otelwarden.core import (
    Balance,
    Drop,
    FairBatchLogRecordProcessor,
    FairBatchSpanProcessor,
    Identity,
    ItemState,
    LogStageExporter,
    LogStageProcessor,
    OnError,
    Runtime,
    SpanStageExporter,
    SpanStageProcessor,
    SpanState,
    begin_log,
    begin_span,
    copy_log,
    copy_span,
    item_ids,
    set_state,
    set_tenant,
    state_of,
    use_tenant,
)
from otelwarden.testing import (
    EventRecorder,
    RecordingLogRecordExporter,
    RecordingLogRecordProcessor,
    RecordingSpanExporter,
    RecordingSpanProcessor,
)

BalanceOf = Callable[..., Balance]
REFUSED = Drop("refused")


class Resolver:
    def __init__(self, answer: Identity | Exception) -> None:
        self.answer = answer

    def resolve(self, context: Context, resource: Any = None, attributes: Any = None) -> Identity:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def same(item: Any, state: ItemState) -> Any:
    return item


def broken(item: Any, state: ItemState) -> Any:
    raise ValueError("the text may quote telemetry")


def rename(span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
    return REFUSED if span.name == "bad" else copy_span(span, name=span.name.upper())


def rewrite(record: Any, state: ItemState) -> Any:
    body = record.log_record.body
    return REFUSED if body == "bad" else copy_log(record, body=str(body).upper())


# --- span processors


def test_the_next_in_line_gets_what_the_transform_makes(
    provider: TracerProvider, runtime: Runtime, balance: BalanceOf
) -> None:
    last = RecordingSpanProcessor()
    provider.add_span_processor(SpanStageProcessor(last, rename, component="c", on_error="drop", runtime=runtime))
    tracer = provider.get_tracer("test")
    for name in ("good", "bad"):
        tracer.start_span(name).end()
    assert [span.name for span in last.started] == ["good", "bad"]
    assert [span.name for span in last.ended] == ["GOOD"]
    found = balance("c")
    assert (found.received, found.forwarded, found.dropped) == (2, 1, {"refused": 1})


def test_observers_are_told_of_drops_and_of_nothing_else(provider: TracerProvider) -> None:
    runtime = Runtime(config_digest="d1")
    observer = EventRecorder()
    runtime.observe(observer)
    provider.add_span_processor(
        SpanStageProcessor(RecordingSpanProcessor(), rename, component="c", on_error="drop", runtime=runtime)
    )
    tracer = provider.get_tracer("test")
    with use_tenant("acme"):
        tracer.start_span("good").end()
        bad = tracer.start_span("bad")
        bad.end()
    (event,) = observer.events
    context = bad.get_span_context()
    assert event[1:] == ("c", "drop", "refused", "acme", "traces", 1, context.trace_id, context.span_id, "d1", "", "")


@pytest.mark.parametrize(("on_error", "left"), [("drop", 0), ("pass", 1)])
def test_a_transform_that_raises(
    provider: TracerProvider, runtime: Runtime, balance: BalanceOf, on_error: OnError, left: int
) -> None:
    last = RecordingSpanProcessor()
    provider.add_span_processor(SpanStageProcessor(last, broken, component="c", on_error=on_error, runtime=runtime))
    provider.get_tracer("test").start_span("a").end()
    found = balance("c")
    assert (len(last.ended), found.forwarded, found.unaccounted) == (left, left, 0)
    assert found.dropped == ({} if left else {"error": 1})
    assert runtime.error_counts()["c"] == {"transform:ValueError": 1}


class RaisingSpanProcessor(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise OSError("on_start")

    def _on_ending(self, span: Span) -> None:
        raise OSError("on_ending")

    def on_end(self, span: ReadableSpan) -> None:
        raise OSError("on_end")

    def shutdown(self) -> None:
        raise OSError("shutdown")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        raise OSError("force_flush")


def test_a_next_processor_that_raises_wherever_it_can(runtime: Runtime, balance: BalanceOf) -> None:
    provider = TracerProvider()
    provider.add_span_processor(
        SpanStageProcessor(RaisingSpanProcessor(), same, component="c", on_error="pass", runtime=runtime)
    )
    provider.get_tracer("test").start_span("a").end()
    assert not provider.force_flush()
    provider.shutdown()
    found = balance("c")
    assert (found.received, found.dropped, found.unaccounted) == (1, {"error": 1}, 0)
    assert runtime.error_counts()["c"] == {
        "next.on_start:OSError": 1,
        "next.on_ending:OSError": 1,
        "next.on_end:OSError": 1,
        "force_flush:OSError": 1,
        "shutdown:OSError": 1,
    }


def test_a_span_that_is_ending_is_told_down_the_chain(provider: TracerProvider, runtime: Runtime) -> None:
    seen: list[str] = []

    class Ending(RecordingSpanProcessor):
        def _on_ending(self, span: Span) -> None:
            seen.append(span.name)

    inner = SpanStageProcessor(Ending(), same, component="inner", on_error="pass", runtime=runtime)
    provider.add_span_processor(SpanStageProcessor(inner, same, component="outer", on_error="pass", runtime=runtime))
    provider.get_tracer("test").start_span("a").end()
    assert seen == ["a"]


def test_a_resolver_that_raises_leaves_the_span_to_nobody(
    provider: TracerProvider, runtime: Runtime, balance: BalanceOf
) -> None:
    last = RecordingSpanProcessor()
    provider.add_span_processor(
        SpanStageProcessor(last, same, component="c", on_error="pass", resolver=Resolver(OSError()), runtime=runtime)
    )
    with use_tenant("acme"):
        provider.get_tracer("test").start_span("a").end()
    assert len(last.ended) == 1
    assert balance("c", "unattributed").forwarded == 1
    assert runtime.error_counts()["c"] == {"on_start:OSError": 1, "resolve:OSError": 1}


def test_what_a_component_does_at_the_start_may_fail(provider: TracerProvider, runtime: Runtime) -> None:
    def fail(span: Span, state: SpanState) -> None:
        raise KeyError(span.name)

    last = RecordingSpanProcessor()
    provider.add_span_processor(
        SpanStageProcessor(last, same, component="c", on_error="pass", on_start=fail, runtime=runtime)
    )
    with use_tenant("acme"):
        provider.get_tracer("test").start_span("a").end()
    assert len(last.started) == len(last.ended) == 1
    assert state_of(last.ended[0]).tenant == "acme"
    assert runtime.error_counts()["c"] == {"on_start:KeyError": 1}


def test_an_observer_that_raises_is_counted_and_the_others_are_told(provider: TracerProvider, runtime: Runtime) -> None:
    def raises(event: Any) -> None:
        raise RuntimeError

    observer = EventRecorder()
    runtime.observe(raises)
    runtime.observe(observer)
    provider.add_span_processor(
        SpanStageProcessor(RecordingSpanProcessor(), rename, component="c", on_error="drop", runtime=runtime)
    )
    provider.get_tracer("test").start_span("bad").end()
    assert len(observer.events) == 1
    assert runtime.error_counts()["observer"] == {"observe:RuntimeError": 1}


def test_flush_and_shutdown_share_what_is_left_of_the_time(runtime: Runtime) -> None:
    told: list[int] = []

    class Timed(SpanProcessor):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            told.append(timeout_millis)
            return True

        def shutdown(self, timeout_millis: int = 30_000) -> None:
            told.append(timeout_millis)

    stage: SpanProcessor = Timed()
    for name in ("inner", "outer"):
        stage = SpanStageProcessor(stage, same, component=name, on_error="pass", runtime=runtime)
    assert stage.force_flush(5000)
    stage.shutdown(timeout_millis=5000)  # type: ignore[call-arg]
    assert all(4000 < timeout <= 5000 for timeout in told)
    assert len(told) == 2


def test_a_flush_that_came_too_late_has_failed(runtime: Runtime) -> None:
    stage = SpanStageProcessor(RecordingSpanProcessor(), same, component="c", on_error="pass", runtime=runtime)
    assert not stage.force_flush(0)


def test_two_chains_of_one_provider_account_for_the_same_span(provider: TracerProvider, runtime: Runtime) -> None:
    ends = [RecordingSpanProcessor(), RecordingSpanProcessor()]
    for end in ends:
        provider.add_span_processor(SpanStageProcessor(end, rename, component="c", on_error="drop", runtime=runtime))
    with use_tenant("acme"):
        provider.get_tracer("test").start_span("a").end()
    assert [state_of(end.ended[0]).tenant for end in ends] == ["acme", "acme"]
    assert [(b.component, b.tenant, b.forwarded) for b in runtime.balances()] == [("c", "acme", 1), ("c/2", "acme", 1)]


# --- log record processors


def emit(provider: LoggerProvider, *bodies: Any, **options: Any) -> None:
    for body in bodies:
        provider.get_logger("test").emit(LogRecord(body=body, **options))


def test_log_records_go_through_the_transform(
    logger_provider: LoggerProvider, runtime: Runtime, balance: BalanceOf
) -> None:
    last = RecordingLogRecordProcessor()
    logger_provider.add_log_record_processor(
        LogStageProcessor(last, rewrite, component="c", on_error="drop", runtime=runtime)
    )
    emit(logger_provider, "good", "bad", context=set_tenant("acme"))
    assert [record.log_record.body for record in last.emitted] == ["GOOD"]
    assert state_of(last.emitted[0]).tenant == "acme"
    found = balance("c", "acme", "logs")
    assert (found.received, found.forwarded, found.dropped) == (2, 1, {"refused": 1})


@pytest.mark.parametrize(("on_error", "left"), [("drop", 0), ("pass", 1)])
def test_a_log_transform_that_raises(
    logger_provider: LoggerProvider, runtime: Runtime, balance: BalanceOf, on_error: OnError, left: int
) -> None:
    last = RecordingLogRecordProcessor()
    logger_provider.add_log_record_processor(
        LogStageProcessor(last, broken, component="c", on_error=on_error, runtime=runtime)
    )
    emit(logger_provider, "x")
    found = balance("c", signal="logs")
    assert (len(last.emitted), found.forwarded, found.unaccounted) == (left, left, 0)
    assert found.dropped == ({} if left else {"error": 1})


class RaisingLogRecordProcessor(LogRecordProcessor):
    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        raise OSError

    def enabled(self, **parameters: Any) -> bool:
        raise OSError

    def shutdown(self) -> None:
        raise OSError

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        raise OSError


def test_a_next_log_processor_that_raises_wherever_it_can(runtime: Runtime, balance: BalanceOf) -> None:
    provider = LoggerProvider()
    stage = LogStageProcessor(
        RaisingLogRecordProcessor(),
        same,
        component="c",
        on_error="pass",
        resolver=Resolver(OSError()),
        runtime=runtime,
    )
    provider.add_log_record_processor(stage)
    emit(provider, "x")
    assert stage.enabled()
    assert not provider.force_flush()
    provider.shutdown()
    found = balance("c", signal="logs")
    assert (found.received, found.dropped, found.unaccounted) == (1, {"error": 1}, 0)
    places = ("resolve", "next.on_emit", "next.enabled", "force_flush", "shutdown")
    assert runtime.error_counts()["c"].keys() == {f"{place}:OSError" for place in places}


@pytest.mark.parametrize("answer", [True, False])
def test_whether_logs_are_enabled_is_for_the_next_in_line_to_say(runtime: Runtime, answer: bool) -> None:
    class Picky(RecordingLogRecordProcessor):
        def enabled(self, **parameters: Any) -> bool:
            return answer

    stage = LogStageProcessor(Picky(), same, component="c", on_error="pass", runtime=runtime)
    assert stage.enabled(event_name="x") is answer


# --- exporters


def states(*tenants: str) -> list[ReadableSpan]:
    """Finished spans of these tenants, named after them."""
    provider, last = TracerProvider(), RecordingSpanProcessor()
    provider.add_span_processor(SpanStageProcessor(last, same, component="c", on_error="pass", runtime=Runtime()))
    for tenant in tenants:
        provider.get_tracer("test").start_span(tenant, context=set_tenant(tenant)).end()
    return list(last.ended)


def test_an_exporter_works_on_whole_batches(runtime: Runtime, balance: BalanceOf) -> None:
    last = RecordingSpanExporter()
    stage = SpanStageExporter(last, rename, component="c", on_error="drop", runtime=runtime)
    batch = states("a", "bad", "b", "a")
    assert stage.export(tuple(batch)) is SpanExportResult.SUCCESS
    assert [[span.name for span in each] for each in last.batches] == [["A", "B", "A"]]
    assert [state_of(span).tenant for span in last.spans] == ["a", "b", "a"]
    assert balance("c", "a").forwarded == 2
    assert balance("c", "bad").dropped == {"refused": 1}


def test_nothing_left_is_nothing_to_export(runtime: Runtime) -> None:
    last = RecordingSpanExporter()
    stage = SpanStageExporter(last, rename, component="c", on_error="drop", runtime=runtime)
    assert stage.export(states("bad")) is SpanExportResult.SUCCESS
    assert last.batches == ()


@pytest.mark.parametrize(
    ("exporter", "reason"),
    [
        (RecordingSpanExporter(result=SpanExportResult.FAILURE), "export_failed"),
        (RecordingSpanExporter(error=OSError()), "export_error"),
    ],
    ids=["fails", "raises"],
)
def test_what_the_next_exporter_loses_is_counted_once(
    runtime: Runtime, exporter: RecordingSpanExporter, reason: str
) -> None:
    stage = SpanStageExporter(exporter, same, component="inner", on_error="pass", runtime=runtime)
    outer = SpanStageExporter(stage, same, component="outer", on_error="pass", runtime=runtime)
    batch = FairBatchSpanProcessor(outer, runtime=runtime)
    for span in states("a", "a"):
        batch.on_end(span)
    batch.shutdown()
    found = {b.component: (b.forwarded, dict(b.dropped), b.unaccounted) for b in runtime.balances()}
    assert found == {"inner": (0, {reason: 2}, 0), "outer": (2, {}, 0), "batch": (2, {}, 0)}


def test_what_interrupts_an_export_is_counted_and_goes_on(runtime: Runtime, balance: BalanceOf) -> None:
    stage = SpanStageExporter(
        RecordingSpanExporter(error=KeyboardInterrupt()), same, component="c", on_error="pass", runtime=runtime
    )
    with pytest.raises(KeyboardInterrupt):
        stage.export(states("a"))
    found = balance("c", "a")
    assert (found.dropped, found.unaccounted) == ({"export_error": 1}, 0)


def test_an_exporter_hands_flush_and_shutdown_on(runtime: Runtime) -> None:
    spans, records = RecordingSpanExporter(), RecordingLogRecordExporter()
    span_stage = SpanStageExporter(spans, same, component="c", on_error="pass", runtime=runtime)
    log_stage = LogStageExporter(records, same, component="c", on_error="pass", runtime=runtime)
    assert span_stage.force_flush()
    assert log_stage.force_flush()
    span_stage.shutdown()
    log_stage.shutdown()
    assert [(e.flushed, e.shutdowns) for e in (spans, records)] == [(1, 1), (1, 1)]


def test_a_log_exporter_works_on_whole_batches(
    logger_provider: LoggerProvider, runtime: Runtime, balance: BalanceOf
) -> None:
    last = RecordingLogRecordExporter()
    stage = LogStageExporter(last, rewrite, component="c", on_error="drop", runtime=runtime)
    logger_provider.add_log_record_processor(FairBatchLogRecordProcessor(stage, runtime=runtime))
    emit(logger_provider, "a", "bad", "b", context=set_tenant("acme"))
    logger_provider.shutdown()
    assert [record.log_record.body for record in last.records] == ["A", "B"]
    assert {state_of(record).tenant for record in last.records} == {"acme"}
    found = balance("c", "acme", "logs")
    assert (found.forwarded, found.dropped, found.unaccounted) == (2, {"refused": 1}, 0)


def test_a_log_exporter_answers_failure(runtime: Runtime) -> None:
    last = RecordingLogRecordExporter(result=LogRecordExportResult.FAILURE)
    stage = LogStageExporter(last, same, component="c", on_error="drop", runtime=runtime)
    record = ReadWriteLogRecord(LogRecord(body="b"))
    assert stage.export([record]) is LogRecordExportResult.FAILURE  # type: ignore[list-item]


# --- items that came another way


def test_an_item_without_a_state_belongs_to_nobody(runtime: Runtime, balance: BalanceOf) -> None:
    last = RecordingSpanExporter()
    stage = SpanStageExporter(last, same, component="c", on_error="pass", runtime=runtime)
    assert stage.export([ReadableSpan("made by hand")]) is SpanExportResult.SUCCESS
    assert balance("c", "unattributed").forwarded == 1


def test_a_span_without_a_context_can_be_dropped(runtime: Runtime) -> None:
    observer = EventRecorder()
    runtime.observe(observer)
    span = ReadableSpan("bad")
    assert item_ids(span) == (0, 0)
    stage = SpanStageExporter(RecordingSpanExporter(), rename, component="c", on_error="drop", runtime=runtime)
    processor = SpanStageProcessor(RecordingSpanProcessor(), rename, component="c", on_error="drop", runtime=runtime)
    assert stage.export([span]) is SpanExportResult.SUCCESS
    processor.on_end(span)
    assert [event.trace_id for event in observer.events] == [0, 0]


def test_the_ids_of_an_item(provider: TracerProvider, logger_provider: LoggerProvider) -> None:
    last, logs = RecordingSpanProcessor(), RecordingLogRecordProcessor()
    provider.add_span_processor(last)
    logger_provider.add_log_record_processor(logs)
    with provider.get_tracer("test").start_as_current_span("a") as span:
        emit(logger_provider, "in the span")
    context = span.get_span_context()
    assert item_ids(last.ended[0]) == item_ids(logs.emitted[0]) == (context.trace_id, context.span_id)
    emit(logger_provider, "outside")
    assert item_ids(logs.emitted[1]) == (0, 0)


# --- the exact identity, whatever happens


@pytest.mark.parametrize("on_error", ["drop", "pass"])
def test_eight_threads_and_everything_that_fails(runtime: Runtime, on_error: OnError) -> None:
    def capricious(span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        number = int(span.name)
        if number % 5 == 0:
            return REFUSED
        if number % 7 == 0:
            raise ValueError
        return span

    class Capricious(RecordingSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            if int(span.name) % 11 == 0:
                raise OSError
            super().on_end(span)

    last = Capricious()
    provider = TracerProvider()
    inner = SpanStageProcessor(last, same, component="inner", on_error=on_error, runtime=runtime)
    provider.add_span_processor(
        SpanStageProcessor(inner, capricious, component="outer", on_error=on_error, runtime=runtime)
    )
    tracer = provider.get_tracer("test")

    def work(thread: int) -> None:
        for number in range(500):
            tracer.start_span(str(number), context=set_tenant(f"t{(thread + number) % 3}")).end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = runtime.balances()
    assert all(b.unaccounted == 0 and b.held == 0 for b in found)
    by = {name: [b for b in found if b.component == name] for name in ("outer", "inner")}
    assert sum(b.received for b in by["outer"]) == 4000
    assert sum(b.forwarded for b in by["outer"]) == sum(b.received for b in by["inner"])
    assert sum(b.forwarded for b in by["inner"]) == len(last.ended)
    assert sum(b.dropped["refused"] for b in by["outer"]) == 8 * 100


# --- hostile content


class Speechless:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def deep(levels: int) -> Any:
    body: Any = "bottom"
    for _ in range(levels):
        body = [body]
    return body


def endless() -> Any:
    body: list[Any] = []
    body += [body, body]
    return body


HOSTILE: dict[str, Any] = {
    "NaN": math.nan,
    "infinity": -math.inf,
    "no UTF-8": b"\xff\xfe\x00",
    "lone surrogate": "\ud800 alone",
    "NUL": "a\x00b",
    "2^70": 2**70,
    "mixed list": [1, "a", None, True, 2.5, b"x", [1]],
    "mapping": {"a": {"b": [1, {"c": None}]}},
    "None": None,
    "10 MB": "x" * 10_000_000,
    "generator": (number for number in range(3)),
}
HOSTILE_BODIES = HOSTILE | {
    "10,000 deep": deep(10_000),
    "endless": endless(),
    "a billion": range(10**9),
    "speechless": Speechless(),
    "keys that are no text": {1: "a", None: "b", (): "c"},
}


def chain(runtime: Runtime, last: Any, stage: Any, stage_exporter: Any, batch: Any) -> Any:
    exporter = stage_exporter(last, same, component="in the batch", on_error="drop", runtime=runtime)
    processor = batch(exporter, runtime=runtime)
    for name in ("inner", "outer"):
        processor = stage(processor, same, component=name, on_error="drop", runtime=runtime)
    return processor


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_spans_of_hostile_content_pass_and_are_counted(runtime: Runtime, content: Any) -> None:
    last = RecordingSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(chain(runtime, last, SpanStageProcessor, SpanStageExporter, FairBatchSpanProcessor))
    span = provider.get_tracer("test").start_span("a", attributes={"content": content})
    span.add_event("event", {"content": content})
    span.add_link(span.get_span_context(), {"content": content})
    span.set_attribute("content", content)
    span.end()
    provider.shutdown()
    assert len(last.spans) == 1
    assert [(b.received, b.forwarded, b.unaccounted) for b in runtime.balances()] == [(1, 1, 0)] * 4
    assert not any(runtime.error_counts().values())


@pytest.mark.parametrize("content", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES.keys())
def test_logs_of_hostile_content_are_counted_wherever_they_end(runtime: Runtime, content: Any) -> None:
    last = RecordingLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(
        chain(runtime, last, LogStageProcessor, LogStageExporter, FairBatchLogRecordProcessor)
    )
    emit(provider, content)
    provider.shutdown()
    found = {b.component: b for b in runtime.balances()}
    assert all(b.unaccounted == 0 for b in found.values())
    assert found["outer"].forwarded == found["inner"].forwarded == found["batch"].received == 1
    assert len(last.records) == found["batch"].forwarded == 1 - sum(found["batch"].dropped.values())
    if not isinstance(content, range):  # too large
        assert len(last.records) == 1


def test_the_functions_under_the_stages_may_be_called_twice(provider: TracerProvider) -> None:
    resolver = Resolver(Identity("acme", "context"))
    span = provider.get_tracer("test").start_span("a")
    assert isinstance(span, Span)
    first = begin_span(span, None, resolver)
    assert begin_span(span, None, Resolver(Identity("other", "context"))) is first
    span.end()
    record = ReadWriteLogRecord(LogRecord(body="b"))
    assert begin_log(record, resolver) is begin_log(record, Resolver(Identity("other", "context")))


def test_stages_stand_before_the_processors_of_the_sdk_too(runtime: Runtime) -> None:
    spans, records = RecordingSpanExporter(), RecordingLogRecordExporter()
    provider, logger_provider = TracerProvider(), LoggerProvider()
    provider.add_span_processor(
        SpanStageProcessor(SimpleSpanProcessor(spans), rename, component="c", on_error="drop", runtime=runtime)
    )
    logger_provider.add_log_record_processor(
        LogStageProcessor(SimpleLogRecordProcessor(records), rewrite, component="c", on_error="drop", runtime=runtime)
    )
    provider.get_tracer("test").start_span("a").end()
    emit(logger_provider, "a", "bad")
    assert [span.name for span in spans.spans] == ["A"]
    assert [record.log_record.body for record in records.records] == ["A"]
    assert provider.force_flush()
    assert logger_provider.force_flush()
    provider.shutdown()
    logger_provider.shutdown()
    assert spans.shutdowns == records.shutdowns == 1


def test_a_state_set_by_a_transform_is_what_the_exporter_finds(provider: TracerProvider, runtime: Runtime) -> None:
    def classify(item: Any, state: ItemState) -> Any:
        set_state(item, state.replaced(classification="restricted"))
        return item

    last = RecordingSpanExporter()
    provider.add_span_processor(
        SpanStageProcessor(
            FairBatchSpanProcessor(last, runtime=runtime), classify, component="c", on_error="drop", runtime=runtime
        )
    )
    with use_tenant("acme"):
        with provider.get_tracer("test").start_as_current_span("parent"):
            provider.get_tracer("test").start_span("child").end()
    provider.force_flush()
    found = [state_of(span) for span in last.spans]
    assert [(s.tenant, s.classification) for s in found] == [("acme", "restricted")] * 2


# --- transforms that look first


class LooksAtNames:
    """Sees the spans that are not plain."""

    def __init__(self, *, blind: bool = False) -> None:
        self.looked: list[int] = []
        self.acted: list[str] = []
        self._blind = blind

    def __call__(self, span: ReadableSpan, state: ItemState) -> ReadableSpan | Drop:
        return self.act(span, state, span.name)

    def look(self, batch: Sequence[ReadableSpan], states: Sequence[ItemState]) -> dict[int, str]:
        self.looked.append(len(states))
        if self._blind:
            raise ValueError("the text may quote telemetry")
        return {number: span.name for number, span in enumerate(batch) if span.name != "plain"}

    def act(self, span: ReadableSpan, state: ItemState, seen: str) -> ReadableSpan | Drop:
        self.acted.append(seen)
        if seen == "raise":
            raise ValueError("the text may quote telemetry")
        return REFUSED if seen == "bad" else copy_span(span, name=seen.upper())


def test_what_a_look_does_not_name_passes_as_it_is(runtime: Runtime, balance: BalanceOf) -> None:
    last, transform = RecordingSpanExporter(), LooksAtNames()
    stage = SpanStageExporter(last, transform, component="c", on_error="drop", runtime=runtime)
    batch = [copy_span(span, name=name) for span, name in zip(states(*"abbba"), NAMES, strict=True)]
    assert stage.export(batch) is SpanExportResult.SUCCESS
    assert [span.name for span in last.spans] == ["plain", "OTHER", "plain"]
    assert last.spans[0] is batch[0]
    assert (transform.looked, transform.acted) == ([5], ["bad", "other", "raise"])
    assert (balance("c", "a").forwarded, balance("c", "b").forwarded) == (2, 1)
    assert balance("c", "b").dropped == {"refused": 1, "error": 1}
    assert balance("c", "b").unaccounted == 0


def test_where_a_look_fails_each_item_is_asked_about(runtime: Runtime, balance: BalanceOf) -> None:
    last, transform = RecordingSpanExporter(), LooksAtNames(blind=True)
    stage = SpanStageExporter(last, transform, component="c", on_error="drop", runtime=runtime)
    batch = [copy_span(span, name=name) for span, name in zip(states(*"aaaaa"), NAMES, strict=True)]
    assert stage.export(batch) is SpanExportResult.SUCCESS
    assert [span.name for span in last.spans] == ["PLAIN", "OTHER", "PLAIN"]
    assert runtime.error_counts()["c"] == {"look:ValueError": 1, "transform:ValueError": 1}
    assert balance("c", "a").unaccounted == 0


NAMES = ("plain", "bad", "other", "raise", "plain")
