"""OTLP over gRPC: raw bytes through a channel of our own."""

# grpc has no annotations.
# mypy: disable-error-code="no-untyped-call,no-any-return"

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

import grpc

from otelwarden.core import Signal, run_in_child_after_fork
from otelwarden.otlp import codes, retry_after
from otelwarden.otlp.answers import judge_answer
from otelwarden.otlp.cancellation import Cancellation
from otelwarden.otlp.outcome import Outcome, Verdict, shortened
from otelwarden.otlp.tls import Tls
from otelwarden.otlp.transport import NO_HEADERS, Compression
from otelwarden.otlp.user_agent import USER_AGENT

METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

_OPTIONS: Final = (
    ("grpc.primary_user_agent", USER_AGENT),
    # Channels of one process share connections, and their backoff, unless told not to.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
_BROKEN: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""After these the next request gets a new channel: the old one fails at once for as long as gRPC waits to reconnect, so
an endpoint that is back would look dead."""

_CANCELLED: Final = Outcome(verdict=Verdict.CANCELLED, code="cancelled", answered=False)


class _Channel:
    """A channel, how many requests are on it, and whether it is to be closed after the last of them."""

    __slots__ = ("channel", "requests", "retired")

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.requests = 0
        self.retired = False


class GrpcTransport:
    """A way to one endpoint by OTLP/gRPC.

    Args:
        target: `host:port`.
        headers: sent with every request; names in lower case.
        tls: None for a connection without TLS.
        compression: of the requests.
    """

    def __init__(
        self,
        target: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        tls: Tls | None = None,
        compression: Compression = "none",
    ) -> None:
        self._target = target
        self._headers = dict(headers)
        self._tls = tls
        self._compression = grpc.Compression.Gzip if compression == "gzip" else None
        self._of_parents: list[Any] = []
        self._current: _Channel | None = None
        self._lock = threading.Lock()
        run_in_child_after_fork(self._forget_channel)

    def _forget_channel(self) -> None:
        # Kept, not closed: closing talks to threads that do not exist in this process.
        self._of_parents.append(self._current)
        self._current = None
        self._lock = threading.Lock()

    def send(
        self,
        signal: Signal,
        body: bytes,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        timeout: float,
        cancellation: Cancellation,
    ) -> Outcome:
        """See `Transport.send`."""
        try:
            used = self._take_channel()
        except OSError as error:  # a certificate file that is gone
            return Outcome(
                verdict=Verdict.ENDPOINT_FAULT, code="connection", message=type(error).__name__, answered=False
            )
        outcome = _CANCELLED
        try:
            future = used.channel.unary_unary(METHODS[signal]).future(
                body,
                timeout=timeout,
                metadata=tuple({**self._headers, **headers}.items()),
                compression=self._compression,
            )
            outcome = _wait(future, cancellation)
        finally:
            self._give_back(used, broken=outcome.code in _BROKEN)
        return outcome

    def _take_channel(self) -> _Channel:
        with self._lock:
            if self._current is None:
                self._current = _Channel(self._new_channel())
            self._current.requests += 1
            return self._current

    def _give_back(self, used: _Channel, *, broken: bool) -> None:
        with self._lock:
            used.requests -= 1
            if broken:
                self._retire(used)
            unused = used.retired and used.requests == 0
        if unused:
            used.channel.close()

    def _retire(self, channel: _Channel) -> None:
        channel.retired = True
        if self._current is channel:
            self._current = None

    def _new_channel(self) -> grpc.Channel:
        if self._tls is None:
            return grpc.insecure_channel(self._target, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self._tls.read("ca_file"),
            private_key=self._tls.read("key_file"),
            certificate_chain=self._tls.read("certificate_file"),
        )
        return grpc.secure_channel(self._target, credentials, options=_OPTIONS)

    def close(self) -> None:
        """Closes the channel, after the last request that is under way; the next request opens another."""
        with self._lock:
            current = self._current
            if current is None:
                return
            self._retire(current)
            unused = current.requests == 0
        if unused:
            current.channel.close()


def _wait(future: Any, cancellation: Cancellation) -> Outcome:
    with cancellation.interrupting(future.cancel):
        try:
            return judge_answer(future.result(), "OK")
        except grpc.FutureCancelledError:
            return _CANCELLED
        except grpc.RpcError as error:
            return _CANCELLED if cancellation.cancelled else _judge(error)


def _judge(error: Any) -> Outcome:
    code: str = error.code().name
    details = error.details() or ""
    seconds = retry_after.of_metadata(error.trailing_metadata())
    verdict = codes.GRPC.get(code, Verdict.ENDPOINT_FAULT)
    reason = codes.INVALID if verdict is Verdict.DATA_FAULT else ""
    if code in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE"):
        if any(text in details for text in codes.GRPC_TOO_LARGE):
            verdict, reason = Verdict.DATA_FAULT, codes.TOO_LARGE
        elif seconds is not None:
            verdict = Verdict.RETRYABLE
    return Outcome(
        verdict=verdict,
        code=code,
        reason=reason,
        message=shortened(details),
        retry_after=seconds,
        # gRPC itself makes these up when there is no connection, or no answer in time.
        answered=code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"),
    )
