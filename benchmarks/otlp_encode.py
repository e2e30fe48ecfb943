"""What encoding costs: batches of the SDK as OTLP bytes, by our encoder and by the public one, in one process.

CPU time of one thread. Every round makes a new batch of values that nobody has seen, encodes it with both, in turns
first, and compares the bytes: a run in which they differ prints no figure. `export_us` is a whole export of spans over
gRPC into a `rotel` agent, with all threads of the process, until the answer; beside it that of the OTLP exporter.

    python benchmarks/otlp_encode.py [--rounds 40] [--short] [--json]
"""

from __future__ import annotations

import gc
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from _rotel import rotel
from harness import Headline, parser, report
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as public_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as public_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as public_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import Runtime
from otelwarden.failover import FailoverSpanExporter
from otelwarden.otlp import Encoded, encode_logs, encode_metrics, encode_spans

BATCH = 512
ROUNDS = 40
RESOURCE = Resource({"service.name": "shop", "service.version": "1.4.2", "host.name": "web-1"})
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def text(random: Random, low: int, high: int) -> str:
    """A text that is unlikely to come twice."""
    return "".join(random.choices(LETTERS, k=random.randint(low, high)))


def request_attributes(random: Random) -> dict[str, Any]:
    """Twelve attributes, 0.4 kB, as an HTTP server's instrumentation sets them."""
    return {
        "http.request.method": random.choice(("GET", "POST", "PUT")),
        "http.response.status_code": random.choice((200, 201, 404, 500)),
        "http.response.body.size": random.randrange(1 << 20),
        "http.route": f"/shops/{{shop}}/{text(random, 4, 10)}",
        "url.path": f"/shops/{text(random, 8, 24)}/orders",
        "url.query": f"q={text(random, 8, 40)}",
        "server.address": f"{text(random, 5, 12)}.shop.example",
        "client.address": f"10.0.{random.randrange(256)}.{random.randrange(256)}",
        "user_agent.original": f"Mozilla/5.0 ({text(random, 30, 60)})",
        "enduser.id": text(random, 12, 12),
        "cache.hit": random.random() < 0.5,
        "cache.age": random.random(),
    }


