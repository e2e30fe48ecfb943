"""Two services that talk over HTTP: the second sees and obeys what the first decided."""

from __future__ import annotations

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otelwarden.core import probability_of, total

PROPAGATOR = TraceContextTextMapPropagator()


@pytest.fixture
def service(pipeline):
    """A service of its own pipeline, with far less than is asked of it, and its address."""
    run = pipeline(1.0, 1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            context = PROPAGATOR.extract(dict(self.headers.items()), Context(), getter=_Getter())
            with run.tracer.start_as_current_span("server", context=context):
                run.tracer.start_span("query").end()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format, *args):
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield run, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


class _Getter:
    """Header names are of any case."""

    def get(self, carrier, key):
        return [value for name, value in carrier.items() if name.lower() == key] or None

    def keys(self, carrier):
        return list(carrier)


def test_flags_and_trace_state_of_the_first_are_obeyed_by_the_second(pipeline, service):
    first, (second, url) = pipeline(20.0), service
    requests = 120
    for _ in range(requests):
        first.clock.advance(0.001)
        headers: dict[str, str] = {}
        with first.tracer.start_as_current_span("client"):
            PROPAGATOR.inject(headers)
            urllib.request.urlopen(urllib.request.Request(url, headers=headers)).close()
    clients = {span.context.trace_id: probability_of(span.context.trace_state) for span in first.sink.ended}
    servers = {span.context.trace_id: probability_of(span.context.trace_state) for span in second.sink.ended}
    assert 0 < len(clients) < requests
    assert min(clients.values()) < 1.0
    assert servers == clients
    assert len(second.sink.ended) == 2 * len(clients)  # whole, although far over the limit of the second
    assert total(second.runtime.balances(), "sampler").dropped == {"not_sampled": 2 * (requests - len(clients))}
