"""Quarantined telemetry leaves through an exporter of its own, and nothing else does; no request mixes tenants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from otelwarden.core import Runtime, set_tenant, tenant_of_point, use_tenant
from otelwarden.pipeline import configure, validate
from otelwarden.tenancy import QuarantineMetricExporter
from otelwarden.testing import FaultyReceiver

TENANTS = """
tenants:
  - {id: acme, name: Acme}
  - {id: globex, name: Globex, settings: {headers: {X-Scope-OrgID: org-of-globex}}}
  - {id: newcomer, name: Newcomer, status: pending}
"""
ALL = ("acme", "globex", "newcomer", "mallory", "../../etc", None)


def document(receiver: FaultyReceiver, quarantine: FaultyReceiver, **quota: Any) -> dict[str, Any]:
    pipeline = {"processors": ["tenancy", "quota", "redaction"], "exporters": ["failover"]}
    headers = {"X-Scope-OrgID": "{tenant.id}"}
    return {
        "tenants": "tenants.yaml",
        "processors": {
            "tenancy": {"unknown": "quarantine", "quarantine_exporter": "failover/quarantine"},
            "quota": {"notice_period": None, **quota},
            "redaction": {"policies": ["pii"]},
        },
        "exporters": {
            "failover": {"endpoints": [receiver.grpc_endpoint], "headers": headers},
            "failover/quarantine": {"endpoints": [quarantine.grpc_endpoint], "headers": headers},
        },
        "service": {
            "logging_handler": False,
            "self_metrics": False,
            "pipelines": {"traces": pipeline, "logs": pipeline, "metrics": {**pipeline, "interval": "1h"}},
        },
    }


def write(directory: Path, content: dict[str, Any]) -> Path:
    (directory / "tenants.yaml").write_text(TENANTS, encoding="utf-8")
    file = directory / "otelwarden.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def work(warden: Any, count: int) -> None:
    counter = warden.meter_provider.get_meter("t").create_counter("orders")
    for _ in range(count):
        for tenant in ALL:
            if tenant is None:
                warden.tracer_provider.get_tracer("t").start_span("of nobody").end()
                continue
            with use_tenant(tenant):
                warden.tracer_provider.get_tracer("t").start_span("person@example.com").end()
                counter.add(1)
            warden.logger_provider.get_logger("t").emit(body="person@example.com", context=set_tenant(tenant))


def tenants_at(receiver: FaultyReceiver) -> tuple[set[Any], set[Any], set[Any]]:
    found = (receiver.spans(), receiver.log_records(), receiver.metrics())
    return tuple({item.attributes["tenant.id"] for item in items} for items in found)  # type: ignore[return-value]


def test_quarantined_telemetry_leaves_elsewhere_with_its_own_header(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver, FaultyReceiver() as quarantine:
        warden = configure(write(tmp_path, document(receiver, quarantine)), set_global=False)
        try:
            work(warden, 5)
            assert warden.force_flush()
        finally:
            warden.shutdown()
        named = {"acme", "globex"}
        assert tenants_at(receiver) == (named | {"unattributed"}, named, named)
        assert tenants_at(quarantine) == ({"quarantine"},) * 3
        assert len(receiver.spans()) == 15
        assert len(quarantine.spans()) == len(quarantine.log_records()) == 15
        # A request has one tenant's data and that tenant's header, at either receiver.
        for where in (receiver, quarantine):
            for item in (*where.spans(), *where.log_records()):
                tenant = item.attributes["tenant.id"]
                expected = "org-of-globex" if tenant == "globex" else tenant
                assert item.request.headers["x-scope-orgid"] == expected
        assert b"person@example.com" not in receiver.raw_bytes() + quarantine.raw_bytes()
        stats = warden.stats()
        assert stats.unaccounted == 0
        charged = {b.tenant: b.forwarded for b in stats.balances if b.component == "quota" and b.signal == "traces"}
        assert charged == {"acme": 5, "globex": 5, "unattributed": 5, "quarantine": 15}


def test_the_quarantine_has_limits_of_its_own_and_what_is_over_them_stays_in_it(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver, FaultyReceiver() as quarantine, FaultyReceiver() as cold:
        quota = {"overflow": "reroute", "reroute_exporter": "failover/cold"}
        content = document(receiver, quarantine, default={"logs": {"budget": {"items": "2/month"}}}, **quota)
        content["exporters"]["failover/cold"] = {"endpoints": [cold.grpc_endpoint]}
        warden = configure(write(tmp_path, content), set_global=False)
        try:
            work(warden, 4)
            assert warden.force_flush()
        finally:
            warden.shutdown()
        assert len(receiver.log_records()) == 2 * 2
        assert {item.attributes["tenant.id"] for item in cold.log_records()} == {"acme", "globex"}
        assert len(cold.log_records()) == 2 * 2
        assert len(quarantine.log_records()) == 3 * 4, "also by way of the overflow it leaves nowhere else"
        assert warden.stats().unaccounted == 0


def test_an_exporter_of_quarantine_must_be_another_one(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver:
        for exporter, message in (
            ("failover", "the exporter of everything else"),
            ("failover/none", "not defined under exporters"),
        ):
            content = document(receiver, receiver)
            content["processors"]["tenancy"]["quarantine_exporter"] = exporter
            (fault,) = validate(write(tmp_path, content))
            assert (fault.pointer, fault.message) == ("/processors/tenancy/quarantine_exporter", message)


class Collecting(MetricExporter):
    """Keeps the tenants of what it is given; answers as it is told to."""

    def __init__(self, result: MetricExportResult) -> None:
        super().__init__()
        self.result = result
        self.tenants: list[str] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.tenants += [tenant_of_point(point, "tenant.id") for point in metric.data.data_points]
        return self.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self.tenants.append("<shut down>")


@pytest.mark.parametrize("failing", [0, 1, None], ids=["main", "quarantine", "none"])
def test_an_exporter_that_fails_holds_up_no_other(failing: int | None) -> None:
    results = [MetricExportResult.FAILURE if failing == number else MetricExportResult.SUCCESS for number in (0, 1)]
    here, there = map(Collecting, results)
    both = QuarantineMetricExporter(here, quarantine=there, tenant="jail", runtime=Runtime())
    reader = PeriodicExportingMetricReader(both, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("t").create_counter("orders")
    for tenant in ("acme", "jail", "globex"):
        counter.add(1, {"tenant.id": tenant})
    data = MetricsData([])
    assert both.export(data) is MetricExportResult.SUCCESS, "nothing goes to nobody"
    provider.force_flush()
    assert (here.tenants, there.tenants) == (["acme", "globex"], ["jail"])
    provider.shutdown()
    assert here.tenants[-1] == there.tenants[-1] == "<shut down>"
