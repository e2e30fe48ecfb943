"""In the running pipeline: what fails a critical requirement does not leave, until it is repaired or excepted."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otelwarden.compliance import Block, Decision, FindingStore, Result, Snapshot, Status
from otelwarden.core import use_tenant
from otelwarden.pipeline import Warden
from otelwarden.testing import FaultyReceiver

from .conftest import CARD, Service, log, ordinary_work

CARDS = "sample.payment-cards"
DAY_NS = 86_400 * 10**9


@pytest.fixture
def blocking(service: Service) -> Iterator[Callable[..., Warden]]:
    """A service that blocks; its policy leaves `note` alone."""
    running: list[Warden] = []

    def start(**changes: Any) -> Warden:
        rules = "rules:\n  - {id: own, match: {keys: [zzz]}, action: {delete: {}}}\nallow: {keys: [note, log.body]}\n"
        (service.directory / "own.yaml").write_text(rules)
        service.document["processors"]["redaction"]["policies"] = ["pii", "secrets", "own.yaml"]
        service.document["compliance"].update(
            {"inline": "block", "interval": "100ms", "sample_window": "1h", "schedule": "off", **changes}
        )
        service.prepare()
        running.append(service.start())
        return running[-1]

    yield start
    for warden in running:
        warden.shutdown(60)


def pay(warden: Warden, tenant: str, note: str) -> None:
    assert warden.tracer_provider is not None
    with use_tenant(tenant), warden.tracer_provider.get_tracer("shop").start_as_current_span("pay") as span:
        span.set_attribute("note", note)
    assert warden.force_flush(60)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def test_a_leak_is_stopped_for_whom_and_what_it_is_about(
    blocking: Callable[..., Warden], receiver: FaultyReceiver
) -> None:
    receiver.forget()
    warden = blocking()
    pay(warden, "acme", "fine")
    pay(warden, "acme", f"card {CARD}")  # this one leaves: nothing had shown the leak before
    until(lambda: Block("traces", "acme", CARDS) in warden.blocked)
    assert {each.tenant for each in warden.blocked} == {"acme"}
    for tenant in ("acme", "globex"):
        pay(warden, tenant, "after")
    log(warden, logging.getLogger("test.compliance"), "still heard")
    assert warden.force_flush(60)
    notes = [(span.attributes["tenant.id"], span.attributes["note"]) for span in receiver.spans()]
    assert sorted(notes) == [("acme", f"card {CARD}"), ("acme", "fine"), ("globex", "after")]
    assert "still heard" in [record.body for record in receiver.log_records()]

    balances = {(b.signal, b.tenant): b for b in warden.stats().balances if b.component == "compliance"}
    dropped = balances["traces", "acme"].dropped
    assert sum(dropped.values()) == 1
    assert set(dropped) <= {each.check for each in warden.blocked}
    assert warden.stats().unaccounted == 0
    made = {(d.action, d.reason) for d in warden.runtime.decisions() if d.component == "compliance"}
    assert ("block", CARDS) in made and ("finding_open", CARDS) in made


def test_the_block_ends_with_what_showed_the_leak(blocking: Callable[..., Warden], receiver: FaultyReceiver) -> None:
    warden = blocking(sample_window="1s")

    def leaked() -> bool:
        """Again and again: on a slow machine a window may be over before anybody has looked."""
        pay(warden, "acme", f"card {CARD}")
        return bool(warden.blocked)

    until(leaked)

    def repaired() -> bool:
        """What is held back is looked at all the same: once it is clean for a window, it may leave again."""
        pay(warden, "acme", "repaired")
        return not warden.blocked

    until(repaired)
    receiver.forget()
    pay(warden, "acme", "after")
    assert "after" in [span.attributes["note"] for span in receiver.spans()]
    store: FindingStore = warden.compliance.store
    until(lambda: {each.status for each in store.findings() if each.check == CARDS} == {Status.RESOLVED})


def test_an_exception_opens_the_gate(blocking: Callable[..., Warden]) -> None:
    warden = blocking()
    pay(warden, "acme", f"card {CARD}")
    until(lambda: bool(warden.blocked))
    for finding in warden.compliance.store.findings():
        if finding.status is Status.OPEN:
            ends = time.time_ns() + DAY_NS
            decision = Decision(
                status=Status.FALSE_POSITIVE, actor="ada", approver="grace", reason="test card", expires_ns=ends
            )
            warden.compliance.decide(finding.fingerprint, decision)
    until(lambda: not warden.blocked)


def test_a_configuration_that_breaks_it_blocks_from_the_first_item(
    blocking: Callable[..., Warden], service: Service, receiver: FaultyReceiver
) -> None:
    service.document["service"]["pipelines"]["logs"]["processors"].remove("redaction")
    receiver.forget()
    warden = blocking()
    log(warden, logging.getLogger("test.compliance"), "never heard")
    pay(warden, "acme", "fine")
    assert {each.scope for each in receiver.log_records()} <= {"otelwarden.audit"}
    assert [span.attributes["note"] for span in receiver.spans()] == ["fine"]
    assert {each.signal for each in warden.blocked} == {"logs"}


def test_observing_stops_nothing(blocking: Callable[..., Warden], receiver: FaultyReceiver) -> None:
    receiver.forget()
    warden = blocking(inline="observe")
    pay(warden, "acme", f"card {CARD}")
    until(lambda: CARDS in {each.check for each in warden.compliance.store.findings()})
    pay(warden, "acme", "after")
    assert len(receiver.spans()) == 2
    assert warden.blocked == ()


def test_metrics_are_held_back_point_by_point(blocking: Callable[..., Warden], receiver: FaultyReceiver) -> None:
    receiver.forget()
    warden = blocking()
    assert warden.meter_provider is not None
    counter = warden.meter_provider.get_meter("shop").create_counter("paid")
    with use_tenant("acme"):
        counter.add(1, {"note": f"card {CARD}"})
    assert warden.force_flush(60)
    until(lambda: Block("metrics", "acme", CARDS) in warden.blocked)
    receiver.forget()
    with use_tenant("globex"):
        counter.add(1, {"note": "fine"})
    assert warden.force_flush(60)
    assert {p.attributes.get("tenant.id") for p in receiver.metrics() if p.name == "paid"} == {"globex"}


def test_the_schedule_assesses_once_for_all_processes(blocking: Callable[..., Warden]) -> None:
    warden = blocking(inline="observe", schedule="1h")
    pay(warden, "acme", "fine")
    store = warden.compliance.store
    until(lambda: store.assessment() is not None)
    first = store.assessment()
    assert first is not None and first["result"] != Result.ERROR.value
    time_of_looks = warden.compliance.snapshots
    digest = warden.settings.digest

    def taken() -> int:
        return max(each.taken_ns for each in time_of_looks.read(digest, now_ns=time.time_ns()))

    before = taken()
    until(lambda: taken() > before)
    assert store.assessment() == first


def test_a_forked_child_watches_for_itself(blocking: Callable[..., Warden], service: Service) -> None:
    warden = blocking(inline="observe")
    ordinary_work(warden)
    warden.force_flush(60)
    child = os.fork()
    if not child:
        try:
            pay(warden, "acme", f"card {CARD}")
            warden.shutdown(60)
        finally:
            os._exit(0)
    until(lambda: os.waitpid(child, os.WNOHANG)[0] == child)
    warden.shutdown(60)
    assessor = service.assessor()
    found: list[Snapshot] = assessor.snapshots.read(assessor.configuration.digest, now_ns=time.time_ns())
    assert len(found) == 2
    assert sum(any(hit.entity == "PAYMENT_CARD" for hit in each.sample.hits) for each in found) == 1
    assert assessor.assess().runs[CARDS].outcome.result is Result.FAIL


def test_a_killed_process_leaves_its_last_look(blocking: Callable[..., Warden], service: Service) -> None:
    warden = blocking(inline="observe")
    child = os.fork()
    if not child:
        pay(warden, "acme", f"card {CARD}")
        while True:
            time.sleep(1)
    assessor = service.assessor()

    def seen() -> bool:
        found = assessor.snapshots.read(assessor.configuration.digest, now_ns=time.time_ns())
        return any(hit.entity == "PAYMENT_CARD" for each in found for hit in each.sample.hits)

    try:
        until(seen)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert assessor.assess().runs[CARDS].outcome.result is Result.FAIL
