"""A small web shop that leaks personal data into its telemetry wherever applications really do.

It is written the way such code is found: SQL put together from strings, whole bodies in span attributes, card numbers
in exception messages, e-mail addresses as metric attributes. None of that is repaired here. What leaves the process
is clean because of `otelwarden.yaml`.

By hand: `python examples/shop/shop.py --port 8000`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import flask
import requests
from opentelemetry import metrics, trace
from service import TENANT_HEADER, serve

app = flask.Flask("shop")
log = logging.getLogger("shop")
tracer = trace.get_tracer("shop")
meter = metrics.get_meter("shop")
orders_placed = meter.create_counter("shop.orders", unit="{order}", description="Orders placed")
order_value = meter.create_histogram("shop.order.value", unit="EUR", description="Value of the orders placed")

PAYMENTS = os.environ.get("PAYMENTS_URL", "http://127.0.0.1:8001")
DATABASE = Path(os.environ.get("SHOP_DATA") or tempfile.mkdtemp(prefix="otelwarden-shop-")) / "shop.db"


class PaymentDeclinedError(Exception):
    """A card was not charged. Its message says which, and everyone who logs it does, too."""


def query(statement: str) -> list[tuple[Any, ...]]:
    """The answer of the database to a statement; the official instrumentation makes a span with its text of it."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level=None)) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall()


def create_tables() -> None:
    """An empty database."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE customers (email TEXT PRIMARY KEY, phone TEXT)")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, email TEXT, card TEXT, cents INTEGER)")


@app.before_request
def name_the_user() -> None:
    """Says on the span who is there: the most useful attribute, and the one that must not leave."""
    span = trace.get_current_span()
    if email := flask.request.headers.get("X-User-Email"):
        span.set_attribute("user.email", email)
    if customer := flask.request.headers.get("X-Customer"):
        span.set_attribute("enduser.id", customer)


@app.after_request
def write_access_log(response: flask.Response) -> flask.Response:
    """An access log with full paths, query strings included; the caller is told the trace, for support."""
    request = flask.request
    if not request.path.startswith("/governance/"):
        log.info('%s "%s %s" %d', request.remote_addr, request.method, request.full_path, response.status_code)
        response.headers["X-Trace-Id"] = trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)
    return response


@app.post("/login")
def login() -> dict[str, str]:
    """Logs a customer in."""
    body = flask.request.get_json()
    query(f"INSERT OR REPLACE INTO customers VALUES ('{body['email']}', '{body['phone']}')")
    log.info(
        "login of %s, call back at %s",
        body["email"],
        body["phone"],
        extra={"session_token": body["token"], "form": body},
    )
    return {"state": "welcome"}


@app.get("/search")
def search() -> dict[str, Any]:
    """Finds customers by their e-mail address, given in the query string."""
    wanted = flask.request.args["q"]
    found = query(f"SELECT email FROM customers WHERE email LIKE '{wanted}%' LIMIT 5")
    log.info("search %s", {"q": wanted, "hits": len(found)})
    return {"found": len(found)}


@app.get("/orders")
def list_orders() -> dict[str, Any]:
    """A customer's orders; the session token is in the query string."""
    email = flask.request.args["email"]
    found = query(f"SELECT id FROM orders WHERE email = '{email}' ORDER BY id DESC LIMIT 10")
    return {"orders": [row[0] for row in found]}


@app.get("/orders/<int:number>")
def show_order(number: int) -> tuple[dict[str, Any], int]:
    """One order."""
    found = query(f"SELECT cents FROM orders WHERE id = {number}")
    if not found:
        log.warning("order %d of %s not found", number, flask.request.headers.get("X-User-Email"))
        return {"error": "not found"}, 404
    return {"cents": found[0][0]}, 200


@app.post("/checkout")
def checkout() -> dict[str, Any]:
    """Places an order: a body with a card, SQL with the card, a call with the card, an exception with the card."""
    body = flask.request.get_json()
    email, card, cents = body["email"], body["card"], body["cents"]
    with tracer.start_as_current_span("place order") as span:
        span.set_attribute("http.request.body", flask.request.get_data(as_text=True))
        query(f"INSERT INTO orders (email, card, cents) VALUES ('{email}', '{card}', {cents})")
        answer = requests.post(
            f"{PAYMENTS}/charge",
            params={"card": card, "email": email},
            headers={TENANT_HEADER: flask.request.headers.get(TENANT_HEADER, "")},
            timeout=10,
        )
        if answer.status_code != 200:
            raise PaymentDeclinedError(f"card {card} of {email} was declined by {answer.url}")
        span.add_event("paid", {"receipt": f"sent to {email}"})
    store = flask.request.headers.get("X-Store", "")
    orders_placed.add(1, {"store.id": store, "user.email": email, "payment.method": "card"})
    order_value.record(cents / 100, {"store.id": store, "enduser.id": flask.request.headers.get("X-Customer", "")})
    return {"state": "placed"}


if __name__ == "__main__":
    create_tables()
    serve(app, default_port=8000)
