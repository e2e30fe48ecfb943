"""Each strategy against what it promises, and the names by which they are found."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otelwarden.core import ConfigError, Runtime
from otelwarden.failover import (
    ConsistentSelection,
    Endpoint,
    EndpointPool,
    FailoverConfig,
    LeastInFlightSelection,
    Outbound,
    PooledEndpoint,
    RandomSelection,
    RoundRobinSelection,
    WeightedSelection,
)
from otelwarden.otlp import encode_spans
from otelwarden.testing import RecordingSpanExporter

ANY = Outbound("traces")
CONFIG = FailoverConfig()


def pooled(name: str, weight: float = 1.0) -> PooledEndpoint:
    endpoint = Endpoint(url=f"http://{name}.invalid", weight=weight)
    return PooledEndpoint(endpoint, 0, CONFIG, endpoint.open(), lambda: 0.5)


def spans(count: int) -> list[ReadableSpan]:
    sink = RecordingSpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(sink))
    for _ in range(count):
        provider.get_tracer("t").start_span("x").end()
    return list(sink.spans)


def test_round_robin_takes_each_in_turn_whoever_is_missing() -> None:
    a, b, c = endpoints = [pooled(name) for name in "abc"]
    selection = RoundRobinSelection()
    assert [selection.select(endpoints, ANY) for _ in range(6)] == [a, b, c, a, b, c]
    assert [selection.select([b, c], ANY) for _ in range(4)] == [b, c, b, c]
    assert selection.select(endpoints, ANY) is a


def test_weights_are_smooth() -> None:
    a, b, c = endpoints = [pooled("a", 5), pooled("b"), pooled("c")]
    selection = WeightedSelection()
    assert [selection.select(endpoints, ANY) for _ in range(7)] == [a, a, b, a, c, a, a]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
@settings(max_examples=25, deadline=None)
def test_over_a_cycle_each_has_its_weight(weights: list[int]) -> None:
    endpoints = [pooled(f"e{number}", weight) for number, weight in enumerate(weights)]
    selection = WeightedSelection()
    chosen = Counter(selection.select(endpoints, ANY) for _ in range(sum(weights)))
    assert [chosen[each] for each in endpoints] == weights


def test_the_least_busy_is_chosen() -> None:
    a, b, c = endpoints = [pooled(name) for name in "abc"]
    a.in_flight, b.in_flight, c.in_flight = 2, 1, 1
    selection = LeastInFlightSelection()
    assert [selection.select(endpoints, ANY) for _ in range(3)] == [b, c, b]


def test_random_takes_what_chance_says() -> None:
    endpoints = [pooled(name) for name in "abc"]
    for value, expected in ((0.0, 0), (0.5, 1), (0.999999, 2)):
        assert RandomSelection(lambda value=value: value).select(endpoints, ANY) is endpoints[expected]  # type: ignore[misc]


def test_a_trace_stays_where_it_is_when_others_come_and_go() -> None:
    endpoints = [pooled("a"), pooled("b"), pooled("c", weight=2)]
    selection = ConsistentSelection()
    batches = [Outbound("traces", encode_spans([span]).body) for span in spans(400)]
    before = [selection.select(endpoints, batch) for batch in batches]
    shares = Counter(before)
    assert 60 < shares[endpoints[0]] < 140
    assert 140 < shares[endpoints[2]] < 260
    after = [selection.select(endpoints[1:], batch) for batch in batches]
    assert all(new is old for old, new in zip(before, after, strict=True) if old is not endpoints[0])


def test_the_key_of_a_batch_is_its_first_trace() -> None:
    first, second = spans(2)
    assert first.context is not None
    assert Outbound("traces", encode_spans([first, second]).body).key == first.context.trace_id.to_bytes(16, "big")
    assert Outbound("metrics", b"").key == b""


@given(st.binary(max_size=200), st.sampled_from(["traces", "logs", "metrics"]))
def test_any_bytes_have_a_key(body: bytes, signal: str) -> None:
    assert isinstance(Outbound(signal, body).key, bytes)  # type: ignore[arg-type]


def test_an_unknown_selection_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="priority, round_robin, weighted, least_in_flight, random, consistent"):
        FailoverConfig(selection="fastest")


def test_other_distributions_offer_selections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "last_selection.py").write_text(
        "class Last:\n    def select(self, candidates, outbound):\n        return candidates[-1]\n"
    )
    info = tmp_path / "last_selection-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: last-selection\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[otelwarden.failover.selection]\nlast = last_selection:Last\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path) in sys.path
    config = FailoverConfig(selection="last")
    pool = EndpointPool(["http://a.invalid", "http://b.invalid"], config=config, runtime=Runtime())
    chosen = pool.select()
    assert chosen is not None
    assert chosen.endpoint.url == "http://b.invalid"
    with pytest.raises(ConfigError, match="consistent, last"):
        FailoverConfig(selection="first")


def test_a_selection_that_fails_is_counted_and_replaced() -> None:
    class Broken:
        def select(self, candidates: object, outbound: object) -> PooledEndpoint:
            raise ValueError

    runtime = Runtime()
    pool = EndpointPool(["http://a.invalid", "http://b.invalid"], selection=Broken(), runtime=runtime)
    chosen = pool.select()
    assert chosen is not None
    assert chosen.endpoint.url == "http://a.invalid"
    assert runtime.error_counts()["failover"] == {"select:ValueError": 1}
