"""Limits through a whole pipeline: live from the file, checked at the start, and no neighbour's matter."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry._logs import SeverityNumber

from otelwarden.core import ConfigError, set_tenant, use_tenant
from otelwarden.pipeline import configure, validate
from otelwarden.quota import read_usage
from otelwarden.testing import FaultyReceiver


def document(url: str, **quota: Any) -> dict[str, Any]:
    return {
        "processors": {"tenancy": {"unknown": "pass"}, "quota": quota},
        "exporters": {"failover": {"endpoints": [url]}},
        "service": {
            "logging_handler": False,
            "pipelines": {"traces": {"processors": ["tenancy", "quota"], "exporters": ["failover"]}},
        },
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def spans(warden: Any, tenant: str, count: int) -> None:
    tracer = warden.tracer_provider.get_tracer("test")
    with use_tenant(tenant):
        for _ in range(count):
            tracer.start_span("span").end()


def passed(warden: Any, tenant: str) -> int:
    return sum(b.forwarded for b in warden.stats().balances if b.component == "quota" and b.tenant == tenant)


def test_limits_follow_the_configuration_file_and_the_last_good_ones_stay(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver:
        url = receiver.grpc_endpoint
        day = {"traces": {"budget": {"items": "5/month"}}}
        file = write(tmp_path / "otelwarden.yaml", document(url, default=day))
        warden = configure(file, set_global=False)
        try:
            spans(warden, "acme", 9)
            assert passed(warden, "acme") == 5
            (status,) = warden.stats().limits
            assert (status.tenant, status.used, status.remaining) == ("acme", 5, 0)

            file.write_text("processors: {quota: {default: {traces: {rate: never}}}}", encoding="utf-8")
            until(lambda: any(d.reason == "refused" for d in warden.stats().decisions))
            file.unlink()
            spans(warden, "acme", 9)
            assert passed(warden, "acme") == 5

            day["traces"]["budget"]["items"] = "8/month"
            write(file, document(url, default=day))
            until(lambda: [spans(warden, "acme", 1), passed(warden, "acme") == 8][1])
            spans(warden, "acme", 9)
            assert passed(warden, "acme") == 8
        finally:
            warden.shutdown()


def test_a_tenant_at_a_hundred_times_its_limit_takes_nothing_from_a_quiet_one(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver:
        limits = {"traces": {"rate": 100, "burst": 100}}
        warden = configure(document(receiver.grpc_endpoint, default=limits), set_global=False)
        try:
            for _ in range(50):
                spans(warden, "noisy", 200)
                spans(warden, "quiet", 1)
            assert warden.force_flush()
            quiet = [b for b in warden.stats().balances if b.tenant == "quiet"]
            assert quiet and not any(b.dropped for b in quiet)
            assert passed(warden, "quiet") == 50
            assert passed(warden, "noisy") < 5000
        finally:
            warden.shutdown()


def test_the_limits_of_tenants_are_checked_at_the_start(tmp_path: Path) -> None:
    settings = {"plan": "silver", "limits": {"all": {"budget": {"items": "5/fortnight"}}}}
    tenants = write(tmp_path / "tenants.yaml", {"tenants": [{"id": "a", "name": "A", "settings": settings}]})
    content = {"tenants": "tenants.yaml", **document("http://localhost:1", plans={"gold": {}})}
    file = write(tmp_path / "otelwarden.yaml", content)
    pointers = {fault.pointer: fault.file for fault in validate(file)}
    assert pointers == dict.fromkeys(
        ["/tenants/0/settings/plan", "/tenants/0/settings/limits/all/budget/items"], str(tenants)
    )


def test_a_store_that_cannot_be_opened_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something else", encoding="utf-8")
    content = document("http://localhost:1", store={"type": "file", "path": "other"})
    with pytest.raises(ConfigError) as refused:
        configure(write(tmp_path / "otelwarden.yaml", content), set_global=False)
    assert [fault.pointer for fault in refused.value.faults] == ["/processors/quota/store/path"]


def test_the_file_of_a_store_stands_beside_the_configuration(tmp_path: Path) -> None:
    for store, name in (({"type": "file"}, "quota.db"), ({"type": "file", "path": "used/all.db"}, "used/all.db")):
        limits = {"traces": {"budget": {"items": "5/month"}}}
        content = document("http://localhost:1", default=limits, store=store)
        warden = configure(write(tmp_path / "otelwarden.yaml", content), set_global=False)
        try:
            spans(warden, "acme", 9)
        finally:
            warden.shutdown(0.5)
        (status,) = read_usage(tmp_path / name)
        assert (status.tenant, status.used) == ("acme", 5)


def test_a_throttled_tenant_is_told_in_its_own_stream(tmp_path: Path) -> None:
    """All notices together say exactly what was dropped, and none of them is."""
    with FaultyReceiver() as receiver:
        budgets = {"logs": {"budget": {"items": "3/month"}}, "traces": {"budget": {"items": "2/month"}}}
        content = document(receiver.grpc_endpoint, default=budgets, notice_period="1s")
        content["service"]["pipelines"]["logs"] = content["service"]["pipelines"]["traces"]
        warden = configure(content, set_global=False)
        logger = warden.logger_provider.get_logger("test")

        def notices(tenant: str) -> list[Any]:
            records = [each for each in receiver.log_records() if each.attributes["tenant.id"] == tenant]
            return [each for each in records if "otelwarden.quota.period" in each.attributes]

        try:
            for count in (9, 5):
                before = len(notices("noisy"))
                for tenant in ("noisy", "quiet"):
                    spans(warden, tenant, count if tenant == "noisy" else 1)
                    for _ in range(count if tenant == "noisy" else 1):
                        logger.emit(body="work", context=set_tenant(tenant))
                until(lambda: warden.force_flush() and len(notices("noisy")) > before)  # noqa: B023
        finally:
            warden.shutdown()
        told: Counter[str] = Counter()
        for each in notices("noisy"):
            told.update({name: value for name, value in each.attributes.items() if ".dropped" in name})
        dropped = {
            f"otelwarden.quota.{kind}.{b.signal}.{reason}": count
            for b in warden.stats().balances
            if b.component in ("sampler", "quota") and b.tenant == "noisy"
            for kind, counts in (("dropped", b.dropped), ("dropped_bytes", b.dropped_bytes))
            for reason, count in counts.items()
        }
        assert dropped["otelwarden.quota.dropped.logs.budget"] == 11
        assert dropped["otelwarden.quota.dropped.traces.budget"] == 12
        assert told == dropped
        assert not notices("quiet")
        assert all("over quota" in each.body for each in notices("noisy"))


def test_notices_may_be_left_out(tmp_path: Path) -> None:
    with FaultyReceiver() as receiver:
        content = document(
            receiver.grpc_endpoint, default={"logs": {"budget": {"items": "3/month"}}}, notice_period=None
        )
        content["service"]["pipelines"] = {"logs": content["service"]["pipelines"]["traces"]}
        warden = configure(content, set_global=False)
        try:
            for _ in range(9):
                warden.logger_provider.get_logger("test").emit(body="work", context=set_tenant("noisy"))
        finally:
            warden.shutdown()
        assert len(receiver.log_records()) == 3


def test_what_is_over_a_limit_leaves_through_another_exporter(tmp_path: Path) -> None:
    """Redacted and tagged as everything, and counted exactly; errors stay where they are wanted."""
    with FaultyReceiver() as receiver, FaultyReceiver() as cold:
        budgets = {"logs": {"budget": {"items": "3/month"}}, "traces": {"budget": {"items": "2/month"}}}
        quota = {"overflow": "reroute", "reroute_exporter": "failover/cold", "exempt": {"errors": True}}
        content = document(receiver.grpc_endpoint, default=budgets, notice_period=None, **quota)
        content["processors"]["redaction"] = {"policies": ["pii"]}
        content["exporters"]["failover/cold"] = {"endpoints": [cold.grpc_endpoint]}
        pipeline = {"processors": ["tenancy", "quota", "redaction"], "exporters": ["failover"]}
        content["service"]["pipelines"] = {"traces": pipeline, "logs": pipeline}
        warden = configure(content, set_global=False)
        try:
            logger = warden.logger_provider.get_logger("test")
            for tenant in ("acme", "globex"):
                spans(warden, tenant, 7)
                for severity in (SeverityNumber.INFO, SeverityNumber.ERROR) * 4:
                    body = "mail to person@example.com"
                    logger.emit(body=body, severity_number=severity, context=set_tenant(tenant))
            assert warden.force_flush()
            stats = warden.stats()
        finally:
            warden.shutdown()
        for tenant in ("acme", "globex"):
            at = [
                (
                    sum(each.attributes["tenant.id"] == tenant for each in where.spans()),
                    sum(each.attributes["tenant.id"] == tenant for each in where.log_records()),
                )
                for where in (receiver, cold)
            ]
            assert at == [(2, 6), (5, 2)], "three records by the budget, three more errors"
        assert {each.severity_number for each in cold.log_records()} == {SeverityNumber.INFO.value}
        assert b"person@example.com" not in receiver.raw_bytes() + cold.raw_bytes()
        quota_accounts = [b for b in stats.balances if b.component == "quota"]
        assert all(b.unaccounted == b.unaccounted_bytes == 0 for b in quota_accounts)
        assert {(b.signal, b.forwarded, b.dropped["rerouted"]) for b in quota_accounts} == {
            ("traces", 2, 5),
            ("logs", 6, 2),
        }


def test_another_exporter_must_be_one(tmp_path: Path) -> None:
    for quota, message in (
        ({"overflow": "reroute"}, "is missing"),
        ({"overflow": "reroute", "reroute_exporter": "failover"}, "the exporter of everything else"),
        ({"overflow": "reroute", "reroute_exporter": "failover/none"}, "not defined under exporters"),
    ):
        (fault,) = validate(write(tmp_path / "otelwarden.yaml", document("http://localhost:1", **quota)))
        assert (fault.pointer, fault.message) == ("/processors/quota/reroute_exporter", message)
