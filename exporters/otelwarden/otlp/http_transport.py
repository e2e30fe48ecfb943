"""OTLP over HTTP with protobuf bodies."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as TimeoutOfUrllib3

from otelwarden.core import Signal, run_in_child_after_fork
from otelwarden.otlp import codes, retry_after
from otelwarden.otlp.answers import judge_answer
from otelwarden.otlp.cancellation import Cancellation
from otelwarden.otlp.exchange import Answer, Connection, Request
from otelwarden.otlp.outcome import Outcome, Verdict, shortened
from otelwarden.otlp.tls import Tls
from otelwarden.otlp.transport import NO_HEADERS, Compression
from otelwarden.otlp.user_agent import USER_AGENT

_HEADERS: Final = {"content-type": "application/x-protobuf", "user-agent": USER_AGENT}
_CANCELLED: Final = Outcome(verdict=Verdict.CANCELLED, code="cancelled", answered=False)
_TIMEOUT: Final = Outcome(verdict=Verdict.RETRYABLE, code="timeout", answered=False)
GZIP_LEVEL: Final = 1
"""Level 1 takes an eighth of the time of level 9, which the SDK's exporter uses, for 14 % more bytes."""


def compressed(body: bytes) -> bytes:
    """The body as gzip."""
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()


class HttpTransport:
    """A way to one endpoint by OTLP/HTTP. Redirects are not followed; proxies of the environment are not used.

    Args:
        urls: the full URL for each signal that is sent, `http` or `https`.
        headers: sent with every request; names in lower case.
        tls: used for `https`.
        compression: of the requests.
    """

    def __init__(
        self,
        urls: Mapping[Signal, str],
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        tls: Tls | None = None,
        compression: Compression = "none",
    ) -> None:
        self._urls = {signal: urlsplit(url) for signal, url in urls.items()}
        self._headers = {**_HEADERS, **headers}
        self._tls = tls or Tls()
        self._gzip = compression == "gzip"
        if self._gzip:
            self._headers["content-encoding"] = "gzip"
        self._forget_connections()
        run_in_child_after_fork(self._forget_connections)

    def _forget_connections(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[str, list[Connection]] = {}

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
        url = self._urls[signal]
        request = Request(
            path=(url.path or "/") + (f"?{url.query}" if url.query else ""),
            headers={**self._headers, **headers},
            body=compressed(body) if self._gzip else body,
            timeout=timeout,
        )
        origin = f"{url.scheme}://{url.netloc}"
        try:
            connection = self._take(origin)
        except (OSError, ValueError, RuntimeError) as error:
            # The certificate files are gone, or no thread can be started.
            return _no_answer(error, Verdict.ENDPOINT_FAULT)
        connection.start(request)
        with cancellation.interrupting(request.done.set):
            request.done.wait(timeout)
        if request.answer is not None:
            self._give_back(origin, connection)
            return _judge(request.answer)
        failure = request.error  # before we cut the connection, which is an error of our own making
        connection.abandon()
        if cancellation.cancelled:
            outcome = _CANCELLED
        elif failure is None or _timed_out(failure):
            outcome = _TIMEOUT
        else:
            outcome = _no_answer(failure, Verdict.RETRYABLE)
        return replace(outcome, unconfirmed=request.sent)

    def _take(self, origin: str) -> Connection:
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            if idle:
                return idle.pop()
        url = urlsplit(origin)
        secure = url.scheme == "https"
        context = self._tls.context() if secure else None
        return Connection(url.hostname or "", url.port or (443 if secure else 80), context)

    def _give_back(self, origin: str, connection: Connection) -> None:
        with self._lock:
            self._idle.setdefault(origin, []).append(connection)

    def close(self) -> None:
        """Closes idle connections; the next request opens another."""
        with self._lock:
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()


def _timed_out(error: BaseException) -> bool:
    # urllib3 derives its error for a refused connection from the one for a connection that timed out.
    return isinstance(error, (TimeoutError, TimeoutOfUrllib3)) and not isinstance(error, NewConnectionError)


def _no_answer(error: BaseException, verdict: Verdict) -> Outcome:
    return Outcome(verdict=verdict, code="connection", message=shortened(str(error)), answered=False)


def _judge(answer: Answer) -> Outcome:
    code = str(answer.status)
    verdict = codes.HTTP.get(answer.status, Verdict.ENDPOINT_FAULT)
    if verdict is Verdict.DELIVERED:
        return judge_answer(answer.body, code, is_json="json" in answer.headers.get("content-type", ""))
    return Outcome(
        verdict=verdict,
        code=code,
        reason=codes.HTTP_REASONS.get(answer.status, ""),
        retry_after=retry_after.of_header(answer.headers.get("retry-after")),
    )
