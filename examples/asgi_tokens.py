"""An ASGI application under uvicorn in which the caller's verified token says whose all telemetry of a request is.

Any framework does: what is wrapped is its application.
"""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import Counter

import jwt
import requests
import uvicorn
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from otelwarden.pipeline import configure
from otelwarden.tenancy import TenantASGIMiddleware
from otelwarden.testing import FaultyReceiver

SECRET = os.environ.setdefault("TOKEN_SECRET", "a secret of thirty-two characters or more")
TOKEN = {"algorithms": ["HS256"], "issuer": "https://login.example", "audience": "shop", "secret_env": "TOKEN_SECRET"}


async def work(name: str) -> None:
    """Something that a request has to do; knows nothing of tenants."""
    with trace.get_tracer("example").start_as_current_span(name):
        await asyncio.sleep(0.002)


async def app(scope, receive, send) -> None:
    """The smallest application there is."""
    task = asyncio.create_task(work("mail"))
    await work("order")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
    await task


def token_of(tenant: str) -> str:
    """What the issuer would give to a user."""
    claims = {"iss": TOKEN["issuer"], "aud": "shop", "exp": int(time.time()) + 60, "tenant": tenant}
    return jwt.encode(claims, SECRET, "HS256")


def main() -> None:
    """Serves two callers."""
    with contextlib.ExitStack() as stack:
        endpoint, receiver = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"), None
        if endpoint is None:
            receiver = stack.enter_context(FaultyReceiver())
            endpoint = receiver.grpc_endpoint
        warden = configure(
            {
                "processors": {"tenancy": {"sources": ["token"], "token": TOKEN, "unknown": "pass"}},
                "exporters": {"failover": {"endpoints": [{"url": endpoint}]}},
                "service": {"pipelines": {"traces": {"processors": ["tenancy"], "exporters": ["failover"]}}},
            }
        )
        governed = TenantASGIMiddleware(OpenTelemetryMiddleware(app, exclude_spans=["send", "receive"]))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = uvicorn.Server(uvicorn.Config(governed, log_level="warning", lifespan="off"))
        (thread := threading.Thread(target=server.run, args=([listener],))).start()
        for tenant in ("acme", "globex"):
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            requests.get(address, headers={"Authorization": f"Bearer {token_of(tenant)}"}, timeout=10)
        server.should_exit = True
        thread.join()
        warden.shutdown()
        if receiver is not None:
            counts = Counter(span.attributes["tenant.id"] for span in receiver.spans())
            print("\n".join(f"{tenant}: {count} spans" for tenant, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
