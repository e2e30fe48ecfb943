from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource

from otelwarden.core import LOGS, Runtime, set_tenant, total
from otelwarden.quota import DropNotices, QuotaConfig, QuotaLimiter, QuotaLogRecordProcessor, SignalLimits, TenantLimits
from otelwarden.testing import EventRecorder, FakeClock, RecordingLogRecordProcessor

BYTES = 64 + len("x")


class Throttled:
    """Log records of which three a tenant pass, on a clock set by hand."""

    def __init__(self, runtime: Runtime, clock: FakeClock) -> None:
        config = QuotaConfig(default=TenantLimits(logs=SignalLimits(rate=0.001, burst=3)))
        limiter = QuotaLimiter(config, clock=clock, runtime=runtime)
        self.runtime = runtime
        self.sink = RecordingLogRecordProcessor()
        self.processor = QuotaLogRecordProcessor(self.sink, limiter=limiter, count_bytes=True, runtime=runtime)
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(self.processor)
        resource = Resource({"service.name": "shop"})
        self.notices = DropNotices(self.processor, period=3600, resource=resource, runtime=runtime)

    def emit(self, tenant: str, count: int) -> None:
        for _ in range(count):
            self.provider.get_logger("t").emit(LogRecord(body="x", context=set_tenant(tenant)))


@pytest.fixture
def throttled(runtime: Runtime, clock: FakeClock) -> Callable[[], Throttled]:
    return lambda: Throttled(runtime, clock)


def test_a_tenant_is_told_once_what_was_dropped(throttled: Callable[[], Throttled], clock: FakeClock) -> None:
    run = throttled()
    run.emit("acme", 8)
    run.emit("quiet", 3)
    clock.advance(60)
    assert run.notices.reload()
    assert not run.notices.reload(), "there is nothing more to tell"
    notice = run.sink.emitted[-1]
    assert len(run.sink.emitted) == 3 + 3 + 1
    assert dict(notice.log_record.attributes) == {
        "tenant.id": "acme",
        "otelwarden.quota.period": 60.0,
        "otelwarden.quota.dropped.logs.rate": 5,
        "otelwarden.quota.dropped_bytes.logs.rate": 5 * BYTES,
    }
    assert notice.log_record.body == "over quota: 5 log records were dropped in the last 60 s (rate 5 log records)"
    assert notice.log_record.event_name == "otelwarden.quota.dropped"
    assert notice.log_record.severity_text == "WARN"
    assert notice.resource.attributes["service.name"] == "shop"
    run.emit("acme", 2)
    run.notices.close()
    assert run.sink.emitted[-1].log_record.attributes["otelwarden.quota.dropped.logs.rate"] == 2
    logs = total(run.runtime.balances(), "quota", LOGS)
    assert (logs.received, logs.forwarded, logs.dropped, logs.unaccounted) == (15, 8, {"rate": 7}, 0)
    assert logs.unaccounted_bytes == 0


def test_a_notice_is_charged_to_no_limit(throttled: Callable[[], Throttled], clock: FakeClock) -> None:
    run = throttled()
    run.emit("acme", 4)
    for _ in range(5):
        run.emit("acme", 1)
        assert run.notices.reload()
    clock.advance(1000.5)
    run.emit("acme", 1)
    assert run.sink.emitted[-1].log_record.body == "x", "the one that the rate lets pass by now"


def test_no_application_can_pass_as_a_notice(throttled: Callable[[], Throttled]) -> None:
    run = throttled()
    for _ in range(5):
        record = LogRecord(body="x", event_name="otelwarden.quota.dropped", context=set_tenant("acme"))
        run.provider.get_logger("otelwarden.quota").emit(record)
    assert len(run.sink.emitted) == 3


def test_observers_hear_of_each_notice(throttled: Callable[[], Throttled], runtime: Runtime) -> None:
    events = EventRecorder()
    run = throttled()
    run.emit("acme", 4)
    runtime.observe(events)
    run.notices.reload()
    assert [(e.component, e.action, e.reason, e.tenant) for e in events.events] == [
        ("quota", "notify", "dropped", "acme")
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_tells_only_of_its_own_drops(throttled: Callable[[], Throttled]) -> None:
    run = throttled()
    run.emit("acme", 10)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run.emit("acme", 2)
            run.notices.reload()
            code = 10 + run.sink.emitted[-1].log_record.attributes["otelwarden.quota.dropped.logs.rate"]
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 12
    run.notices.close()
    assert run.sink.emitted[-1].log_record.attributes["otelwarden.quota.dropped.logs.rate"] == 7
