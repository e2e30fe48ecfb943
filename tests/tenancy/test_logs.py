"""Log records through a real LoggerProvider."""

from __future__ import annotations

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from otelwarden.core import LOGS, total
from otelwarden.tenancy import (
    QUARANTINED_ID,
    Tenancy,
    TenancyConfig,
    TenantLogRecordProcessor,
    set_tenant,
    use_tenant,
)


class Seen(LogRecordProcessor):
    def __init__(self):
        self.tags = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.tags.append((log_record.log_record.attributes or {}).get("tenant.id"))

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30_000):
        return True


class Logs:
    def __init__(self, registry, runtime, config=None, *, resource=None):
        self.exporter = InMemoryLogRecordExporter()
        self.beside = Seen()
        self.runtime = runtime
        self.provider = LoggerProvider(resource=Resource(resource or {}), shutdown_on_exit=False)
        tenancy = Tenancy(registry, config, runtime=runtime)
        self.provider.add_log_record_processor(
            TenantLogRecordProcessor(SimpleLogRecordProcessor(self.exporter), tenancy=tenancy)
        )
        self.provider.add_log_record_processor(self.beside)
        self.logger = self.provider.get_logger("tests")

    def emit(self, attributes=None, context=None):
        record = LogRecord(
            body="hello", severity_number=SeverityNumber.INFO, attributes=attributes, context=context, timestamp=1
        )
        self.logger.emit(record)

    @property
    def left(self):
        return [dict(each.log_record.attributes) for each in self.exporter.get_finished_logs()]


@pytest.fixture
def build(registry, runtime):
    return lambda config=None, **options: Logs(registry, runtime, config, **options)


def test_a_record_is_tagged_in_place_whatever_the_application_said(build):
    logs = build()
    with use_tenant("acme"):
        logs.emit()
        logs.emit({"tenant.id": "blue", "k": "v"})
    assert logs.left == [{"tenant.id": "acme"}, {"tenant.id": "acme", "k": "v"}]
    assert logs.beside.tags == ["acme", "acme"]


def test_its_own_context_decides_before_the_current_one(build):
    logs = build()
    with use_tenant("acme"):
        logs.emit(context=set_tenant("blue", Context()))
    assert logs.left == [{"tenant.id": "blue"}]


def test_it_inherits_from_the_span_it_was_made_in(build, spans):
    logs = build()
    tracer = spans(TenancyConfig(sources=("attribute",))).tracer
    with tracer.start_as_current_span("work", attributes={"tenant.id": "blue"}):
        logs.emit()
        with use_tenant("acme"):
            logs.emit()
    assert [each["tenant.id"] for each in logs.left] == ["blue", "acme"]


def test_what_may_not_pass_is_dropped_or_quarantined(build, runtime):
    logs = build()
    for tenant in ("broke", "gone", "stranger", "a b", "late"):
        with use_tenant(tenant):
            logs.emit({"k": tenant})
    assert logs.left == [{"k": "late", "tenant.id": "quarantine", QUARANTINED_ID: "late"}]
    balance = total(runtime.balances(), "tenancy", LOGS)
    assert balance.dropped == {
        "tenant_suspended": 1,
        "tenant_inactive": 1,
        "unknown_tenant": 1,
        "invalid_tenant": 1,
    }
    assert balance.unaccounted == 0


def test_the_resource_names_it_or_nobody_does(build):
    named, nobody = build(resource={"tenant.id": "blue"}), build()
    named.emit()
    nobody.emit()
    assert named.left + nobody.left == [{"tenant.id": "blue"}, {"tenant.id": "unattributed"}]


def test_the_tag_pushes_no_attribute_out(build):
    logs = build()
    with use_tenant("acme"):
        logs.emit({f"k{number}": number for number in range(128)})
    (left,) = logs.left
    assert len(left) == 129
    assert (left["k0"], left["tenant.id"]) == (0, "acme")


def test_a_tag_cut_by_the_limit_of_length_leaves_whole(build, registry, runtime, monkeypatch):
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    logs = build()
    with use_tenant("acme"):
        logs.emit({"k": "value"})
    assert logs.left == [{"k": "va", "tenant.id": "acme"}]
