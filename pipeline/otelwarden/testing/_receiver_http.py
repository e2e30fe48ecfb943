"""The HTTP/protobuf side of a receiver."""

from __future__ import annotations

import math
import socket
import sys
import threading
import time
import zlib
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.rpc import status_pb2

from otelwarden.testing._intake import Intake, answer_body, cut_connections
from otelwarden.testing.faults import STATUS, Fault, FaultMode

if TYPE_CHECKING:
    from otelwarden.core.events import Signal

_PATHS: Final[dict[str, Signal]] = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
_PROTOBUF: Final = "application/x-protobuf"


class HttpServer:
    """An OTLP/HTTP server on a fixed loopback port that can be opened again after it was closed."""

    def __init__(self, intake: Intake, port: int) -> None:
        self._intake = intake
        self._port = port
        self._server: _Server | None = None

    def open(self) -> None:
        """Listens; raises OSError when the port is taken."""
        server = _Server(("127.0.0.1", self._port), self._intake)
        threading.Thread(target=server.serve_forever, args=(0.02,), name="receiver-http", daemon=True).start()
        self._server = server

    def close(self) -> None:
        """Stops listening and cuts the open connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            cut_connections(self._port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], intake: Intake) -> None:
        self.intake = intake
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer looks its own name up here, which may ask a name server.
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that go away, which are what this server is for; all else goes to stderr."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        signal = _PATHS.get(self.path)
        if signal is None:
            self._refuse(404, f"no such path; allowed: {', '.join(_PATHS)}")
        elif self.headers.get_content_type() != _PROTOBUF:
            self._refuse(415, f"allowed: {_PROTOBUF}")
        elif "Content-Length" not in self.headers:
            self._refuse(411, "only requests of a stated length are understood")
        else:
            self._take(signal)

    def _take(self, signal: Signal) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client went away")  # ends the connection; nothing is recorded
        if self.headers.get("Content-Encoding", "identity") != "identity":
            try:
                body = zlib.decompress(body, wbits=47)  # gzip or zlib, whichever it is
            except zlib.error as error:
                return self._refuse(400, str(error))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self._answer(self.server.intake.receive(signal, "http", headers, body))

    def _answer(self, fault: Fault | None) -> None:
        mode = fault and fault.mode
        if fault is not None and mode in STATUS:
            self._answer_error(fault)
        elif mode is FaultMode.CLOSE:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif mode is FaultMode.HANG:
            self.connection.recv(1)  # returns when the client has gone
            self.close_connection = True
        elif fault is not None and mode is FaultMode.SLOW_BODY:
            self._send(200, answer_body(fault), seconds_per_byte=fault.delay)
        else:
            if fault is not None and mode is FaultMode.SLOW:
                time.sleep(fault.delay)
            self._send(200, answer_body(fault))

    def _answer_error(self, fault: Fault) -> None:
        name, status = STATUS[fault.mode]
        message = status_pb2.Status(code=grpc.StatusCode[name].value[0], message=f"fault: {fault.mode.value}")
        headers = {"Location": "/elsewhere"} if fault.mode is FaultMode.REDIRECT else {}
        if fault.retry_after is not None:
            seconds = math.ceil(fault.retry_after)
            date = formatdate(math.ceil(time.time() + fault.retry_after), usegmt=True)
            headers["Retry-After"] = date if fault.retry_date else str(seconds)
        self._send(status, message.SerializeToString(), headers)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, seconds_per_byte: float = 0.0
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": _PROTOBUF, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if not seconds_per_byte:
            self.wfile.write(body)
            return
        for index in range(len(body)):
            self.wfile.flush()
            time.sleep(seconds_per_byte)
            self.wfile.write(body[index : index + 1])

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body was perhaps not read
        self._send(status, message.encode(), {"Content-Type": "text/plain", "Connection": "close"})

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: what was received is in the journal."""
