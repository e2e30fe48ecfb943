"""The spool: how fast it is replayed into a real receiver, what it keeps, and what it takes.

replay      what a dead process left into a `rotel` agent that keeps nothing, by the exporter's own way, beside the
            same bytes sent from memory by as many threads through the same transport
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from _rotel import Agent, rotel
from harness import Headline, parser, report
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import Runtime
from otelwarden.failover import Endpoint, FailoverConfig, SpoolConfig, drain
from otelwarden.failover.spool import Spool
from otelwarden.otlp import Cancellation, Verdict, encode_spans

BATCH = 512
ATTRIBUTES = {f"attribute.{number}": "a value of some length" for number in range(12)}
Protocol = Literal["grpc", "http/protobuf"]


def batch() -> bytes:
    """A batch of spans, encoded: 0.3 MB."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for _ in range(BATCH):
        provider.get_tracer("benchmark").start_span("work", attributes=ATTRIBUTES).end()
    return encode_spans(memory.get_finished_spans()).body


def measured(agent: Agent, megabytes: float, work: Callable[[], None]) -> dict[str, Any]:
    """Runs it; MB/s, and milliseconds of CPU for a MB on both sides."""
    cpu, theirs, start = time.process_time(), agent.cpu_seconds(), time.monotonic()
    work()
    seconds = time.monotonic() - start
    return {
        "MB/s": megabytes / seconds,
        "cpu_ms_per_MB": 1e3 * (time.process_time() - cpu) / megabytes,
        "rotel_cpu_ms_per_MB": 1e3 * (agent.cpu_seconds() - theirs) / megabytes,
    }


def replay(protocol: Protocol, megabytes: int, in_flight: int) -> list[dict[str, Any]]:
    body = batch()
    count = megabytes * 1_000_000 // len(body)
    rows = []
    with rotel() as agent, tempfile.TemporaryDirectory(prefix="otelwarden-spool-") as path:
        url = agent.grpc_endpoint if protocol == "grpc" else agent.http_endpoint
        endpoint = Endpoint(url=url, protocol=protocol)
        config = FailoverConfig(endpoints=(endpoint,), spool=SpoolConfig(path=path, max_in_flight=in_flight))
        assert config.spool is not None
        spool = Spool(config.spool, "traces", runtime=Runtime(), on_takeover=lambda _: None)
        for _ in range(count):
            assert spool.append(body, {"default": BATCH}).record is not None
        spool.close()

        def by_spool() -> None:
            done = drain(config, timeout=120)["traces"]
            assert done.forwarded == count * BATCH, done

        rows.append(
            {"replay": protocol, "in_flight": in_flight, "from": "spool", **measured(agent, megabytes, by_spool)}
        )
        by_hand = from_memory(endpoint, body, count, in_flight)
        rows.append(
            {"replay": protocol, "in_flight": in_flight, "from": "memory", **measured(agent, megabytes, by_hand)}
        )
    return rows


def from_memory(endpoint: Endpoint, body: bytes, count: int, in_flight: int) -> Callable[[], None]:
    """Sends the same as a replay, without a spool, queue or pool: what transport and receiver can do."""

    def work() -> None:
        transport = endpoint.open()
        left = iter(range(count))
        lock = threading.Lock()

        def send() -> None:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                outcome = transport.send("traces", body, timeout=30, cancellation=Cancellation())
                assert outcome.verdict is Verdict.DELIVERED, outcome

        threads = [threading.Thread(target=send) for _ in range(in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport.close()

    return work


def main() -> None:
    options = parser(__doc__)
    arguments = options.parse_args()
    megabytes = 100 if arguments.short else 256
    rows: list[dict[str, Any]] = []
    headline: list[Headline] = []
    for protocol in ("http/protobuf", "grpc"):
        for in_flight in (4, 8):
            rows += replay(protocol, megabytes, in_flight)  # type: ignore[arg-type]
    report("failover_spool", headline, rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
