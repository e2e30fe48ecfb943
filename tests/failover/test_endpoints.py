"""Capacity, capabilities, coming and going, and what active checks find, with real receivers and real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, TypeAlias

import pytest

from otelwarden.core import ConfigError, Runtime
from otelwarden.failover import (
    Endpoint,
    EndpointPool,
    FailoverConfig,
    FailoverLogRecordExporter,
    HealthCheck,
    Outbound,
    Status,
)
from otelwarden.otlp import Cancellation, Outcome, Verdict
from otelwarden.testing import EventRecorder, FakeClock, FaultyReceiver

from .conftest import FAST, PATIENCE, Rig

DELIVERED = Outcome(verdict=Verdict.DELIVERED, code="OK")
DOWN = Outcome(verdict=Verdict.RETRYABLE, code="UNAVAILABLE")


class Wire:
    """A transport that takes as long as it is told, on the clock of the test."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.seconds, self.outcome = 0.0, DELIVERED
        self.clock: FakeClock | None = None
        self.during: Callable[[], None] = lambda: None

    def send(self, signal: Any, body: bytes, **settings: Any) -> Outcome:
        self.during()
        if self.clock is not None:
            self.clock.advance(self.seconds)
        return self.outcome

    def close(self) -> None:
        pass


class Bench:
    def __init__(self, endpoints: list[Endpoint], **config: Any) -> None:
        self.clock, self.events = FakeClock(), EventRecorder()
        runtime = Runtime(clock=self.clock)
        runtime.observe(self.events)
        config = {"initial_backoff": 100, "max_backoff": 800, **config}
        self.pool = EndpointPool(
            endpoints, config=FailoverConfig(**config), runtime=runtime, random=lambda: 0.5, open_transport=Wire
        )

    def chosen(self, signal: Any = "traces") -> str:
        found = self.pool.select((), Outbound(signal))
        return found.endpoint.url[7] if found is not None else ""

    def send(self, *, seconds: float = 0.0, outcome: Outcome = DELIVERED, during: Any = lambda: None) -> str:
        """One request, as a delivery makes it; who got it."""
        endpoint = self.pool.select()
        assert endpoint is not None
        wire: Any = endpoint.wire
        wire.clock, wire.seconds, wire.outcome, wire.during = self.clock, seconds, outcome, during
        endpoint.transport.send("traces", b"x", timeout=1, cancellation=Cancellation())
        if outcome is DELIVERED:
            self.pool.judge.mark_delivered(endpoint, outcome, 1)
        else:
            self.pool.judge.mark_failed(endpoint, outcome, "traces")
        return endpoint.endpoint.url[7]

    @property
    def news(self) -> list[tuple[str, str]]:
        return [(event.action, event.target[7:8]) for event in self.events.events]


Benches: TypeAlias = Callable[..., Bench]


@pytest.fixture
def make_bench() -> Iterator[Benches]:
    benches: list[Bench] = []

    def make(endpoints: list[Endpoint], **config: Any) -> Bench:
        benches.append(Bench(endpoints, **config))
        benches[-1].pool.attach(_nobody)
        return benches[-1]

    yield make
    for bench in benches:
        bench.pool.detach(_nobody)  # ends its probes


def _nobody() -> None:
    pass


def endpoint(name: str, **settings: Any) -> Endpoint:
    return Endpoint(url=f"http://{name}.invalid", **settings)


