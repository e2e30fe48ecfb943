from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import grpc
import pytest
import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from otelwarden.testing import FaultyReceiver

Protocol: TypeAlias = Literal["grpc", "http"]

_METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}


@dataclass
class Answer:
    """What a client saw: `outcome` is a gRPC status name, an HTTP status, or the type of what broke the connection."""

    outcome: str | int
    body: bytes = b""
    headers: dict[str, Any] = field(default_factory=dict)


class Client:
    """A bare client over one connection: no retries, nothing hidden."""

    def __init__(self, protocol: Protocol, receiver: FaultyReceiver) -> None:
        self.protocol = protocol
        # Channels of one process share connections, and their backoff, unless told not to.
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{receiver.grpc_port}", options=(("grpc.use_local_subchannel_pool", 1),)
        )
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", receiver.http_port, retries=False)

    def send(self, body: bytes = b"", *, signal: str = "traces", timeout: float = 60.0, **headers: str) -> Answer:
        send = self._send_grpc if self.protocol == "grpc" else self._send_http
        return send(body, signal, timeout, headers)

    def _send_grpc(self, body: bytes, signal: str, timeout: float, headers: dict[str, str]) -> Answer:
        try:
            answer, call = self._channel.unary_unary(_METHODS[signal]).with_call(
                body, timeout=timeout, metadata=tuple(headers.items())
            )
        except grpc.RpcError as error:
            return Answer(error.code().name, headers=dict(error.trailing_metadata() or ()))
        return Answer("OK", answer, dict(call.trailing_metadata()))

    def _send_http(self, body: bytes, signal: str, timeout: float, headers: dict[str, str]) -> Answer:
        try:
            answer = self._pool.request(
                "POST",
                f"/v1/{signal}",
                body,
                headers={"Content-Type": "application/x-protobuf"} | headers,
                timeout=timeout,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return Answer(type(error).__name__)
        return Answer(answer.status, answer.data, dict(answer.headers))

    def send_spans(self, *names: str, **options: Any) -> Answer:
        """Sends a traces request of one span for each name."""
        spans = [Span(name=name, trace_id=b"t" * 16, span_id=b"s" * 8) for name in names]
        request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
        return self.send(request.SerializeToString(), **options)

    def close(self) -> None:
        self._channel.close()
        self._pool.close()


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[FaultyReceiver]:
    with FaultyReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: FaultyReceiver) -> Iterator[FaultyReceiver]:
    """A receiver that is well and has received nothing."""
    shared_receiver.forget()
    yield shared_receiver
    shared_receiver.clear_fault()


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture
def connect(protocol: Protocol) -> Iterator[Callable[[FaultyReceiver], Client]]:
    """Makes clients of the protocol in question, each with a connection of its own."""
    with ExitStack() as clients:
        yield lambda receiver: clients.enter_context(closing(Client(protocol, receiver)))


@pytest.fixture
def client(connect: Callable[[FaultyReceiver], Client], receiver: FaultyReceiver) -> Client:
    return connect(receiver)
