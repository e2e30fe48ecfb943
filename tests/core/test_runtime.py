from __future__ import annotations

import threading

from otelwarden.core import OTHER_TENANTS, Decision, GovernanceEvent, Runtime, default_runtime
from otelwarden.core.runtime import MAX_DECISIONS
from otelwarden.testing import EventRecorder, FakeClock


def test_a_decision_is_counted_and_told() -> None:
    clock = FakeClock(start_ns=123)
    runtime = Runtime(clock=clock, config_digest="d1")
    runtime.emit("quota", "drop", "rate", tenant="acme", signal="logs", count=3)  # nobody listens yet
    observer = EventRecorder()
    runtime.observe(observer)
    runtime.emit(
        "quota", "drop", "rate", tenant="acme", signal="logs", trace_id=1, span_id=2, target="t", actor="user:a"
    )
    assert runtime.decisions() == {Decision("quota", "drop", "rate", "acme", "logs"): 4}
    assert [tuple(event) for event in observer.events] == [
        (123, "quota", "drop", "rate", "acme", "logs", 1, 1, 2, "d1", "t", "user:a")
    ]


def test_decisions_of_eight_threads_are_counted_exactly() -> None:
    runtime = Runtime()

    def work() -> None:
        for number in range(1000):
            runtime.emit("c", "drop", "why", tenant=f"t{number % 3}")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(runtime.decisions().values()) == 8000


def test_kinds_of_decisions_are_bounded() -> None:
    runtime = Runtime()
    for number in range(MAX_DECISIONS + 100):
        runtime.emit("c", "drop", "why", tenant=str(number))
    runtime.emit("c", "drop", "why", tenant="0")
    found = runtime.decisions()
    assert len(found) == MAX_DECISIONS + 1
    assert found[Decision("c", "drop", "why", OTHER_TENANTS, "")] == 100
    assert found[Decision("c", "drop", "why", "0", "")] == 2


def test_a_second_stage_of_a_component_has_a_ledger_of_its_own() -> None:
    runtime = Runtime()
    ledgers = [runtime.ledger("quota", "traces") for _ in range(3)] + [runtime.ledger("quota", "logs")]
    assert [ledger.component for ledger in ledgers] == ["quota", "quota/2", "quota/3", "quota"]
    assert runtime.components() == ["quota", "quota/2", "quota/3"]


def test_stages_of_a_component_share_its_errors() -> None:
    runtime = Runtime()
    assert runtime.errors("quota") is runtime.errors("quota")
    runtime.errors("quota").record("transform", ValueError())
    assert runtime.error_counts() == {"quota": {"transform:ValueError": 1}}


def test_an_observer_may_observe_others_and_decide_in_turn() -> None:
    runtime = Runtime()
    late = EventRecorder()

    def observer(event: GovernanceEvent) -> None:
        if event.action == "first":
            runtime.observe(late)
            runtime.emit("c", "again", "why")

    runtime.observe(observer)
    runtime.emit("c", "first", "why")
    assert [event.action for event in late.events] == ["again"]


def test_there_is_one_runtime_by_default() -> None:
    assert default_runtime() is default_runtime()
