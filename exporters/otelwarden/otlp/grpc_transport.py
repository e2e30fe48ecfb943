"""OTLP over gRPC: raw bytes through a channel of our own."""

# grpc has no annotations.
# mypy: disable-error-code="no-untyped-call,no-any-return"

from __future__ import annotations

import contextlib
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
    # For the time that gRPC then gives a connection on which nothing is acknowledged (TCP_USER_TIMEOUT). The pings, of
    # which servers allow one in five minutes, come too late to matter.
    ("grpc.keepalive_time_ms", 600_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
_GRACE: Final = 0.02
"""Seconds after its deadline that a request may take to end.

One whose bytes a frozen endpoint does not read never ends, for gRPC waits with it until they are written.
"""

_BROKEN: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""After these the next request gets a new channel: the old one fails at once for as long as gRPC waits to reconnect, so
an endpoint that is back would look dead."""

_CONNECTION_LOST: Final = ("Stream removed", "Socket closed", "Connection reset", "Broken pipe", "GOAWAY")
"""What gRPC says of a connection that broke under a request; it has no code for it beside UNAVAILABLE."""

_OVERDUE: Final = Outcome(
    verdict=Verdict.RETRYABLE, code="DEADLINE_EXCEEDED", message="overdue", answered=False, unconfirmed=True
)
_CANCELLED: Final = Outcome(verdict=Verdict.CANCELLED, code="cancelled", answered=False, unconfirmed=True)


class _Channel:
    """A channel, how many requests are on it, and whether it is to be closed after the last of them.

    `hangs` says that a request was given up on it: closing it then waits until the connection is given up too.
    """

    __slots__ = ("channel", "hangs", "requests", "retired")

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.requests = 0
        self.retired = self.hangs = False

    def close(self) -> None:
        """Closes it, without waiting for a connection that hangs."""
        if not self.hangs:
            self.channel.close()
            return
        with contextlib.suppress(RuntimeError):  # the interpreter ends, and the connection with it
            threading.Thread(target=self.channel.close, name="otelwarden-otlp-grpc", daemon=True).start()


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
            outcome = _wait(future, cancellation, timeout + _GRACE)
        finally:
            self._give_back(used, outcome)
        return outcome

    def _take_channel(self) -> _Channel:
        with self._lock:
            if self._current is None:
                self._current = _Channel(self._new_channel())
            self._current.requests += 1
            return self._current

    def _give_back(self, used: _Channel, outcome: Outcome) -> None:
        with self._lock:
            used.requests -= 1
            used.hangs = used.hangs or outcome is _OVERDUE or outcome is _CANCELLED
            if outcome.code in _BROKEN:
                self._retire(used)
            unused = used.retired and used.requests == 0
        if unused:
            used.close()

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
            current.close()


def _wait(future: Any, cancellation: Cancellation, timeout: float) -> Outcome:
    with cancellation.interrupting(future.cancel):
        try:
            return judge_answer(future.result(timeout), "OK")
        except grpc.FutureTimeoutError:
            future.cancel()
            return _OVERDUE
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
        unconfirmed=code in ("DEADLINE_EXCEEDED", "CANCELLED")
        or (code == "UNAVAILABLE" and any(text in details for text in _CONNECTION_LOST)),
    )
