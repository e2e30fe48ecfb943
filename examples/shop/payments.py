"""The payment service: takes a charge from the shop and declines one card in eight.

By hand: `python examples/shop/payments.py --port 8001`.
"""

from __future__ import annotations

import logging

import flask
from opentelemetry import trace
from service import serve

app = flask.Flask("payments")
log = logging.getLogger("payments")


@app.post("/charge")
def charge() -> tuple[dict[str, str], int]:
    """Charges a card. What it is given it writes down everywhere, as payment services should not."""
    card = flask.request.args["card"]
    email = flask.request.args["email"]
    trace.get_current_span().set_attribute("payment.card", card)
    digits = "".join(filter(str.isdigit, card))
    if int(digits[6:9]) % 8 == 0:
        log.warning("issuer declined %s", card, extra={"customer_email": email})
        return {"state": "declined", "card": card}, 402
    log.info("charged %s for %s", card, email)
    return {"state": "charged"}, 200


if __name__ == "__main__":
    serve(app, default_port=8001)
