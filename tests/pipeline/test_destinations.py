"""Data of a classification that is bound to destinations, through `configure()` into two real receivers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from otelwarden.core import ConfigError, total
from otelwarden.pipeline import configure
from otelwarden.testing import FaultyReceiver

CARD = "4242424242424242"


def document(directory: Path, first: str, second: str, **more: Any) -> dict[str, Any]:
    rules = [{"id": "cards", "match": {"entities": ["PAYMENT_CARD"]}, "action": {"audit": {}}}]
    (directory / "own.yaml").write_text(json.dumps({"rules": rules}))
    pipeline = {"processors": ["redaction"], "exporters": ["failover"]}
    classification = {"stamp": True, "destinations": {"restricted": ["vault"]}}
    return {
        "processors": {"redaction": {"policies": [str(directory / "own.yaml")], "classification": classification}},
        "exporters": {
            "failover": {"endpoints": [{"name": "usual", "url": first}, {"name": "vault", "url": second}], **more}
        },
        "service": {
            "logging_handler": False,
            "self_metrics": False,
            "pipelines": {"traces": dict(pipeline), "logs": dict(pipeline), "metrics": {**pipeline, "interval": "1h"}},
        },
    }


def work(warden: Any) -> None:
    from opentelemetry._logs import LogRecord

    for text in ("fine", f"paid with {CARD}"):
        warden.tracer_provider.get_tracer("t").start_span("pay", attributes={"note": text}).end()
        warden.logger_provider.get_logger("t").emit(LogRecord(timestamp=1, body=text))
        warden.meter_provider.get_meter("t").create_counter("c").add(1, {"note": text})


def kept(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


def test_bound_data_goes_to_its_endpoint_alone(tmp_path: Path) -> None:
    with FaultyReceiver() as usual, FaultyReceiver() as vault:
        warden = configure(document(tmp_path, usual.grpc_endpoint, vault.grpc_endpoint), set_global=False)
        work(warden)
        assert warden.force_flush(60)
        stats = warden.stats()
        warden.shutdown(60)
        raw = {name: each.raw_bytes() for name, each in (("usual", usual), ("vault", vault))}
        assert CARD.encode() not in raw["usual"]
        assert raw["vault"].count(CARD.encode()) == 2
        assert b"fine" in raw["usual"]
        assert b"fine" not in raw["vault"]
    assert stats.unaccounted == 0
    assert dict(total(stats.balances, "redaction", "metrics").dropped) == {"bound_elsewhere": 1}


def test_bound_data_waits_on_a_disk_of_its_own_when_its_endpoint_is_down(tmp_path: Path) -> None:
    with FaultyReceiver() as usual:
        spool = {"path": str(tmp_path / "spool"), "fsync": "each"}
        settings = document(tmp_path, usual.grpc_endpoint, "http://127.0.0.1:9", spool=spool)
        warden = configure(settings, set_global=False)
        work(warden)
        deadline = time.monotonic() + 60
        while CARD.encode() not in kept(tmp_path / "spool-restricted"):
            assert time.monotonic() < deadline
            warden.force_flush(1)
        warden.shutdown(1)
        assert CARD.encode() not in usual.raw_bytes()

    assert CARD.encode() not in kept(tmp_path / "spool")
    assert CARD.encode() in kept(tmp_path / "spool-restricted")


def test_a_destination_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = document(tmp_path, "http://127.0.0.1:9", "http://127.0.0.1:10")
    settings["processors"]["redaction"]["classification"]["destinations"] = {"restricted": ["vault", "valut"]}
    with pytest.raises(ConfigError) as refused:
        configure(settings, set_global=False)
    (fault,) = set(refused.value.faults)
    assert (fault.pointer, fault.given, fault.allowed) == (
        "/processors/redaction/classification/destinations/restricted/1",
        "valut",
        "usual, vault",
    )
