"""Three signals through `configure()` into a real receiver: tagged, without canaries, limited, accounted for, proven.

The expectations are one list of sentences. With the whole file none is broken; without any one stage at least one is,
so none of them holds by itself.
"""

from __future__ import annotations

import copy
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from otelwarden.audit import Status, verify
from otelwarden.core import use_tenant
from otelwarden.pipeline import Stats, configure
from otelwarden.pipeline.handler import WardenHandler
from otelwarden.testing import FaultyReceiver

CANARIES = {
    "email": "canary.person@example.com",
    "card": "4111 1111 1111 1111",
    "iban": "DE89370400440532013000",
    "bearer": "Authorization: Bearer c4n4ryT0k3nAbCdEfGh1jKlMnOpQrStUv",
    "url": "canarypassw0rd",
}
LEAKS = (
    f"reset for {CANARIES['email']} paid with {CANARIES['card']} from iban {CANARIES['iban']}; {CANARIES['bearer']} "
    f"db postgres://app:{CANARIES['url']}@db.internal:5432/shop"
)
LOG_BURST = 20
SPANS, LOGS = 30, 50

TENANTS = """
tenants:
  - {id: acme, name: Acme}
  - {id: globex, name: Globex, settings: {limits: {logs: {rate: 0.001/s, burst: 20}}}}
  - {id: initech, name: Initech, status: suspended}
"""
STAGES = ["tenancy", "quota", "redaction", "audit"]


def document(receiver: FaultyReceiver) -> dict[str, Any]:
    pipeline = {"processors": STAGES, "exporters": ["failover"]}
    return {
        "tenants": "tenants.yaml",
        "processors": {"tenancy": {}, "quota": {}, "redaction": {}, "audit": {"path": "audit"}},
        "exporters": {"failover": {"endpoints": [{"url": receiver.grpc_endpoint}]}},
        "service": {
            "resource": {"service.name": "shop"},
            "logging_handler": False,
            "pipelines": {
                "traces": dict(pipeline),
                "logs": dict(pipeline),
                "metrics": {**pipeline, "interval": "1h"},
            },
        },
    }


@dataclass
class Outcome:
    spans: list[Any]
    logs: list[Any]
    metrics: list[Any]
    raw: bytes
    stats: Stats
    verdicts: list[Status] = field(default_factory=list)


def work(warden: Any) -> None:
    """What an application does, for three tenants of which one is suspended, and one that nobody knows."""
    tracer = warden.tracer_provider.get_tracer("shop")
    logger = logging.getLogger("test.shop")
    handler = WardenHandler(warden.logger_provider, level=logging.INFO, errors=warden.runtime.errors("test"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    meter = warden.meter_provider.get_meter("shop")
    counter = meter.create_counter("orders", description=f"of {CANARIES['email']}")
    histogram = meter.create_histogram("latency")
    for tenant in ("acme", "globex", "initech", "mallory"):
        with use_tenant(tenant):
            for _ in range(SPANS):
                with tracer.start_as_current_span(f"checkout {CANARIES['email']}") as span:
                    span.set_attribute("note", LEAKS)
                    span.set_attribute("nested", [LEAKS, "fine"])
                    span.add_event("event", {"body": LEAKS})
                    span.set_status(StatusCode.ERROR, LEAKS)
            for _ in range(LOGS):
                logger.info("order of %s", LEAKS, extra={"customer": CANARIES["email"]})
            counter.add(1, {"customer": CANARIES["email"]})
            histogram.record(5, {"customer": LEAKS})
    logger.removeHandler(handler)


def run(config: dict[str, Any], directory: Path, receiver: FaultyReceiver) -> Outcome:
    (directory / "tenants.yaml").write_text(TENANTS, encoding="utf-8")
    file = directory / "otelwarden.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    receiver.forget()
    warden = configure(file, set_global=False)
    try:
        work(warden)
        assert warden.force_flush(60)
    finally:
        warden.shutdown(60)
    trail = directory / "audit"
    return Outcome(
        spans=receiver.spans(),
        logs=receiver.log_records(),
        metrics=receiver.metrics(),
        raw=receiver.raw_bytes(),
        stats=warden.stats(),
        verdicts=[verdict.status for verdict in verify(trail).streams] if trail.exists() else [],
    )


def broken(outcome: Outcome) -> Iterator[str]:
    """The expectations that do not hold, as sentences."""
    for name, items in (("span", outcome.spans), ("log", outcome.logs), ("point", outcome.metrics)):
        if not items:
            yield f"no {name} was delivered"
        if any("tenant.id" not in item.attributes for item in items):
            yield f"a {name} is untagged"
        tenants = {item.attributes.get("tenant.id") for item in items}
        if tenants & {"initech", "mallory"}:
            yield f"a {name} of a suspended or unknown tenant was delivered"
    for name, canary in CANARIES.items():
        if canary.encode() in outcome.raw:
            yield f"the {name} canary was delivered"
    notices = [item.attributes for item in outcome.logs if "otelwarden.quota.period" in item.attributes]
    told = [(each.get("tenant.id"), each.get("otelwarden.quota.dropped.logs.rate")) for each in notices]
    if told != [("globex", LOGS - LOG_BURST)]:
        yield f"who was told what was dropped: {told}"
    logs = Counter(item.attributes.get("tenant.id") for item in outcome.logs if item.attributes not in notices)
    if logs["globex"] != LOG_BURST or logs["acme"] != LOGS:
        yield f"the quota is not exact: {dict(logs)}"
    if outcome.stats.unaccounted:
        yield f"{outcome.stats.unaccounted} items are unaccounted for"
    delivered = Counter(
        {(b.signal, b.tenant): b.forwarded for b in outcome.stats.balances if b.component == "failover"}
    )
    for signal, items in (("traces", outcome.spans), ("logs", outcome.logs)):
        for tenant in ("acme", "globex"):
            held = sum(item.attributes.get("tenant.id") == tenant for item in items)
            if delivered[signal, tenant] != held:
                yield f"{tenant}'s {signal}: {delivered[signal, tenant]} accounted as delivered, {held} received"
    if outcome.verdicts != [Status.OK]:
        yield f"the audit trail is {outcome.verdicts or 'missing'}"


@pytest.fixture(scope="module")
def receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as running:
        yield running


def test_the_whole_pipeline(tmp_path: Path, receiver: FaultyReceiver) -> None:
    outcome = run(document(receiver), tmp_path, receiver)
    assert list(broken(outcome)) == []
    assert len(outcome.spans) == 2 * SPANS
    assert not outcome.stats.errors or all(not count for count in outcome.stats.errors.values())


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_needed(tmp_path: Path, receiver: FaultyReceiver, stage: str) -> None:
    config = copy.deepcopy(document(receiver))
    del config["processors"][stage]
    for pipeline in config["service"]["pipelines"].values():
        pipeline["processors"] = [each for each in pipeline["processors"] if each != stage]
    assert list(broken(run(config, tmp_path, receiver)))