def spans(random: Random) -> Any:
    """A batch of spans of twelve attributes, as the SDK makes them."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("benchmark", "1.0")
    for _ in range(BATCH // 4):
        with tracer.start_as_current_span("GET /shops/{shop}/orders", attributes=request_attributes(random)):
            for _ in range(3):
                tracer.start_span("SELECT orders", attributes=request_attributes(random)).end()
    return memory.get_finished_spans()


def logs(random: Random) -> Any:
    """A batch of log records of six attributes, as the SDK makes them."""
    memory = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger = provider.get_logger("benchmark")
    for _ in range(BATCH):
        attributes = dict(random.sample(list(request_attributes(random).items()), 6))
        logger.emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body=f"order {text(random, 8, 80)} taken",
            attributes=attributes,
        )
    return memory.get_finished_logs()


def metrics(random: Random) -> Any:
    """A collection of 512 points of three attributes, half of them histograms, as the SDK makes them."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False).get_meter("benchmark", "1.0")
    counter, histogram = meter.create_counter("orders", "1", "taken"), meter.create_histogram("duration", "ms")
    for _ in range(BATCH // 2):
        attributes = {"route": text(random, 8, 30), "tenant.id": text(random, 6, 12), "status": random.randrange(600)}
        counter.add(random.randrange(1 << 16), attributes)
        for _ in range(3):
            histogram.record(random.random() * 1000, attributes)
    return reader.get_metrics_data()


@dataclass
class Measured:
    """What one signal costs."""

    signal: str
    unit: str
    make: Callable[[Random], Any]
    ours: Callable[[Any], Encoded]
    public: Callable[[Any], Any]
    our_times: list[float] = field(default_factory=list)
    public_times: list[float] = field(default_factory=list)
    size: int = 0
    equal: bool = True

    def round(self, random: Random, *, ours_first: bool) -> None:
        """Encodes one new batch with both."""
        batch = self.make(random)
        gc.collect()
        if ours_first:
            our_time, ours = timed(lambda: self.ours(batch).body)
            public_time, public = timed(lambda: self.public(batch).SerializeToString())
        else:
            public_time, public = timed(lambda: self.public(batch).SerializeToString())
            our_time, ours = timed(lambda: self.ours(batch).body)
        self.our_times.append(our_time)
        self.public_times.append(public_time)
        self.size = len(ours)
        self.equal = self.equal and ours == public

    @property
    def speedup(self) -> float | None:
        """How many times our encoder is faster, by the medians; None when the bytes differ."""
        return statistics.median(self.public_times) / statistics.median(self.our_times) if self.equal else None

    @property
    def our_time(self) -> float | None:
        """The median of our encoder, in microseconds for an item; None when the bytes differ."""
        return statistics.median(self.our_times) if self.equal else None

    def row(self) -> dict[str, Any]:
        """All figures, in microseconds for an item."""
        return {
            "signal": self.signal,
            "item": self.unit,
            "bytes": self.size // BATCH,
            "ours min": min(self.our_times),
            "ours median": statistics.median(self.our_times),
            "public min": min(self.public_times),
            "public median": statistics.median(self.public_times),
            "speedup of min": min(self.public_times) / min(self.our_times),
            "bytes equal": str(self.equal),
        }


def timed(encode: Callable[[], bytes]) -> tuple[float, bytes]:
    """Microseconds of CPU for one item, and the bytes."""
    before = time.process_time_ns()
    body = encode()
    return (time.process_time_ns() - before) / BATCH / 1e3, body


def exports(random: Random, rounds: int) -> tuple[float, float]:
    """Median microseconds of CPU for a span from `export` to the answer: ours, and the OTLP exporter's."""
    our_times, their_times = [], []
    with rotel() as agent:
        ours = FailoverSpanExporter([agent.grpc_endpoint], runtime=Runtime())
        plain = OTLPSpanExporter(agent.grpc_endpoint, insecure=True)
        for _ in range(rounds):
            batch = spans(random)
            gc.collect()
            start = time.process_time_ns()
            taken = ours.export(batch) is SpanExportResult.SUCCESS and ours.force_flush()
            between = time.process_time_ns()
            taken = plain.export(batch) is SpanExportResult.SUCCESS and taken
            their_times.append((time.process_time_ns() - between) / BATCH / 1e3)
            our_times.append((between - start) / BATCH / 1e3)
            assert taken
        ours.shutdown()
        plain.shutdown()
    return statistics.median(our_times), statistics.median(their_times)


def main() -> None:
    """Measures the three signals in turns and reports."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="batches of each signal (default: %(default)s)")
    arguments = options.parse_args()
    measured = [
        Measured("traces", "span", spans, encode_spans, public_spans),
        Measured("logs", "record", logs, encode_logs, public_logs),
        Measured("metrics", "point", metrics, encode_metrics, public_metrics),
    ]
    random = Random(secrets.randbits(64))
    for number in range(5 if arguments.short else arguments.rounds):
        for each in measured:
            each.round(random, ours_first=number % 2 == 0)
    peer = "the public encoder with SerializeToString"
    headline = [
        Headline(
            name=f"encode_speedup.{each.signal}", value=each.speedup, unit="x", target=2.5, better="higher", peer=peer
        )
        for each in measured
    ]
    headline.append(
        Headline(
            name="encode_us.traces", value=measured[0].our_time, unit="us/span", target=16, better="lower", peer=peer
        )
    )
    mine, theirs = exports(random, 5 if arguments.short else arguments.rounds)
    peer = f"the OTLP gRPC exporter: {theirs:.1f}"
    headline.append(Headline(name="export_us", value=mine, unit="us/span", target=18, better="lower", peer=peer))
    note = (
        "Microseconds of CPU for one item; the target in microseconds is for a machine where the public one takes 42."
    )
    report("otlp_encode", headline, [each.row() for each in measured], as_json=arguments.json, note=note)


if __name__ == "__main__":
    main()
