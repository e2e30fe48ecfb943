"""A small witness over HTTP (c2sp.org/tlog-witness), for tests and small sites; put TLS in front of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from otelwarden.audit.witness_ledger import Answer, WitnessLedger
from otelwarden.audit.witness_protocol import MAX_REQUEST, PATH

_TIMEOUT: Final = 10.0  # seconds that a client may take for its request


class WitnessServer:
    """Serves a ledger on a socket, from threads of its own.

    Args:
        address: host and port; port 0 takes a free one.

    Raises:
        OSError: the address cannot be used.
    """

    def __init__(self, ledger: WitnessLedger, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        handler = type("Handler", (_Handler,), {"ledger": ledger})
        self._server = ThreadingHTTPServer(address, handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="otelwarden-witness", daemon=True)

    @property
    def url(self) -> str:
        """The prefix that clients are given."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Begins to serve, and returns."""
        self._thread.start()

    def wait(self) -> None:
        """Returns when the server has ended."""
        self._thread.join()

    def stop(self) -> None:
        """Ends it; requests at hand are finished by their own threads."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    ledger: WitnessLedger
    server_version = "otelwarden-witness"
    sys_version = ""
    timeout = _TIMEOUT

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self._answer(Answer(404, b"only add-checkpoint is here\n"))
        elif not length.isdigit() or int(length) > MAX_REQUEST:
            self._answer(Answer(413, b"%d bytes at most, and how many must be said\n" % MAX_REQUEST))
        else:
            self._answer(self.ledger.add(self.rfile.read(int(length))))

    def do_GET(self) -> None:
        self._answer(Answer(405, b"POST, to add-checkpoint\n"))

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a request is no news."""
