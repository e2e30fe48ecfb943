"""Hostile values through the whole pipeline: delivered or dropped for a reason, never raised, never silent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber

from otelwarden.core import total, use_tenant
from otelwarden.pipeline import Warden, configure
from otelwarden.testing import FaultyReceiver


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


# What the SDK itself refuses (it raises, in set_attribute, on endless and on very deep attributes) is not asked of us.
ATTRIBUTES: dict[str, Callable[[], Any]] = {
    "not_a_number": lambda: math.nan,
    "infinite": lambda: -math.inf,
    "bytes_that_are_no_text": lambda: b"\xff\xfe\x00",
    "lone_surrogate": lambda: "a\ud800b",
    "integer_of_2_to_the_70": lambda: 2**70,
    "ten_megabytes": lambda: "x" * (10 << 20),
    "mixed_list": lambda: ["text", 1, 2.5, None, True, b"\xff", ["nested"]],
    "nothing": lambda: None,
    "empty": lambda: "",
}
BODIES: dict[str, Callable[[], Any]] = {
    **ATTRIBUTES,
    "ten_thousand_deep": lambda: deep(10_000),
    "endless": endless,
    "unprintable": Unprintable,
    "unprintable_inside": lambda: {"a": [Unprintable()]},
}


@pytest.fixture(scope="module")
def receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as running:
        yield running


@pytest.fixture
def warden(tmp_path: Path, receiver: FaultyReceiver) -> Iterator[Warden]:
    receiver.forget()
    pipeline = {"processors": ["tenancy", "quota", "redaction", "audit"], "exporters": ["failover"]}
    running = configure(
        {
            "processors": {
                "tenancy": {"unknown": "pass"},
                "quota": {},
                "redaction": {},
                "audit": {"path": str(tmp_path / "audit")},
            },
            "exporters": {"failover": {"endpoints": [{"url": receiver.grpc_endpoint}]}},
            "service": {
                "logging_handler": False,
                "self_metrics": False,
                "pipelines": {"traces": pipeline, "logs": pipeline, "metrics": pipeline},
            },
        },
        set_global=False,
    )
    yield running
    running.shutdown(60)


def settled(warden: Warden) -> None:
    """Everything is accounted for, and what did not leave says why."""
    assert warden.force_flush(15)
    warden.shutdown(60)
    stats = warden.stats()
    assert [balance for balance in stats.balances if balance.unaccounted] == []


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_of_a_span(warden: Warden, receiver: FaultyReceiver, name: str) -> None:
    assert warden.tracer_provider is not None
    with use_tenant("acme"), warden.tracer_provider.get_tracer("t").start_as_current_span("work") as span:
        span.set_attribute("hostile", ATTRIBUTES[name]())
        span.add_event("event", {"hostile": ATTRIBUTES[name]()})
    settled(warden)
    dropped = {reason for balance in warden.stats().balances for reason in balance.dropped}
    delivered = receiver.spans()
    assert len(delivered) == 1 or (len(delivered) == 0 and dropped), f"lost without a reason: {dropped}"


@pytest.mark.parametrize("name", BODIES)
def test_a_log_body(warden: Warden, receiver: FaultyReceiver, name: str) -> None:
    assert warden.logger_provider is not None
    logger = warden.logger_provider.get_logger("t")
    with use_tenant("acme"):
        logger.emit(LogRecord(body=BODIES[name](), severity_number=SeverityNumber.INFO, observed_timestamp=1))
    settled(warden)
    received = total(warden.stats().balances, "tenancy", "logs").received
    dropped = {reason for balance in warden.stats().balances for reason in balance.dropped}
    assert received == 1
    assert len(receiver.log_records()) == 1 or dropped, "lost without a reason"


@pytest.mark.parametrize("name", ["not_a_number", "lone_surrogate", "integer_of_2_to_the_70", "ten_megabytes", "empty"])
def test_an_attribute_of_a_measurement(warden: Warden, receiver: FaultyReceiver, name: str) -> None:
    assert warden.meter_provider is not None
    with use_tenant("acme"):
        warden.meter_provider.get_meter("t").create_counter("orders").add(1, {"hostile": ATTRIBUTES[name]()})
    settled(warden)
    dropped = {reason for balance in warden.stats().balances for reason in balance.dropped}
    assert [point.value for point in receiver.metrics() if point.name == "orders"] or dropped


@pytest.mark.parametrize("tenant", ["../../etc", "a\nb", "x" * 10_000, "", "ünïcode", "a b", "."])
def test_a_tenant_id(warden: Warden, receiver: FaultyReceiver, tenant: str) -> None:
    assert warden.tracer_provider is not None
    with use_tenant(tenant):
        warden.tracer_provider.get_tracer("t").start_span("work").end()
    settled(warden)
    # Unknown ids pass here, but these cannot be ids at all: nobody is charged or tagged with them.
    (span,) = receiver.spans()
    assert span.attributes["tenant.id"] == "unattributed"
