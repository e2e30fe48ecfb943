"""Configures all three signals by one file, `configure_by_file.yaml`, and uses OpenTelemetry as ever afterwards.

`configure()` sets the global providers and attaches a handler to the root logger; no other line of an application
has to change, and libraries with official instrumentation are governed, too.
"""

import contextlib
import logging
import os
from pathlib import Path

from opentelemetry import metrics, trace

from otelwarden.pipeline import configure
from otelwarden.tenancy import use_tenant
from otelwarden.testing import FaultyReceiver


def work() -> None:
    """What any application does, personal data in the wrong places included."""
    tracer = trace.get_tracer("example")
    orders = metrics.get_meter("example").create_counter("orders")
    with use_tenant("acme"), tracer.start_as_current_span("order") as span:
        span.set_attribute("db.query.text", "SELECT * FROM customers WHERE email = 'ada@example.org'")
        span.set_attribute("client.card", "4242 4242 4242 4242")
        logging.getLogger("example").warning("could not reach ada@example.org, will try again")
        orders.add(1, {"user.email": "ada@example.org"})


def main() -> None:
    """Works, and shows what arrived."""
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        receiver = None
        if "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment:
            receiver = stack.enter_context(FaultyReceiver())
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.grpc_endpoint

        warden = configure(Path(__file__).with_suffix(".yaml"), environment=environment)
        work()
        warden.shutdown()

        print(f"items that nobody accounts for: {warden.stats().unaccounted}")
        if receiver is None:
            return
        for span in receiver.spans():
            print(f"span    {span.attributes}")
        for record in receiver.log_records():
            print(f"log     {record.body!r} of {record.attributes['tenant.id']}")
        for point in receiver.metrics():
            if point.name == "orders":
                print(f"metric  {point.name} = {point.value} {point.attributes}")
        print(f"the address is among the bytes that arrived: {b'ada@example.org' in receiver.raw_bytes()}")


if __name__ == "__main__":
    main()
