"""One HTTP connection with a thread of its own, so that whoever sends waits no longer than it wants to.

A socket's timeout is per read: an answer that comes a byte at a time never exceeds it. Looking a name up has no timeout
at all, and connecting has one for each address. So the thread does the talking, the sender waits for it, and when time
is up it takes the connection away.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection

from otelwarden.core import suppress_instrumentation_in_this_thread

_DISCARD: Final = struct.pack("ii", 1, 0)  # linger, for 0 seconds

MAX_ANSWER: Final = 4 << 20
"""Bytes; an answer larger than this is none of OTLP's."""


class ConnectionFailed(Exception):
    """Raised when a request got no complete answer; the text says what went wrong."""


@dataclass(slots=True)
class Answer:
    """What the endpoint said."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(slots=True)
class Request:
    """A request on its way, and what became of it."""

    path: str
    headers: dict[str, str]
    body: bytes
    timeout: float
    """Seconds for each step; the sum is watched by the sender."""
    done: threading.Event = field(default_factory=threading.Event)
    sent: bool = False
    """Whether anything of it may have left."""
    answer: Answer | None = None
    error: BaseException | None = None


class Connection:
    """A connection to one host, used by one request at a time.

    Args:
        context: None for a connection without TLS.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        if context is None:
            self._http = HTTPConnection(host, port)
        else:
            self._http = HTTPSConnection(host, port, ssl_context=context)
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._abandoned = False
        threading.Thread(target=self._work, name="otelwarden-otlp-http", daemon=True).start()

    def start(self, request: Request) -> None:
        """Starts an exchange; `request.done` is set at its end."""
        self._requests.put(request)

    def abandon(self) -> None:
        """Cuts the connection, whatever is under way; it cannot be used again."""
        self._abandoned = True
        sock = self._http.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # What has not left is thrown away when the thread closes: else the system would go on delivering it to
                # a frozen endpoint, which would take, when it thaws, what another has by then.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
                # Not close(): only a shutdown wakes the thread that reads.
                sock.shutdown(socket.SHUT_RDWR)
        self._requests.put(None)

    def close(self) -> None:
        """Ends the connection when the exchange under way, if any, has ended."""
        self._requests.put(None)

    def _work(self) -> None:
        suppress_instrumentation_in_this_thread()
        while (request := self._requests.get()) is not None:
            try:
                request.answer = self._exchange(request)
            except Exception as error:
                self._http.close()
                request.error = error
            request.done.set()
        self._http.close()

    def _exchange(self, request: Request) -> Answer:
        if self._http.sock is not None and not self._http.is_connected:
            self._http.close()  # the other side hung up while we were idle
        self._http.timeout = request.timeout
        if self._http.sock is None:
            self._http.connect()
        if self._abandoned:
            raise ConnectionFailed("abandoned")
        self._http.sock.settimeout(request.timeout)
        request.sent = True
        self._http.request("POST", request.path, request.body, request.headers, preload_content=False)
        response = self._http.getresponse()
        try:
            body = response.read(MAX_ANSWER + 1)
        finally:
            response.close()
        if len(body) > MAX_ANSWER:
            raise ConnectionFailed("answer too large")
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)
