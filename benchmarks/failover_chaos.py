"""Chaos: 2,000 spans/s at two receivers that die, freeze and refuse; what is lost, what comes twice, how long it takes.

Of 60 seconds (with --short of 15): A killed from 5 to 15, frozen (SIGSTOP) from 20 to 26, answering UNAVAILABLE or 503
from 30 to 38, A and B both dead from 42 to 50. The SDK's batch processor is in front of each exporter. Spans are
compared by id. The plain OTLP exporters, with their defaults, are sent to A alone, through the same, one after another.

There is no spool: while both are dead, batches wait in memory.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness import Headline, parser, report
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as PlainGrpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as PlainHttp
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otelwarden.core import Runtime
from otelwarden.failover import Endpoint, FailoverSpanExporter
from otelwarden.testing import Fault, FaultMode, FaultyReceiver

RATE = 2_000  # spans/s
STEP = 0.01  # seconds between two bursts
ATTEMPT = 1.0  # seconds for one attempt of ours; the plain exporters keep their 10
ATTRIBUTES = {f"attribute.{number}": "a value of some length" for number in range(12)}
PROTOCOLS: tuple[Literal["grpc", "http/protobuf"], ...] = ("grpc", "http/protobuf")


class Timed(SpanExporter):
    """An exporter whose exports are timed."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.seconds: list[float] = []
        self.started_ns: list[int] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.started_ns.append(time.time_ns())
        start = time.monotonic()
        try:
            return self._exporter.export(spans)
        finally:
            self.seconds.append(time.monotonic() - start)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


@dataclass
class Run:
    """What one exporter did."""

    name: str
    sent: int = 0
    lost: int = 0
    twice: int = 0
    failover_ms: list[float] = field(default_factory=list)
    export_ms: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        return {
            "exporter": self.name,
            "sent": self.sent,
            "lost": self.lost,
            "lost_percent": 100 * self.lost / self.sent,
            "duplicates": self.twice,
            "failover_ms": " ".join(f"{each:.0f}" for each in self.failover_ms) or "never",
            "export_ms_p99": p99(self.export_ms),
            "export_ms_max": max(self.export_ms),
            "cpu_us_per_delivered": 1e6 * self.cpu_seconds / max(1, self.sent - self.lost),
        }


def p99(values: Sequence[float]) -> float | None:
    ranked = sorted(values)
    return ranked[math.ceil(0.99 * len(ranked)) - 1] if ranked else None


def chaos(name: str, make: Callable[[FaultyReceiver, FaultyReceiver], SpanExporter], minute: float) -> Run:
    """One exporter through all of it.

    Args:
        minute: seconds that stand for the sixty.
    """
    run = Run(name)
    with FaultyReceiver() as a, FaultyReceiver() as b:
        exporter = Timed(make(a, b))
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        faults: list[int] = []  # when A alone failed, ns since the epoch

        def alone(fault: Callable[[], None]) -> Callable[[], None]:
            return lambda: (faults.append(time.time_ns()), fault())[1]

        refuse = Fault(mode=FaultMode.UNAVAILABLE)
        plan: list[tuple[float, Callable[[], None]]] = [
            (5, alone(a.kill)),
            (15, a.restart),
            (20, alone(a.freeze)),
            (26, a.thaw),
            (30, alone(lambda: a.set_fault(refuse))),
            (38, a.clear_fault),
            (42, lambda: (a.kill(), b.kill())[0]),
            (50, lambda: (a.restart(), b.restart())[0]),
        ]
        started_cpu = time.process_time()
        sent = load(provider, [(at * minute / 60, act) for at, act in plan], minute)
        provider.force_flush()
        exporter.force_flush(60_000)
        run.cpu_seconds = time.process_time() - started_cpu
        provider.shutdown()
        time.sleep(0.5)  # a thawed receiver may still work on what it was sent while frozen
        arrived = Counter(a.span_ids() + b.span_ids())
        run.sent = len(sent)
        run.lost = len(sent - set(arrived))
        run.twice = sum(arrived.values()) - len(arrived)
        run.export_ms = [1e3 * each for each in exporter.seconds]
        run.failover_ms = moves(faults, accepted(a), accepted(b), exporter.started_ns)
    return run


