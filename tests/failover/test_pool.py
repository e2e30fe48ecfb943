"""Health and selection under a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelwarden.core import ConfigError, Runtime
from otelwarden.failover import Endpoint, EndpointPool, FailoverConfig, PooledEndpoint, Status
from otelwarden.failover.accounts import shares
from otelwarden.otlp import Outcome, Verdict
from otelwarden.testing import EventRecorder, FakeClock

# Backoffs so long in real time that no probe interferes; the clock of the test passes them at once.
CONFIG = FailoverConfig(failure_threshold=3, recovery_threshold=2, initial_backoff=100, max_backoff=800)

DELIVERED = Outcome(verdict=Verdict.DELIVERED, code="OK")
DOWN = Outcome(verdict=Verdict.RETRYABLE, code="UNAVAILABLE")


class Bench:
    """A pool of endpoints a, b and c."""

    def __init__(self) -> None:
        self.clock, self.events = FakeClock(), EventRecorder()
        runtime = Runtime(clock=self.clock)
        runtime.observe(self.events)
        endpoints = [Endpoint(url=f"http://{name}.invalid") for name in "abc"]
        self.pool = EndpointPool(endpoints, config=CONFIG, runtime=runtime, random=lambda: 0.5)

    def best(self, *tried: PooledEndpoint) -> PooledEndpoint:
        chosen = self.pool.select(tried)
        assert chosen is not None
        return chosen

    def fail(self, endpoint: PooledEndpoint, times: int = 1, outcome: Outcome = DOWN) -> None:
        for _ in range(times):
            self.pool.judge.mark_failed(endpoint, outcome, "traces")

    def name(self, endpoint: PooledEndpoint | None) -> str:
        return endpoint.endpoint.url[7] if endpoint else ""

    @property
    def news(self) -> list[tuple[str, str]]:
        return [(event.action, event.target[7:8]) for event in self.events.events]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    listener = lambda: None  # noqa: E731
    bench.pool.attach(listener)
    yield bench
    bench.pool.detach(listener)


def test_the_first_by_priority_is_chosen_and_those_that_were_tried_are_not(bench: Bench) -> None:
    a = bench.best()
    b = bench.best(a)
    assert (bench.name(a), bench.name(b), bench.name(bench.pool.select([a, b]))) == ("a", "b", "c")
    c = bench.best(a, b)
    assert bench.pool.select([a, b, c]) is None


@pytest.mark.parametrize("endpoints", [[], ["http://a", "http://a/"], ["nowhere"]], ids=["none", "twice", "bad"])
def test_a_pool_needs_endpoints(endpoints: list[Any]) -> None:
    with pytest.raises(ConfigError):
        EndpointPool(endpoints, runtime=Runtime())


def test_one_failure_moves_telemetry_away_and_is_told_once(bench: Bench) -> None:
    a = bench.best()
    bench.fail(a)
    assert a.status is Status.DEGRADED
    assert bench.name(bench.best()) == "b"
    bench.fail(a)  # another signal saw the same
    assert bench.news == [("endpoint_degraded", "a"), ("failover", "b")]
    bench.fail(a)
    assert a.status is Status.UNHEALTHY
    assert bench.news[2:] == [("endpoint_unhealthy", "a")]


def test_two_successful_probes_bring_it_back(bench: Bench) -> None:
    a = bench.best()
    bench.fail(a)
    assert bench.pool.judge.seconds_until_probe(a) == 100
    bench.clock.advance(100)
    assert bench.pool.judge.seconds_until_probe(a) == 0
    bench.pool.judge.mark_probed(a, DELIVERED)
    assert (a.status, bench.name(bench.best())) == (Status.DEGRADED, "b")
    assert bench.pool.judge.seconds_until_probe(a) == 100
    bench.pool.judge.mark_probed(a, DELIVERED)
    assert bench.pool.judge.seconds_until_probe(a) is None
    assert bench.best() is a
    assert bench.news == [
        ("endpoint_degraded", "a"),
        ("failover", "b"),
        ("endpoint_recovered", "a"),
        ("failback", "a"),
    ]


def test_an_endpoint_that_takes_nothing_but_probes_is_left_alone_for_longer_each_time(bench: Bench) -> None:
    a = bench.best()
    waits = []
    for _ in range(6):
        bench.fail(a)
        waits.append(bench.pool.judge.seconds_until_probe(a))
        bench.pool.judge.mark_probed(a, DELIVERED)
        bench.pool.judge.mark_probed(a, DELIVERED)
        assert a.status is Status.HEALTHY
    assert waits == [100, 200, 400, 800, 800, 800]
    bench.pool.judge.mark_delivered(a, DELIVERED, 1)
    bench.fail(a)
    assert bench.pool.judge.seconds_until_probe(a) == 100


def test_with_nobody_fit_the_least_bad_is_tried(bench: Bench) -> None:
    a = bench.best()
    b = bench.best(a)
    c = bench.best(a, b)
    bench.fail(a, 5)
    bench.fail(b, 3)
    bench.fail(c, 4)
    assert bench.best() is b
    assert [action for action, _ in bench.news].count("outage") == 1
    assert [news for news in bench.news if news[0] in ("failover", "failback")] == [
        ("failover", "b"),
        ("failover", "c"),
    ]
    bench.pool.judge.mark_delivered(b, DELIVERED, 1)
    assert (b.status, bench.best()) == (Status.DEGRADED, b)
    bench.pool.judge.mark_delivered(b, DELIVERED, 1)
    assert b.status is Status.HEALTHY


def test_who_asks_for_time_is_not_asked_before(bench: Bench) -> None:
    asks = Outcome(verdict=Verdict.RETRYABLE, code="429", retry_after=150.0)
    a = bench.best()
    bench.fail(a, outcome=asks)
    assert bench.pool.judge.seconds_until_probe(a) == 150
    b = bench.best(a)
    c = bench.best(a, b)
    assert bench.pool.select([b, c]) is None
    bench.clock.advance(150)
    assert bench.pool.select([b, c]) is a
    # No longer than a batch lives, whatever it asks for.
    bench.fail(a, outcome=Outcome(verdict=Verdict.RETRYABLE, code="429", retry_after=1e9))
    wait = bench.pool.judge.seconds_until_probe(a)
    assert wait is not None
    assert wait <= CONFIG.max_age


def test_a_request_that_is_refused_speaks_for_the_endpoint(bench: Bench) -> None:
    a = bench.best()
    bench.pool.judge.mark_refused(a, Outcome(verdict=Verdict.DATA_FAULT, code="400", reason="invalid"), 7)
    stats = bench.pool.stats()[0]
    assert (stats.status, stats.refused, stats.delivered, stats.last_code) == (Status.HEALTHY, 7, 0, "400")


def test_recovery_is_told_to_those_who_wait(bench: Bench) -> None:
    told: list[Any] = []
    listener = lambda: told.append(1)  # noqa: E731
    bench.pool.attach(listener)
    a = bench.best()
    bench.fail(a)
    assert told == []
    bench.pool.judge.mark_probed(a, DELIVERED)
    assert told == [1]
    bench.pool.detach(listener)


@given(
    failures=st.integers(1, 10_000),
    random=st.floats(0, 1, exclude_max=True),
    initial=st.floats(0.01, 10),
    factor=st.floats(1, 1000),
)
def test_the_backoff_is_what_its_formula_says(failures: int, random: float, initial: float, factor: float) -> None:
    config = FailoverConfig(initial_backoff=initial, max_backoff=initial * factor)
    endpoint = Endpoint(url="http://a.invalid")
    pooled = PooledEndpoint(endpoint, 0, config, endpoint.open(), lambda: random)
    plain = min(initial * factor, initial * 2.0 ** min(failures - 1, 60))
    assert plain * 0.8 <= pooled.backoff(failures) <= plain * 1.2


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000), min_size=1),
    st.integers(-5, 10_000),
)
def test_shares_add_up_and_exceed_nobody(tenants: dict[str, int], rejected: int) -> None:
    lost = shares(rejected, tenants)
    assert sum(lost.values()) == max(0, min(rejected, sum(tenants.values())))
    assert all(0 < lost[tenant] <= tenants[tenant] for tenant in lost)
    if len(tenants) == 1:
        assert list(lost.values()) in ([], [min(rejected, sum(tenants.values()))])