def test_who_has_its_hands_full_gets_nothing_more(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a", capacity=1), endpoint("b", capacity=1)])
    seen: list[Any] = []

    def during() -> None:
        stats = bench.pool.stats()[0]
        seen.append((stats.in_flight, stats.headroom, bench.chosen()))
        if len(seen) == 1:
            bench.send(during=lambda: seen.append((bench.chosen(), bench.pool.is_busy(), bench.pool.pause())))

    assert bench.send(during=during) == "a"
    assert seen == [(1, 0, "b"), ("", True, 0.05)]
    assert bench.chosen() == "a"
    bench.chosen()  # a place that was given and not used is free again
    assert bench.pool.summary().in_flight == 1


def test_nobody_is_chosen_for_what_it_does_not_accept(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a", capabilities=("logs",)), endpoint("b", capabilities=("traces", "logs"))])
    assert (bench.chosen("traces"), bench.chosen("logs"), bench.chosen("metrics")) == ("b", "a", "")
    assert bench.pool.pause(Outbound("metrics")) > 0
    with pytest.raises(ConfigError, match="no endpoint accepts logs"):
        FailoverLogRecordExporter([endpoint("a", capabilities=("traces",))], runtime=Runtime())


def test_endpoints_nearby_come_first(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a", region="us"), endpoint("b", region="eu")], region="eu")
    assert bench.chosen() == "b"
    bench.send(outcome=DOWN)
    assert bench.chosen() == "a"


def test_endpoints_come_and_go(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a")])
    with pytest.raises(ConfigError, match="last endpoint"):
        bench.pool.remove("http://a.invalid")
    bench.pool.add(endpoint("b"))
    with pytest.raises(ConfigError, match="listed twice"):
        bench.pool.add("http://b.invalid/")
    with pytest.raises(ConfigError, match="no such endpoint"):
        bench.pool.drain("http://c.invalid")

    def during() -> None:
        bench.pool.drain("http://a.invalid")
        assert [each.draining for each in bench.pool.stats()] == [True, False]
        assert bench.pool.is_busy() is False

    assert bench.send(during=during) == "a"
    assert [each.url for each in bench.pool.stats()] == ["http://b.invalid"]
    assert bench.chosen() == "b"
    bench.pool.add(endpoint("c", priority=0))
    assert bench.chosen() == "c"
    bench.pool.remove("http://c.invalid")
    assert bench.news == [
        ("endpoint_added", "b"),
        ("endpoint_draining", "a"),
        ("endpoint_removed", "a"),
        ("endpoint_added", "c"),
        ("endpoint_removed", "c"),
    ]
    assert bench.pool.summary().failovers == 0


def test_a_slow_endpoint_is_chosen_last_until_it_is_forgotten(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a"), endpoint("b")], degraded_latency=0.5)
    assert [bench.send(seconds=1.0) for _ in range(6)] == ["a"] * 5 + ["b"]
    assert bench.pool.stats()[0].status is Status.DEGRADED
    assert bench.news == [("endpoint_degraded", "a"), ("failover", "b")]
    assert bench.pool.stats()[0].latency_mean == pytest.approx(1.0)
    assert bench.pool.stats()[0].latency_p99 == pytest.approx(1.0)
    bench.clock.advance(31)
    assert bench.chosen() == "a"
    assert bench.news[2:] == [("endpoint_recovered", "a"), ("failback", "a")]
    summary = bench.pool.summary()
    assert (summary.failovers, summary.failbacks, summary.requests, summary.outages) == (1, 1, 6, 0)


def test_an_endpoint_that_fails_now_and_then_is_chosen_last(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a"), endpoint("b")], degraded_failure_rate=0.3, recovery_threshold=1)
    a = bench.pool.select()
    assert a is not None
    for outcome in (DELIVERED, DOWN, DELIVERED, DOWN, DELIVERED):
        bench.send(outcome=outcome)
        bench.pool.judge.mark_probed(a, DELIVERED)
    assert a.usable
    assert bench.chosen() == "b"
    assert a.status is Status.DEGRADED


def test_a_spread_pool_tells_who_left_and_who_is_back(make_bench: Benches) -> None:
    bench = make_bench([endpoint("a"), endpoint("b")], selection="round_robin", recovery_threshold=1)
    assert {bench.send(), bench.send()} == {"a", "b"}
    assert all(each.active for each in bench.pool.stats())
    assert bench.send(outcome=DOWN) == "a"
    assert [bench.send(), bench.send()] == ["b", "b"]
    a = bench.pool.select(
        [each for each in bench.pool.judge.to_be_checked() if each.endpoint.url == "http://b.invalid"]
    )
    assert a is not None
    bench.pool.judge.mark_probed(a, DELIVERED)
    assert bench.news == [
        ("endpoint_degraded", "a"),
        ("failover", "b"),
        ("endpoint_recovered", "a"),
        ("failback", "a"),
    ]


@contextmanager
def http_health() -> Iterator[Any]:
    """A server of health checks beside a receiver, whose answer can be changed."""

    class Handler(BaseHTTPRequestHandler):
        status = 200
        asked: ClassVar[set[str]] = set()

        def do_GET(self) -> None:
            Handler.asked.add(self.path)
            self.send_response(Handler.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


CHECK = {"interval": 0.05, "timeout": 0.3, "failure_threshold": 1}


def checked(**check: Any) -> FailoverConfig:
    return FailoverConfig(
        initial_backoff=0.1, max_backoff=0.3, shutdown_patience=0.5, health_check=HealthCheck(**{**CHECK, **check})
    )


def test_a_frozen_endpoint_is_found_before_a_batch_finds_it(
    make_rig: Callable[..., Rig], endpoints_of: Callable[..., list[Endpoint]], pair: list[FaultyReceiver]
) -> None:
    rig = make_rig(endpoints_of(pair), checked())
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].last_heartbeat_ns)
    pair[0].freeze()
    rig.wait_until(lambda: ("failover", rig.exporter.pool.stats()[1].url) in rig.actions())
    rig.send()
    assert rig.flush()  # in less than an attempt
    assert len(pair[1].spans()) == 1
    assert rig.exporter.pool.stats()[0].failed_attempts == 0
    pair[0].thaw()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].active)


def test_tcp_checks_find_a_dead_endpoint(make_rig: Callable[..., Rig], pair: list[FaultyReceiver]) -> None:
    rig = make_rig([each.grpc_endpoint for each in pair], checked(type="tcp"))
    pair[0].kill()
    rig.wait_until(lambda: rig.exporter.pool.stats()[1].active)
    pair[0].restart()
    rig.wait_until(lambda: rig.exporter.pool.stats()[0].active)


def test_http_checks_go_by_the_answer(make_rig: Callable[..., Rig], pair: list[FaultyReceiver]) -> None:
    with http_health() as server:
        config = checked(type="http", path="/ready", port=server.server_address[1])
        rig = make_rig([each.grpc_endpoint for each in pair], config)
        rig.wait_until(lambda: rig.exporter.pool.stats()[1].status is Status.HEALTHY)
        server.RequestHandlerClass.status = 503
        rig.wait_until(lambda: ("outage", "") in rig.actions())
        assert rig.exporter.pool.stats()[0].last_code == "503"
        server.RequestHandlerClass.status = 204
        rig.wait_until(lambda: rig.exporter.pool.stats()[0].status is Status.HEALTHY)
        assert server.RequestHandlerClass.asked == {"/ready"}


def test_a_callable_may_be_the_check(pair: list[FaultyReceiver]) -> None:
    answers: dict[str, Any] = {}

    def check(endpoint: Endpoint, timeout: float) -> bool:
        if answers.get(endpoint.url) == "raise":
            raise OSError
        return answers.get(endpoint.url, True) is True

    events = EventRecorder()
    runtime = Runtime()
    runtime.observe(events)
    urls = [each.grpc_endpoint for each in pair]
    pool = EndpointPool(urls, config=checked(), health_check=check, runtime=runtime)
    woken = threading.Event()
    pool.attach(woken.set)
    try:
        answers[urls[0]] = "raise"
        deadline = time.monotonic() + PATIENCE
        while not pool.stats()[1].active:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        answers[urls[0]] = True
        assert woken.wait(PATIENCE)
    finally:
        pool.detach(woken.set)


def test_a_capacity_of_one_loses_nothing(make_rig: Callable[..., Rig], pair: list[FaultyReceiver]) -> None:
    rig = make_rig([Endpoint(url=pair[0].grpc_endpoint, capacity=1)], FAST)
    for _ in range(5):
        rig.send(20)
        rig.provider.force_flush()
    assert rig.flush()
    assert len(pair[0].spans()) == 100
    assert rig.exporter.pool.stats()[0].in_flight == 0