def accepted(receiver: FaultyReceiver) -> list[int]:
    return sorted(each.time_ns for each in receiver.requests() if each.accepted and each.body)


def moves(faults: list[int], on_a: list[int], on_b: list[int], exports: list[int]) -> list[float]:
    """Milliseconds until B took a batch, for each fault that met A at work.

    From the fault, or from the first batch that was handed over after it, whichever is later.
    """
    found = []
    for at in faults:
        before_a, before_b = (max((each for each in side if each < at), default=0) for side in (on_a, on_b))
        first = next((each for each in on_b if each > at), None)
        if first is None or before_a < before_b:
            continue
        handed = next((each for each in exports if each > at), at)
        found.append((first - (handed if handed < first else at)) / 1e6)
    return found


def load(provider: TracerProvider, plan: list[tuple[float, Callable[[], None]]], seconds: float) -> set[bytes]:
    """Spans at a steady rate, while the plan is carried out; the ids of all of them."""
    tracer = provider.get_tracer("chaos")
    sent: set[bytes] = set()
    start = time.monotonic()
    made = 0
    while (elapsed := time.monotonic() - start) < seconds:
        while plan and plan[0][0] <= elapsed:
            plan.pop(0)[1]()
        for _ in range(max(0, int(elapsed * RATE) - made)):
            span = tracer.start_span("work", attributes=ATTRIBUTES)
            sent.add(span.get_span_context().span_id.to_bytes(8, "big"))
            span.end()
            made += 1
        time.sleep(STEP)
    return sent


def ours(protocol: Literal["grpc", "http/protobuf"]) -> Callable[[FaultyReceiver, FaultyReceiver], SpanExporter]:
    def make(*receivers: FaultyReceiver) -> SpanExporter:
        urls = [each.grpc_endpoint if protocol == "grpc" else each.http_endpoint for each in receivers]
        endpoints = [Endpoint(url=url, protocol=protocol, timeout=ATTEMPT) for url in urls]
        return FailoverSpanExporter(endpoints, runtime=Runtime())

    return make


def plain(protocol: str) -> Callable[[FaultyReceiver, FaultyReceiver], SpanExporter]:
    def make(a: FaultyReceiver, _: FaultyReceiver) -> SpanExporter:
        if protocol == "grpc":
            return PlainGrpc(a.grpc_endpoint, insecure=True)
        return PlainHttp(f"{a.http_endpoint}/v1/traces")

    return make


def main() -> None:
    options = parser(__doc__).parse_args()
    logging.disable(logging.CRITICAL)  # what the plain exporters say of each failure
    minute = 15.0 if options.short else 60.0
    rows, figures = [], {}
    headline: list[Headline] = []
    for protocol in PROTOCOLS:
        short = protocol.partition("/")[0]
        with contextlib.suppress(KeyboardInterrupt):
            run = figures[short] = chaos(f"failover {short}", ours(protocol), minute)
            peer = chaos(f"plain {short}", plain(protocol), minute)
            rows += [run.row(), peer.row()]
            beside = f"plain {short} exporter: "
            headline += [
                Headline(
                    name=f"lost.traces.{short}", value=run.lost, unit="spans", target=0, better="lower",
                    peer=f"{beside}{peer.lost} of {peer.sent}",
                ),
                Headline(
                    name=f"duplicates.traces.{short}", value=run.twice, unit="spans", target=3 * 512, better="lower",
                    peer=f"{beside}{peer.twice}",
                ),
            ]  # fmt: skip
    failovers = [each for run in figures.values() for each in run.failover_ms]
    exports = [each for run in figures.values() for each in run.export_ms]
    headline += [
        Headline(
            name="failover_ms_p99", value=p99(failovers), unit="ms", target=ATTEMPT * 1e3 + 50, better="lower",
            peer="plain exporters: never",
        ),
        Headline(
            name="export_ms_p99", value=p99(exports), unit="ms", target=30, better="lower",
            peer=f"plain exporters: {max(row['export_ms_p99'] for row in rows):.0f}",
        ),
    ]  # fmt: skip
    note = (
        "failover_ms: from each fault on A that met it at work (killed, frozen, refusing), or from the first batch\n"
        "after it, until B took one. export_ms: what the batch processor waits, encoding included."
    )
    report("failover_chaos", headline, rows, as_json=options.json, note=note)


if __name__ == "__main__":
    main()
