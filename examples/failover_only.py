"""Uses nothing but the exporter: two endpoints in place of one, in an SDK pipeline that stays as it is.

`FailoverSpanExporter` goes where `OTLPSpanExporter` went. It works with the SDK's own batch processor, and a dead
endpoint costs no span: what the first does not take, the second gets at once.
"""

import os
import time

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.failover import FailoverSpanExporter
from otelwarden.testing import FaultyReceiver


def make_provider(endpoints: list[str]) -> tuple[TracerProvider, FailoverSpanExporter]:
    """A tracer provider as anybody has it, but for the exporter. The first endpoint is preferred."""
    exporter = FailoverSpanExporter(endpoints=endpoints)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    return provider, exporter


def make_spans(provider: TracerProvider, count: int) -> None:
    """Spans at an even pace."""
    tracer = provider.get_tracer("example")
    for number in range(count):
        tracer.start_span(f"work {number}").end()
        time.sleep(0.005)


def main() -> None:
    """Kills the first of two endpoints in the middle of the work, and counts."""
    given = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if given is not None:  # more than one, separated by commas, in the order of preference
        provider, exporter = make_provider(given.split(","))
        make_spans(provider, 200)
        provider.shutdown()
    else:
        with FaultyReceiver() as first, FaultyReceiver() as second:
            provider, exporter = make_provider([first.grpc_endpoint, second.grpc_endpoint])
            make_spans(provider, 100)
            first.kill()  # SIGKILL, as the kernel does when memory runs out
            make_spans(provider, 100)
            provider.shutdown()
            # A span may arrive twice, when the first dies after it has stored a batch and before it says so.
            arrived = set(first.span_ids()) | set(second.span_ids())
            print(f"of 200 spans {len(arrived)} arrived, {len(second.span_ids())} of them at the second endpoint")
    for endpoint in exporter.pool.stats():
        print(f"{endpoint.url}: {endpoint.status.value}, took {endpoint.delivered}")


if __name__ == "__main__":
    main()
