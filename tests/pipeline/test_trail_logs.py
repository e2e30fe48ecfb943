"""The trail as log records through `configure()`: on a pipeline of its own, which nothing throttles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otelwarden.audit import Status, read_records, verify
from otelwarden.core import ConfigError, total, use_tenant
from otelwarden.pipeline import configure, load_settings
from otelwarden.testing import Fault, FaultMode, FaultyReceiver


def document(usual: FaultyReceiver, own: FaultyReceiver, **audit: Any) -> dict[str, Any]:
    pipeline = {"processors": ["tenancy", "quota", "redaction", "audit"], "exporters": ["failover"]}
    return {
        "processors": {
            "tenancy": {"unknown": "pass"},
            "quota": {"default": {"traces": {"rate": 0.001, "burst": 3}, "logs": {"rate": 0.001, "burst": 1}}},
            "redaction": {},
            "audit": {"path": "audit", "coalesce_window": "50ms", "logs": {"exporter": "failover/audit"}, **audit},
        },
        "exporters": {
            "failover": {"endpoints": [{"url": usual.grpc_endpoint}], "spool": {"path": "spool"}},
            "failover/audit": {"endpoints": [{"url": own.grpc_endpoint}], "spool": {"path": "spool"}},
        },
        "service": {
            "resource": {"service.name": "shop"},
            "logging_handler": False,
            "self_metrics": False,
            "pipelines": {"traces": dict(pipeline), "logs": dict(pipeline)},
        },
    }


def work(warden: Any) -> None:
    tracer = warden.tracer_provider.get_tracer("t")
    with use_tenant("acme"):
        for number in range(50):
            tracer.start_span(f"s{number}", attributes={"to": "ada@example.com"}).end()


def test_never_throttled_and_matched_to_the_trail(tmp_path: Path, monkeypatch: Any) -> None:
    """The quota lets a few items pass; every record of the trail arrives, at its own receiver."""
    monkeypatch.chdir(tmp_path)
    with FaultyReceiver() as usual, FaultyReceiver() as own:
        warden = configure(document(usual, own), set_global=False)
        try:
            work(warden)
            assert warden.force_flush(60)
        finally:
            warden.shutdown(60)
        (stats,) = warden.stats().trail_logs
        records = list(read_records("audit"))
        received = [(each.attributes["audit.sequence.stream_id"], each.attributes["audit.sequence.number"])
                    for each in own.log_records()]  # fmt: skip
        assert sorted(received) == [(each["stream"], each["sequence"]) for each in records]
        assert (stats.exported, stats.waiting_bytes, stats.lost) == (len(records), 0, {})
        assert {each.resource["service.name"] for each in own.log_records()} == {"shop"}
        assert {"open", "close", "account", "export", "drop"} <= {each["action"] for each in records}
        assert len(usual.spans()) < 50
        assert "otelwarden.audit" not in {each.scope for each in usual.log_records()}
        # Its own sending is in no account, or each checkpoint would seal that the last one had left.
        assert total(warden.stats().balances, "failover", "logs").received == len(usual.log_records())
        assert b"ada@example.com" not in own.raw_bytes()
        assert warden.stats().unaccounted == 0


def test_a_dead_endpoint_neither_harms_the_trail_nor_makes_records(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultyReceiver() as usual, FaultyReceiver() as own:
        own.set_fault(Fault(mode=FaultMode.REFUSE))
        settings = document(usual, own)
        del settings["exporters"]["failover/audit"]["spool"]
        warden = configure(settings, set_global=False)
        try:
            work(warden)
        finally:
            warden.shutdown(60)
        (stats,) = warden.stats().trail_logs
    records = list(read_records("audit"))
    assert verify("audit").status is Status.OK
    assert sum(stats.lost.values()) == len(records)
    assert not [each for each in records if each["component"] == "failover"]


def test_an_exporter_that_is_not_there() -> None:
    with FaultyReceiver() as receiver:
        broken = document(receiver, receiver)
    del broken["exporters"]["failover/audit"]
    with pytest.raises(ConfigError, match="not defined under exporters") as caught:
        load_settings(broken)
    assert [each.pointer for each in caught.value.faults] == ["/processors/audit/logs/exporter"]
