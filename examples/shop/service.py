"""What the shop's two services have in common: one call that puts a Flask application under governance and serves it.

Nothing here is special to the demo. It is what any Flask service does: configure from a file, turn on the official
instrumentations, and say whose work each request is.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import threading
from pathlib import Path
from typing import Any

import flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from werkzeug.serving import make_server

from otelwarden.pipeline import Warden, configure
from otelwarden.tenancy import TenantWSGIMiddleware, trusted_header

TENANT_HEADER = "X-Tenant"


def govern(app: flask.Flask, config: str | Path) -> Warden:
    """Puts the application's telemetry under the configuration in a file."""
    # Everything a careless operator captures: all headers of requests, credentials included.
    os.environ.setdefault("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    warden = configure(config)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the shop writes an access log of its own

    RequestsInstrumentor().instrument()
    SQLite3Instrumentor().instrument()
    FlaskInstrumentor().instrument_app(app, excluded_urls="/governance/")
    # Around the instrumentation, not in a `before_request` hook: Flask's hooks run when the instrumentation has already
    # started the server span and counted the request, and both would belong to nobody. A real service reads a verified
    # token here, which is the default; the shop's callers are trusted.
    middleware = TenantWSGIMiddleware(app.wsgi_app, identify=trusted_header(TENANT_HEADER))
    app.wsgi_app = middleware  # type: ignore[method-assign]
    return warden


def add_governance_routes(app: flask.Flask, warden: Warden) -> None:
    """Lets an operator, here the demo, see what the pipelines do, and end them in order."""
    changes: list[dict[str, Any]] = []
    warden.runtime.observe(
        lambda event: changes.append(event._asdict()) if event.component == "failover" and event.target else None
    )

    def snapshot() -> dict[str, Any]:
        stats = warden.stats()
        return {
            "balances": [dataclasses.asdict(balance) for balance in stats.balances],
            "decisions": [{**made._asdict(), "count": count} for made, count in stats.decisions.items()],
            "endpoints": [_plain(endpoint) for endpoint in stats.endpoints],
            "errors": stats.errors,
            "unaccounted": stats.unaccounted,
            "changes": list(changes),
        }

    @app.get("/governance/stats")
    def show() -> dict[str, Any]:
        return snapshot()

    @app.post("/governance/shutdown")
    def shutdown() -> dict[str, Any]:
        warden.shutdown(timeout=15.0)
        return snapshot()


def _plain(value: Any) -> dict[str, Any]:
    fields = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else dict(value)  # type: ignore[arg-type]
    return {name: getattr(each, "value", each) for name, each in fields.items()}


def serve(app: flask.Flask, *, default_port: int) -> None:
    """Runs the application under governance until the process is ended.

    Werkzeug's own server keeps the example small. Behind gunicorn everything is the same, process by process.
    """
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=f"the {app.name} service under governance")
    parser.add_argument("--port", type=int, default=default_port, help="0 for any; the port is printed")
    parser.add_argument("--config", default=here / "otelwarden.yaml", help="the otelwarden file")
    options = parser.parse_args()

    warden = govern(app, options.config)
    add_governance_routes(app, warden)
    server = make_server("127.0.0.1", options.port, app, threaded=True)
    print(f"{app.name} on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        threading.Thread(target=server.server_close, daemon=True).start()
        warden.shutdown()
