"""Tenants beside and within one another, through `configure()` up to a real receiver."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from opentelemetry.baggage import set_baggage
from opentelemetry.trace import StatusCode

from otelwarden.core import set_tenant, use_tenant
from otelwarden.pipeline import Warden, configure
from otelwarden.tenancy import set_token
from otelwarden.testing import FaultyReceiver

STAGES = ["tenancy", "quota"]
SECRET = "a secret of thirty-two bytes at least, for HS256"


@pytest.fixture(scope="module")
def one_receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(one_receiver: FaultyReceiver) -> FaultyReceiver:
    """One for all tests, as it is a process; each begins with nothing received."""
    one_receiver.forget()
    return one_receiver


@contextmanager
def running(receiver: FaultyReceiver, *, tenancy: dict[str, Any] | None = None, **quota: Any) -> Iterator[Warden]:
    pipeline = {"processors": STAGES, "exporters": ["failover"]}
    document = {
        "processors": {"tenancy": {"unknown": "pass", **(tenancy or {})}, "quota": quota},
        "exporters": {"failover": {"endpoints": [receiver.grpc_endpoint]}},
        "service": {
            "logging_handler": False,
            "self_metrics": False,
            "pipelines": {signal: dict(pipeline) for signal in ("traces", "logs", "metrics")},
        },
    }
    warden = configure(document, set_global=False)
    try:
        yield warden
    finally:
        warden.shutdown()


def dropped(warden: Warden, tenant: str) -> dict[str, int]:
    """What any stage dropped of the tenant's, by signal and reason."""
    found: Counter[str] = Counter()
    for balance in warden.stats().balances:
        if balance.tenant == tenant:
            found.update({f"{balance.signal} {reason}": count for reason, count in balance.dropped.items() if count})
    return dict(found)


def test_a_tenant_at_a_hundred_times_its_limits_costs_a_quiet_one_nothing(receiver: FaultyReceiver) -> None:
    limits = {
        "traces": {"rate": 0.1, "burst": 100},
        "logs": {"rate": 0.1, "burst": 100},
        "metrics": {"cardinality": 30},
    }
    with running(receiver, default=limits, notice_period=None) as warden:
        tracer = warden.tracer_provider.get_tracer("test")
        logger = warden.logger_provider.get_logger("test")
        counter = warden.meter_provider.get_meter("test").create_counter("work")

        def work(tenant: str, number: int) -> None:
            with use_tenant(tenant), tracer.start_as_current_span(f"span {number}"):
                pass
            logger.emit(body=f"record {number}", context=set_tenant(tenant))
            counter.add(1, {"number": number}, context=set_tenant(tenant))

        for step in range(20):
            for number in range(200):
                work("noisy", 200 * step + number)
            work("quiet", step)
        assert warden.force_flush(30_000)
        quiet = {"tenant.id": "quiet"}.items()
        assert sorted(s.name for s in receiver.spans() if quiet <= s.attributes.items()) == sorted(
            f"span {number}" for number in range(20)
        )
        assert sorted(r.body for r in receiver.log_records() if quiet <= r.attributes.items()) == sorted(
            f"record {number}" for number in range(20)
        )
        points = [(point.attributes, point.value) for point in receiver.metrics() if point.name == "work"]
        assert sorted(a["number"] for a, value in points if quiet <= a.items() and value == 1) == list(range(20))
        assert dropped(warden, "quiet") == {}

        noise = [(a, value) for a, value in points if a["tenant.id"] == "noisy"]
        assert len(noise) == 31
        assert sum(value for _, value in noise) == 4000
        assert {signal.split()[0] for signal in dropped(warden, "noisy")} == {"traces", "logs"}
        assert sum(dropped(warden, "noisy").values()) > 7000


def test_traces_with_errors_come_out_of_the_reserve_to_the_receiver(receiver: FaultyReceiver) -> None:
    limits = {"traces": {"rate": 0.01, "burst": 20}}
    reserve = {"share": 0.5, "max_spans": 100}
    with running(receiver, default=limits, reserve=reserve) as warden:
        tracer = warden.tracer_provider.get_tracer("test")
        with use_tenant("acme"):
            for _ in range(300):
                tracer.start_span("flood").end()
            # The rate is used up; of five traces the one with an error gets out of the reserve.
            for number in range(5):
                with tracer.start_as_current_span(f"root {number}"), tracer.start_as_current_span("child") as child:
                    if number == 3:
                        child.set_status(StatusCode.ERROR)
        assert warden.force_flush(30_000)
        arrived = {span.name: span for span in receiver.spans()}
        assert arrived["root 3"].trace_id == arrived["child"].trace_id
        assert "th:" not in arrived["root 3"].trace_state
        assert arrived["root 3"].attributes["tenant.id"] == "acme"
        reserved = [b for b in warden.stats().balances if b.component == "reserve"]
        assert sum(b.held for b in reserved) == sum(b.unaccounted for b in reserved) == 0
        assert sum(b.forwarded for b in reserved) >= 2


def token(tenant: str) -> str:
    now = int(time.time())
    claims = {"iss": "https://issuer.example", "aud": "shop", "iat": now, "exp": now + 600, "tenant": tenant}
    return jwt.encode(claims, SECRET, "HS256")


@pytest.mark.parametrize("by", ["context", "baggage", "token"])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "over_the_rate"])
def test_spans_of_several_tenants_in_one_trace_are_each_counted_as_its_own(
    receiver: FaultyReceiver, tmp_path: Path, by: str, kept: bool
) -> None:
    """By the sampler as by the processors: what names another tenant midway is heard by both."""
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    tenancy = {
        "sources": ["token", "context", "baggage"],
        "token": {
            "algorithms": ["HS256"],
            "secret_file": str(tmp_path / "secret"),
            "issuer": "https://issuer.example",
            "audience": "shop",
        },
    }
    name = {
        "context": set_tenant,
        "baggage": lambda tenant, context=None: set_baggage("tenant.id", tenant, context),
        "token": lambda tenant, context=None: set_token(token(tenant), context),
    }[by]
    limits = {"traces": {"rate": 10_000}} if kept else {"traces": {"budget": {"items": "1/month"}}}
    with running(receiver, tenancy=tenancy, default=limits) as warden:
        tracer = warden.tracer_provider.get_tracer("test")
        if not kept:
            tracer.start_span("uses the budget up", context=name("host")).end()
        root = tracer.start_as_current_span("root", context=name("host"))
        with root, tracer.start_as_current_span("own"):
            with tracer.start_as_current_span("guest", context=name("guest")):
                tracer.start_span("of the guest").end()
        assert warden.force_flush(30_000)
        received = {
            component: {b.tenant: b.received for b in warden.stats().balances if b.component == component}
            for component in ("sampler", "quota")
        }
        if kept:
            assert received["sampler"] == received["quota"] == {"host": 2, "guest": 2}
            tenants = {span.name: span.attributes["tenant.id"] for span in receiver.spans()}
            assert tenants == {"root": "host", "own": "host", "guest": "guest", "of the guest": "guest"}
        else:
            assert received["sampler"] == {"host": 3, "guest": 2}
