from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from otelwarden.core import (
    Identity,
    ItemState,
    LogStageProcessor,
    Runtime,
    SpanStageProcessor,
    SpanState,
    carry_state,
    get_tenant,
    set_state,
    set_tenant,
    state_of,
    use_tenant,
)
from otelwarden.testing import RecordingLogRecordProcessor, RecordingSpanProcessor


class FromAnywhere:
    """Asks the context, the baggage, the resource and the attributes, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def resolve(
        self, context: Context, resource: Mapping[str, Any] = {}, attributes: Mapping[str, Any] = {}
    ) -> Identity:
        self.asked += 1
        for source, found in (
            ("context", get_tenant(context)),
            ("baggage", baggage.get_baggage("tenant", context)),
            ("resource", resource.get("tenant")),
            ("attribute", attributes.get("tenant.id")),
        ):
            if isinstance(found, str):
                return Identity(found, source)
        return Identity("nobody", "default")


@pytest.fixture
def resolver() -> FromAnywhere:
    return FromAnywhere()


@pytest.fixture
def last(provider: TracerProvider, resolver: FromAnywhere) -> RecordingSpanProcessor:
    """The end of a chain that tags spans with their tenant, as tenancy does."""
    last = RecordingSpanProcessor()
    provider.add_span_processor(
        SpanStageProcessor(
            last,
            lambda span, state: span,
            component="c",
            on_error="pass",
            on_start=lambda span, state: span.set_attribute("tenant.id", state.tenant),
            resolver=resolver,
            runtime=Runtime(),
        )
    )
    return last


@pytest.fixture
def tracer(provider: TracerProvider, last: RecordingSpanProcessor) -> trace.Tracer:
    return provider.get_tracer("test")


@pytest.fixture
def tenant_of(last: RecordingSpanProcessor) -> Callable[[str], str]:
    def find(name: str) -> str:
        (span,) = [span for span in last.ended if span.name == name]
        return state_of(span).tenant

    return find


TenantOf = Callable[[str], str]


def test_a_span_belongs_to_the_tenant_of_the_work_at_hand(tracer: trace.Tracer, tenant_of: TenantOf) -> None:
    with use_tenant("acme"):
        tracer.start_span("a").end()
    tracer.start_span("b").end()
    assert (tenant_of("a"), tenant_of("b")) == ("acme", "nobody")


def test_a_context_that_is_passed_wins_over_the_current_one(tracer: trace.Tracer, tenant_of: TenantOf) -> None:
    with use_tenant("current"):
        tracer.start_span("a", context=set_tenant("passed")).end()
        tracer.start_span("b", context=Context()).end()
    assert (tenant_of("a"), tenant_of("b")) == ("passed", "nobody")


def test_what_the_application_sets_after_the_start_changes_nothing(tracer: trace.Tracer, tenant_of: TenantOf) -> None:
    with use_tenant("acme"):
        span = tracer.start_span("a")
    span.set_attribute("tenant.id", "victim")
    span.end()
    assert tenant_of("a") == "acme"


def test_129_attributes_evict_the_tag_but_not_the_state(
    tracer: trace.Tracer, tenant_of: TenantOf, last: RecordingSpanProcessor
) -> None:
    with use_tenant("acme"):
        span = tracer.start_span("a")
    for number in range(129):
        span.set_attribute(f"key{number}", number)
    span.end()
    assert "tenant.id" not in (last.ended[0].attributes or {})
    assert tenant_of("a") == "acme"


def test_a_child_is_of_its_parent_without_asking_again(
    tracer: trace.Tracer, last: RecordingSpanProcessor, resolver: FromAnywhere
) -> None:
    with use_tenant("acme"), tracer.start_as_current_span("root") as root:
        with tracer.start_as_current_span("child"):
            tracer.start_span("grandchild").end()
    states = [state_of(span) for span in last.ended]
    assert states[0] is states[1] is states[2]
    assert isinstance(states[0], SpanState)
    assert states[0].local_root == root.get_span_context().span_id
    assert resolver.asked == 1


def test_a_child_that_starts_after_its_parent_ended_is_of_its_parent(
    tracer: trace.Tracer, tenant_of: TenantOf, resolver: FromAnywhere
) -> None:
    with use_tenant("acme"):
        parent = tracer.start_span("parent")
        late = trace.set_span_in_context(parent)
    parent.end()
    tracer.start_span("late", context=late).end()
    assert tenant_of("late") == "acme"
    assert resolver.asked == 1


def test_a_child_in_another_thread_is_of_its_parent(tracer: trace.Tracer, tenant_of: TenantOf) -> None:
    with use_tenant("acme"):
        parent = tracer.start_span("parent")
        context = trace.set_span_in_context(parent)
    thread = threading.Thread(target=lambda: tracer.start_span("child", context=context).end())
    thread.start()
    thread.join()
    assert tenant_of("child") == "acme"


def test_a_span_that_ends_in_another_thread_keeps_its_tenant(tracer: trace.Tracer, tenant_of: TenantOf) -> None:
    with use_tenant("acme"):
        span = tracer.start_span("a")
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    assert tenant_of("a") == "acme"


def test_a_child_for_whom_another_tenant_was_named_is_of_that_one(
    tracer: trace.Tracer, tenant_of: TenantOf, last: RecordingSpanProcessor
) -> None:
    with use_tenant("acme"), tracer.start_as_current_span("root") as root:
        with use_tenant("umbrella"), tracer.start_as_current_span("other"):
            tracer.start_span("below").end()
        tracer.start_span("own").end()
    assert [tenant_of(name) for name in ("other", "below", "own", "root")] == ["umbrella", "umbrella", "acme", "acme"]
    assert {getattr(state_of(span), "local_root", 0) for span in last.ended} == {root.get_span_context().span_id}


def test_a_child_with_other_baggage_is_judged_again(tracer: trace.Tracer, tenant_of: TenantOf) -> None:
    with tracer.start_as_current_span("root"):
        context = baggage.set_baggage("tenant", "acme")
        tracer.start_span("child", context=context).end()
    assert (tenant_of("root"), tenant_of("child")) == ("nobody", "acme")


def test_a_remote_parent_has_no_state_here(
    tracer: trace.Tracer, last: RecordingSpanProcessor, resolver: FromAnywhere
) -> None:
    remote = SpanContext(1, 2, True, TraceFlags(1), TraceState([("ot", "th:8")]))
    span = tracer.start_span("a", context=trace.set_span_in_context(NonRecordingSpan(remote), set_tenant("acme")))
    span.end()
    state = state_of(last.ended[0])
    assert isinstance(state, SpanState)
    assert (state.tenant, state.local_root) == ("acme", span.get_span_context().span_id)


def test_the_resource_and_the_attributes_may_name_the_tenant(resolver: FromAnywhere) -> None:
    for resource, expected in (({"tenant": "of the resource"}, "resource"), ({}, "attribute")):
        last = RecordingSpanProcessor()
        provider = TracerProvider(resource=Resource(resource))
        provider.add_span_processor(
            SpanStageProcessor(
                last, lambda s, _: s, component="c", on_error="pass", resolver=resolver, runtime=Runtime()
            )
        )
        provider.get_tracer("test").start_span("a", attributes={"tenant.id": "of the span"}).end()
        assert state_of(last.ended[0]).source == expected


def test_a_span_that_no_stage_saw_start_is_judged_by_what_is_left_of_it(
    provider: TracerProvider, resolver: FromAnywhere
) -> None:
    early = provider.get_tracer("test").start_span("a", context=set_tenant("acme"))  # no stage sees it start
    early.set_attribute("tenant.id", "what is left")
    last = RecordingSpanProcessor()
    provider.add_span_processor(
        SpanStageProcessor(last, lambda s, _: s, component="c", on_error="pass", resolver=resolver, runtime=Runtime())
    )
    early.end()
    state = state_of(last.ended[0])
    assert isinstance(state, SpanState)
    assert (state.tenant, state.source, state.sampled, state.local_root) == ("what is left", "attribute", True, 0)


def test_chains_that_run_concurrently_find_one_state() -> None:
    provider = TracerProvider(active_span_processor=ConcurrentMultiSpanProcessor(4))
    ends = [RecordingSpanProcessor() for _ in range(4)]
    for end in ends:
        provider.add_span_processor(
            SpanStageProcessor(end, lambda s, _: s, component="c", on_error="pass", runtime=Runtime())
        )
    tracer = provider.get_tracer("test")
    for _ in range(50):
        tracer.start_span("a", context=set_tenant("acme")).end()
    provider.shutdown()
    assert {state_of(span).tenant for end in ends for span in end.ended} == {"acme"}


class ByName(Sampler):
    def should_sample(self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any) -> SamplingResult:
        state = TraceState([("ot", "th:c")])
        return SamplingResult(
            Decision.RECORD_ONLY if name == "recorded" else Decision.RECORD_AND_SAMPLE, trace_state=state
        )

    def get_description(self) -> str:
        return "by name"


def test_the_trace_decision_is_part_of_the_state() -> None:
    provider, last = TracerProvider(sampler=ByName()), RecordingSpanProcessor()
    provider.add_span_processor(
        SpanStageProcessor(last, lambda s, _: s, component="c", on_error="pass", runtime=Runtime())
    )
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("recorded"):
        tracer.start_span("sampled").end()
    sampled, recorded = (state_of(span) for span in last.ended)
    assert isinstance(sampled, SpanState)
    assert isinstance(recorded, SpanState)
    assert (sampled.sampled, recorded.sampled) == (True, False)
    assert sampled.probability == recorded.probability == 0.25


# --- log records


@pytest.fixture
def emit(logger_provider: LoggerProvider, resolver: FromAnywhere) -> Callable[..., ItemState]:
    last = RecordingLogRecordProcessor()
    logger_provider.add_log_record_processor(
        LogStageProcessor(last, lambda r, _: r, component="c", on_error="pass", resolver=resolver, runtime=Runtime())
    )

    def emit(**options: Any) -> ItemState:
        logger_provider.get_logger("test").emit(LogRecord(body="b", **options))
        return state_of(last.emitted[-1])

    return emit


def test_a_log_record_is_of_the_span_it_was_made_in(
    tracer: trace.Tracer, emit: Callable[..., ItemState], last: RecordingSpanProcessor
) -> None:
    with use_tenant("acme"), tracer.start_as_current_span("a"):
        state = emit()
    assert state is state_of(last.ended[0])


def test_a_log_record_made_elsewhere_is_of_its_own_context(
    tracer: trace.Tracer, emit: Callable[..., ItemState]
) -> None:
    assert emit().tenant == "nobody"
    assert emit(context=set_tenant("acme")).tenant == "acme"
    assert emit(attributes={"tenant.id": "of the record"}).source == "attribute"
    with tracer.start_as_current_span("a"), use_tenant("umbrella"):
        assert emit().tenant == "umbrella"


# --- states


def test_a_state_is_replaced_not_changed() -> None:
    old = SpanState(Identity("acme", "token"), True, TraceState(), 7)
    new = old.replaced(tenant="umbrella", classification="restricted")
    assert isinstance(new, SpanState)
    assert (new.tenant, new.source, new.classification, new.local_root) == ("umbrella", "token", "restricted", 7)
    assert (old.tenant, old.classification) == ("acme", None)
    assert repr(ItemState("acme", "token")) == "ItemState(tenant='acme', source='token', classification=None)"


def test_an_item_that_passed_no_stage_is_nobodys(provider: TracerProvider) -> None:
    last = RecordingSpanProcessor()
    provider.add_span_processor(last)
    provider.get_tracer("test").start_span("a").end()
    provider.get_tracer("test").start_span("b").end()
    first, second = last.ended
    assert state_of(first).tenant == "unattributed"
    carry_state(first, second)
    set_state(first, ItemState("acme", "token"))
    assert state_of(second).tenant == "unattributed"
    carry_state(first, second)
    assert state_of(second).tenant == "acme"


# --- spans that never end


def test_spans_that_never_end_leave_nothing_behind(provider: TracerProvider, resolver: FromAnywhere) -> None:
    provider.add_span_processor(
        SpanStageProcessor(
            SpanProcessor(), lambda s, _: s, component="c", on_error="pass", resolver=resolver, runtime=Runtime()
        )
    )
    tracer = provider.get_tracer("test")
    for number in range(500):
        with use_tenant("forgotten"), tracer.start_as_current_span("parent", end_on_exit=False):
            tracer.start_span(f"child {number}")
    assert resolver.asked == 500
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, SpanState) and each.tenant == "forgotten"] == []


def test_many_threads_lose_no_state(tracer: trace.Tracer, last: RecordingSpanProcessor) -> None:
    def work(tenant: str) -> None:
        with use_tenant(tenant), tracer.start_as_current_span(tenant):
            for _ in range(300):
                tracer.start_span(tenant).end()

    threads = [threading.Thread(target=work, args=(f"tenant-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(last.ended) == 8 * 301
    assert [span.name for span in last.ended if state_of(span).tenant != span.name] == []
