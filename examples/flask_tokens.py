"""A Flask application in which the caller's verified token says whose all telemetry of a request is.

The middleware stands around the official instrumentation, so that the server span belongs to the caller too. The token
is verified once and goes into no telemetry; a forged one charges nobody.
"""

import contextlib
import os
import threading
import time
from collections import Counter

import flask
import jwt
import requests
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from werkzeug.serving import make_server

from otelwarden.pipeline import configure
from otelwarden.tenancy import TenantWSGIMiddleware
from otelwarden.testing import FaultyReceiver

# A service has the public key of its issuer in a file (`jwks_file`) and no secret at all.
SECRET = os.environ.setdefault("TOKEN_SECRET", "a secret of thirty-two characters or more")
TOKEN = {"algorithms": ["HS256"], "issuer": "https://login.example", "audience": "shop", "secret_env": "TOKEN_SECRET"}

app = flask.Flask("shop")


@app.get("/orders")
def orders() -> flask.Response:
    """Answers bit by bit; each bit is the caller's, too."""

    def lines():
        for number in range(3):
            with trace.get_tracer("example").start_as_current_span("order"):
                yield f"order {number}\n"

    return flask.Response(flask.stream_with_context(lines()))


def token_of(tenant: str, secret: str = SECRET) -> str:
    """What the issuer would give to a user."""
    claims = {"iss": TOKEN["issuer"], "aud": "shop", "exp": int(time.time()) + 60, "tenant": tenant}
    return jwt.encode(claims, secret, "HS256")


def main() -> None:
    """Serves four requests, and shows whose their spans are."""
    with contextlib.ExitStack() as stack:
        endpoint, receiver = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"), None
        if endpoint is None:
            receiver = stack.enter_context(FaultyReceiver())
            endpoint = receiver.grpc_endpoint
        warden = configure(
            {
                "processors": {"tenancy": {"sources": ["token"], "token": TOKEN, "unknown": "quarantine"}},
                "exporters": {"failover": {"endpoints": [{"url": endpoint}]}},
                "service": {"pipelines": {"traces": {"processors": ["tenancy"], "exporters": ["failover"]}}},
            }
        )
        warden.tenants.create("acme", "Acme Inc.")
        FlaskInstrumentor().instrument_app(app)
        app.wsgi_app = TenantWSGIMiddleware(app.wsgi_app)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for token in (token_of("acme"), token_of("acme"), token_of("acme", "x" * 32), None):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            requests.get(f"http://127.0.0.1:{server.server_port}/orders", headers=headers, timeout=10)
        server.shutdown()
        warden.shutdown()
        if receiver is not None:
            counts = Counter(span.attributes["tenant.id"] for span in receiver.spans())
            print("\n".join(f"{tenant}: {count} spans" for tenant, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
