"""received = forwarded + dropped + held, by tenant, signal and reason, in items and bytes: as sent, and as received."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from otelwarden.core import set_tenant, use_tenant
from otelwarden.pipeline import configure
from otelwarden.testing import FaultyReceiver

TENANTS = """
tenants:
  - {id: boundless, name: Boundless}
  - {id: rated, name: Rated, settings: {limits: {traces: {rate: 0.0001/s, burst: 9}, logs: {rate: 0.0001/s, burst: 9}}}}
  - {id: thin, name: Thin, settings: {limits: {traces: {max_item_size: 160}, logs: {max_item_size: 160}}}}
  - {id: poor, name: Poor, settings: {limits: {all: {budget: {bytes: 3000/month}}}}}
  - {id: debtor, name: Debtor, status: suspended}
"""
THREADS, EACH = 8, 10
REASONS = {"boundless": set(), "rated": {"rate"}, "thin": {"size"}, "poor": {"budget"}}


def span_size(name: str, tenant: str) -> int:
    return 96 + len(name) + 32 + len(tenant)


def log_size(body: str, tenant: str) -> int:
    return 64 + len(body) + 32 + len(tenant)


def test_every_item_and_byte_is_accounted_for(tmp_path: Path) -> None:
    pipeline = {"processors": ["tenancy", "quota"], "exporters": ["failover"]}
    (tmp_path / "tenants.yaml").write_text(TENANTS, encoding="utf-8")
    sent: Counter[tuple[str, str]] = Counter()
    sent_bytes: Counter[tuple[str, str]] = Counter()
    with FaultyReceiver() as receiver:
        document = {
            "tenants": "tenants.yaml",
            "processors": {"tenancy": {}, "quota": {"max_debt": 0, "notice_period": None}},
            "exporters": {"failover": {"endpoints": [receiver.grpc_endpoint]}},
            "service": {
                "logging_handler": False,
                "pipelines": {
                    "traces": {**pipeline, "batch": {"max_queue_size": 8192}},
                    "logs": {**pipeline, "batch": {"max_queue_size": 8192}},
                    "metrics": {"processors": ["tenancy", "quota"], "exporters": ["failover"], "interval": "1h"},
                },
            },
        }
        file = tmp_path / "otelwarden.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        warden = configure(file, set_global=False)
        tracer = warden.tracer_provider.get_tracer("t")
        logger = warden.logger_provider.get_logger("t")

        def work(thread: int) -> None:
            for number in range(EACH):
                text = "x" * (1 + thread + 10 * number)
                for tenant in (*REASONS, "debtor"):
                    with use_tenant(tenant):
                        tracer.start_span(text).end()
                    logger.emit(body=text, context=set_tenant(tenant))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
        try:
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert warden.force_flush()
            stats = warden.stats()
        finally:
            warden.shutdown()
        for thread in range(THREADS):
            for number in range(EACH):
                text = "x" * (1 + thread + 10 * number)
                for tenant in REASONS:
                    for signal, size in (("traces", span_size(text, tenant)), ("logs", log_size(text, tenant))):
                        sent[signal, tenant] += 1
                        sent_bytes[signal, tenant] += size
        got: Counter[tuple[str, str]] = Counter()
        got_bytes: Counter[tuple[str, str]] = Counter()
        for span in receiver.spans():
            tenant = span.attributes["tenant.id"]
            got["traces", tenant] += 1
            got_bytes["traces", tenant] += span_size(span.name, tenant)
        for record in receiver.log_records():
            tenant = record.attributes["tenant.id"]
            got["logs", tenant] += 1
            got_bytes["logs", tenant] += log_size(record.body, tenant)
        told = {
            (point.name, point.attributes["otelwarden.signal"], point.attributes["otelwarden.tenant"]): point.value
            for point in receiver.metrics()
            if point.name in ("otelwarden.quota.received.size", "otelwarden.quota.forwarded.size")
        }

    assert (stats.unaccounted, stats.unaccounted_bytes) == (0, 0)
    quota = {(b.signal, b.tenant): b for b in stats.balances if b.component == "quota" and b.signal != "metrics"}
    assert set(quota) == set(sent)
    at_root = Counter(
        {(b.signal, b.tenant): sum(b.dropped.values()) for b in stats.balances if b.component == "sampler"}
    )
    for key, balance in quota.items():
        signal, tenant = key
        assert balance.received == sent[key] - at_root[key]
        if not at_root[key]:  # what the sampler drops is never recorded, and has no size
            assert balance.received_bytes == sent_bytes[key]
        assert (balance.forwarded, balance.forwarded_bytes) == (got[key], got_bytes[key])
        assert balance.dropped.keys() == balance.dropped_bytes.keys() <= REASONS[tenant]
        assert told["otelwarden.quota.received.size", signal, tenant] == balance.received_bytes
        assert told["otelwarden.quota.forwarded.size", signal, tenant] == balance.forwarded_bytes
    reasons: dict[str, set[str]] = {tenant: set() for tenant in REASONS}
    for balance in stats.balances:
        if balance.component in ("quota", "sampler") and balance.tenant in reasons:
            reasons[balance.tenant].update(balance.dropped)
    assert reasons == REASONS
    suspended: Any = [b for b in stats.balances if b.component == "tenancy" and b.tenant == "debtor"]
    assert {b.signal: dict(b.dropped) for b in suspended} == {
        signal: {"tenant_suspended": THREADS * EACH} for signal in ("traces", "logs")
    }
