"""Resources and scopes: grouped as by the public encoder, and what is kept of them bounded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as public_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from otelwarden.otlp import encode_spans
from otelwarden.otlp.attributes import MAX_HEADS, Attributes
from otelwarden.otlp.envelopes import MAX_ENVELOPES, RESOURCES, SCOPES
from otelwarden.otlp.repair import Repairs

CONTEXT = SpanContext(1, 2, False)


def span_of(resource: Any, scope: Any = None, name: str = "x", **fields: Any) -> ReadableSpan:
    return ReadableSpan(name, CONTEXT, resource=resource, instrumentation_scope=scope, **fields)


def assert_as_public(spans: Sequence[ReadableSpan]) -> None:
    encoded = encode_spans(spans)
    assert encoded.body == public_spans(spans).SerializeToString()
    assert (encoded.repaired, encoded.dropped) == (0, ())


def test_groups_stand_in_the_order_of_their_first_item() -> None:
    resources = [Resource({"n": number}) for number in (2, 1)]
    scopes = [None, InstrumentationScope("b"), InstrumentationScope("a", "1", "https://schema", {"k": "v"})]
    pairs = [(0, 0), (1, 1), (0, 2), (1, 0), (0, 0), (1, 1), (0, 1), (1, 2), (0, 2)]
    assert_as_public([span_of(resources[r], scopes[s], str(n)) for n, (r, s) in enumerate(pairs)])


@pytest.mark.parametrize(
    "attributes",
    [
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
        [{"a": 1}, {"a": True}, {"a": 1.0}],
        [{"a": 0.0}, {"a": -0.0}],
        [{"a": (1, 2)}, {"a": [1, 2]}],
        [{"a": float("nan")}, {"a": float("nan")}],
        [{}, {}, {"a": None}],
    ],
    ids=repr,
)
def test_equal_ones_are_one(attributes: list[dict[str, Any]]) -> None:
    for _ in range(2):
        assert_as_public([span_of(Resource(each)) for each in attributes * 2])
        assert_as_public([span_of(Resource({}), InstrumentationScope("s", attributes=each)) for each in attributes * 2])
        assert_as_public([span_of(Resource(each, "https://schema")) for each in attributes] * 2)


def test_equal_ones_with_other_schema_urls_are_two() -> None:
    urls = [None, "", "https://a", "https://b", "https://a"]
    assert_as_public([span_of(Resource({}, url)) for url in urls])
    assert_as_public([span_of(Resource({}), InstrumentationScope("s", "1", url)) for url in urls])


def test_a_resource_that_the_public_encoder_cannot_hash_is_encoded() -> None:
    resource = Resource({"raw": b"\xff", "odd": {"deep": (None, b"a")}})
    encoded = encode_spans([span_of(resource)] * 2)
    assert encoded.dropped == ()
    (found,) = ExportTraceServiceRequest.FromString(encoded.body).resource_spans
    assert found.resource.attributes[0].value.bytes_value == b"\xff"
    assert len(found.scope_spans[0].spans) == 2


def test_repairs_of_what_is_shared_count_once_in_each_batch() -> None:
    resource = Resource({"a": "\ud800", "b": 2**70}, "https://\ud800")
    scope = InstrumentationScope("\ud800", "\ud800", "\ud800", {"\ud800": "\ud800"})
    for _ in range(3):
        encoded = encode_spans([span_of(resource, scope)] * 5)
        assert (encoded.repaired, encoded.dropped) == (3 + 5, ())
    (found,) = ExportTraceServiceRequest.FromString(encoded.body).resource_spans
    assert (found.schema_url, found.scope_spans[0].schema_url) == ("https://\ufffd", "\ufffd")
    assert found.scope_spans[0].scope.name == found.scope_spans[0].scope.version == "\ufffd"
    assert found.scope_spans[0].scope.attributes[0].key == "\ufffd"


class Broken(Resource):
    @property
    def attributes(self) -> Any:
        raise RuntimeError


def test_items_of_a_broken_resource_are_dropped_alone() -> None:
    bad, good = span_of(Broken({})), span_of(Resource({}))
    encoded = encode_spans([good, bad, good, bad])
    assert encoded.dropped == (bad, bad)
    assert encoded.body == public_spans([good, good]).SerializeToString()


class Growing(Resource):
    """One that is not the SDK's own, and changes."""

    answered = 0

    @property
    def attributes(self) -> Any:
        self.answered += 1
        return {"n": self.answered // 2}


def test_what_may_change_is_not_kept() -> None:
    resource = Growing({})
    bodies = {encode_spans([span_of(resource)]).body for _ in range(6)}
    assert len(bodies) > 1


def test_many_resources_and_scopes_are_bounded() -> None:
    spans = [span_of(Resource({"n": n}), InstrumentationScope(f"{n}")) for n in range(3 * MAX_ENVELOPES)]
    for _ in range(2):
        assert_as_public(spans + spans[::-1])
    assert len(RESOURCES) <= MAX_ENVELOPES
    assert len(SCOPES) <= MAX_ENVELOPES


def test_keys_are_bounded() -> None:
    attributes = Attributes(9, level=4)
    for number in range(2 * MAX_HEADS):
        attributes.write({f"key {number}": "v", "k" * 10_000: "v" * 10_000}, [], Repairs())
    assert 0 < attributes.kept <= MAX_HEADS
    for number in range(200):
        for size in range(300):
            attributes.write({f"{number}": "v" * size}, [], Repairs())
    assert 0 < attributes.kept <= MAX_HEADS


def test_threads_share_what_is_kept() -> None:
    threads, rounds = 8, 30
    start = threading.Barrier(threads)
    failures: list[str] = []

    def work(thread: int) -> None:
        start.wait()
        for number in range(rounds):
            resources = [Resource({"n": (number * 7 + each) % 400}) for each in range(20)]
            spans = [
                span_of(
                    resource, InstrumentationScope(f"{index}"), attributes={f"{thread} {number} {index}": "é" * index}
                )
                for index, resource in enumerate(resources * 2)
            ]
            if encode_spans(spans).body != public_spans(spans).SerializeToString():
                failures.append(f"{thread} {number}")

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert len(RESOURCES) <= MAX_ENVELOPES + threads
    assert len(SCOPES) <= MAX_ENVELOPES + threads
