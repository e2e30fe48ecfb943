"""Chaos: 2,000 items/s at two receivers that die, freeze and refuse; what is lost, what comes twice, how long it takes.

Of 60 seconds (with --short of 15): A killed from 5 to 15, frozen (SIGSTOP) from 20 to 26, answering UNAVAILABLE or 503
from 30 to 38, A and B both dead from 42 to 50. Each signal has a process and a pair of receivers of its own, the three
of one kind of exporter run at the same time, the kinds one after another. Items are compared by id.

    failover    our exporters with a spool, behind FairBatchSpanProcessor, FairBatchLogRecordProcessor and the SDK's
                periodic reader, over gRPC and HTTP
    plain       the OTLP exporters with their defaults behind the SDK's processors, to A alone
    pick_first  the same over gRPC to both, by gRPC's own load balancing (its default)
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Literal

import wrapt
from harness import Headline, parser, report
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelwarden.core import FairBatchLogRecordProcessor, FairBatchSpanProcessor, Runtime
from otelwarden.failover import (
    Endpoint,
    EndpointPool,
    FailoverConfig,
    FailoverLogRecordExporter,
    FailoverMetricExporter,
    FailoverSpanExporter,
    SpoolConfig,
)
from otelwarden.otlp import encode_logs, encode_metrics, encode_spans
from otelwarden.testing import (
    Fate,
    FaultyReceiver,
    LogWorkload,
    MetricWorkload,
    SpanWorkload,
    Workload,
    carry_out,
    fate_of,
    ordinary_faults,
)

RATE = 2_000  # items/s of each signal
COLLECT_MS = 250  # between two collections of 500 points
BACKOFF = (0.5, 5.0)  # seconds, the defaults; scaled with the minute
ATTEMPT = 1.0  # seconds for one attempt of ours; the plain exporters keep their 10
ENCODERS: dict[str, Callable[[Any], Any]] = {"traces": encode_spans, "logs": encode_logs, "metrics": encode_metrics}


class Timed(wrapt.ObjectProxy):
    """An exporter whose exports are timed, and beside them the encoding of the same batch, if there is an encoder."""

    def __init__(self, exporter: Any, encode: Callable[[Any], Any] | None = None) -> None:
        super().__init__(exporter)
        self._self_encode = encode
        self.times = Times()

    # Attributes that the proxy does not hand to the exporter are those whose names begin with _self_.
    times = property(lambda self: self._self_times, lambda self, value: setattr(self, "_self_times", value))

    def export(self, batch: Any, *args: Any, **options: Any) -> Any:
        times, encoding = self.times, 0.0
        if self._self_encode is not None:
            cpu, start = time.thread_time(), time.monotonic()
            self._self_encode(batch)
            encoding = time.monotonic() - start
            times.encoding_cpu += time.thread_time() - cpu
        times.started_ns.append(time.time_ns())
        start = time.monotonic()
        try:
            return self.__wrapped__.export(batch, *args, **options)
        finally:
            seconds = time.monotonic() - start
            times.export_ms.append(1e3 * seconds)
            times.beyond_ms.append(1e3 * max(0.0, seconds - encoding))


@dataclass
class Times:
    """What was timed of one exporter."""

    export_ms: list[float] = field(default_factory=list)
    beyond_ms: list[float] = field(default_factory=list)
    """What an export took longer than encoding the same batch just before."""
    started_ns: list[int] = field(default_factory=list)
    encoding_cpu: float = 0.0
    """Seconds of CPU for the encoding beside the exports."""


@dataclass
class Run:
    """What one exporter did."""

    kind: str
    fate: Fate
    times: Times
    moves: list[tuple[str, float]]
    """Faults that met A at work, and the milliseconds until B took a batch."""
    unconfirmed: int | None
    """Items that we say may come twice; None where nobody counts."""
    cpu_us: float
    """Of CPU for an item that arrived."""

    def row(self) -> dict[str, Any]:
        fate, times = self.fate, self.times
        return {
            "exporter": self.kind,
            "signal": fate.signal,
            "sent": fate.sent,
            "lost": fate.lost,
            "lost_percent": 100 * fate.lost / max(1, fate.sent),
            "duplicates": fate.doubled,
            "unconfirmed": "" if self.unconfirmed is None else self.unconfirmed,
            "failover_ms": " ".join(f"{name} {each:.0f}" for name, each in self.moves) or "never",
            "export_ms_p99": p99(times.export_ms),
            "beyond_encoding_ms_p50": sorted(times.beyond_ms)[len(times.beyond_ms) // 2],
            "beyond_encoding_ms_p99": p99(times.beyond_ms),
            "export_ms_max": max(times.export_ms),
            "cpu_us_per_delivered": self.cpu_us,
        }


def p99(values: Sequence[float]) -> float | None:
    ranked = sorted(values)
    return ranked[math.ceil(0.99 * len(ranked)) - 1] if ranked else None


def chaos(kind: str, signal: str, minute: float) -> Run:
    """Lets one exporter through all of it, in a process of its own.

    Args:
        minute: seconds that stand for the sixty.
    """
    logging.disable(logging.CRITICAL)  # what the plain exporters say of each failure
    with ExitStack() as stack:
        a, b = (stack.enter_context(FaultyReceiver()) for _ in range(2))
        spool = stack.enter_context(tempfile.TemporaryDirectory(prefix="otelwarden-chaos-"))
        made, pool = KINDS[kind](signal, (a, b), spool, minute / 60)
        exporter = Timed(made, ENCODERS[signal] if pool is not None else None)
        workload = WORKLOADS[signal](exporter, ours=pool is not None)
        cpu = time.process_time()
        happened = carry_out(ordinary_faults(a, b, minute), [workload], rate=RATE, seconds=minute)
        workload.flush(60_000)
        cpu = time.process_time() - cpu - exporter.times.encoding_cpu
        workload.shutdown()
        time.sleep(0.5)  # a thawed receiver may still work on what it was sent while frozen
        fate = fate_of(workload, (a, b))
        return Run(
            kind=kind,
            fate=fate,
            times=exporter.times,
            moves=moves(happened, accepted(a), accepted(b), exporter.times.started_ns),
            unconfirmed=None if pool is None else sum(each.unconfirmed for each in pool.stats()),
            cpu_us=1e6 * cpu / max(1, fate.sent - fate.lost),
        )


def accepted(receiver: FaultyReceiver) -> list[int]:
    return sorted(each.time_ns for each in receiver.requests() if each.accepted and each.body)


def moves(
    happened: list[tuple[str, int]], on_a: list[int], on_b: list[int], exports: list[int]
) -> list[tuple[str, float]]:
    """Milliseconds until B took a batch, for each fault of A alone that met it at work.

    From the fault, or from the first batch that was handed over after it, whichever is later.
    """
    found = []
    for name, at in happened:
        before_a, before_b = (max((each for each in side if each < at), default=0) for side in (on_a, on_b))
        first = next((each for each in on_b if each > at), None)
        if name not in ("kill", "freeze", "refuse") or first is None or before_a < before_b:
            continue
        handed = next((each for each in exports if each > at), at)
        found.append((name, (first - (handed if handed < first else at)) / 1e6))
    return found


# --- the exporters, each with its pool if it has one


def ours(protocol: Literal["grpc", "http/protobuf"]) -> Make:
    kinds: dict[str, Any] = {
        "traces": FailoverSpanExporter,
        "logs": FailoverLogRecordExporter,
        "metrics": FailoverMetricExporter,
    }

    def make(signal: str, receivers: Receivers, spool: str, scale: float) -> tuple[Any, EndpointPool | None]:
        config = FailoverConfig(
            spool=SpoolConfig(path=spool), initial_backoff=BACKOFF[0] * scale, max_backoff=BACKOFF[1] * scale
        )
        urls = [each.grpc_endpoint if protocol == "grpc" else each.http_endpoint for each in receivers]
        endpoints = [Endpoint(url=url, protocol=protocol, timeout=ATTEMPT) for url in urls]
        exporter = kinds[signal](endpoints, config=config, runtime=Runtime())
        return exporter, exporter.pool

    return make


def plain(signal: str, receivers: Receivers, _: str, __: float) -> tuple[Any, EndpointPool | None]:
    return GRPC[signal](receivers[0].grpc_endpoint, insecure=True), None


def plain_http(signal: str, receivers: Receivers, _: str, __: float) -> tuple[Any, EndpointPool | None]:
    return HTTP[signal](f"{receivers[0].http_endpoint}/v1/{signal}"), None


def pick_first(signal: str, receivers: Receivers, _: str, __: float) -> tuple[Any, EndpointPool | None]:
    both = ",".join(f"127.0.0.1:{each.grpc_port}" for each in receivers)
    return GRPC[signal](f"ipv4:{both}", insecure=True), None


Receivers = tuple[FaultyReceiver, FaultyReceiver]
Make = Callable[[str, Receivers, str, float], tuple[Any, EndpointPool | None]]
GRPC: dict[str, Any] = {"traces": GrpcSpans, "logs": GrpcLogs, "metrics": GrpcMetrics}
HTTP: dict[str, Any] = {"traces": HttpSpans, "logs": HttpLogs, "metrics": HttpMetrics}
KINDS: dict[str, Make] = {
    "failover grpc": ours("grpc"),
    "failover http": ours("http/protobuf"),
    "plain grpc": plain,
    "plain http": plain_http,
    "pick_first grpc": pick_first,
}


# --- what is in front of them


def spans(exporter: Any, *, ours: bool) -> Workload:
    return SpanWorkload(FairBatchSpanProcessor(exporter) if ours else BatchSpanProcessor(exporter))


def logs(exporter: Any, *, ours: bool) -> Workload:
    return LogWorkload(FairBatchLogRecordProcessor(exporter) if ours else BatchLogRecordProcessor(exporter))


def metrics(exporter: Any, *, ours: bool) -> Workload:
    return MetricWorkload(PeriodicExportingMetricReader(exporter, export_interval_millis=COLLECT_MS))


WORKLOADS: dict[str, Callable[..., Workload]] = {"traces": spans, "logs": logs, "metrics": metrics}


# --- what came out


def headlines(runs: dict[tuple[str, str], Run]) -> list[Headline]:
    found: list[Headline] = []
    mine = {key: run for key, run in runs.items() if key[0].startswith("failover")}
    for figure in ("lost", "duplicates"):
        for (kind, signal), run in mine.items():
            protocol = kind.partition(" ")[2]
            peers = [each for each in (f"plain {protocol}", f"pick_first {protocol}") if (each, signal) in runs]
            found.append(
                Headline(
                    name=f"{figure}.{signal}.{protocol}",
                    value=run.fate.lost if figure == "lost" else run.fate.doubled,
                    unit="items",
                    target=0 if figure == "lost" else (run.unconfirmed or 0),
                    better="lower",
                    peer="; ".join(f"{each}: {beside(runs[each, signal].fate, figure)}" for each in peers),
                )
            )
    answering = [each for run in mine.values() for name, each in run.moves if name != "freeze"]
    frozen = [each - 1e3 * ATTEMPT for run in mine.values() for name, each in run.moves if name == "freeze"]
    exports = [each for run in mine.values() for each in run.times.beyond_ms]
    slowest = max((max(run.times.export_ms) for key, run in runs.items() if key not in mine), default=0.0)
    for name, values, target, peer in (
        ("failover_ms_p99", answering, 50.0, "plain: never"),
        ("failover_frozen_over_timeout_ms_p99", frozen, 50.0, "plain: never"),
        ("export_ms_p99", exports, 5.0, f"beyond encoding; the longest export of the others: {slowest:,.0f}"),
    ):
        found.append(Headline(name=name, value=p99(values), unit="ms", target=target, better="lower", peer=peer))
    return found


def beside(fate: Fate, figure: str) -> str:
    return f"{fate.lost} of {fate.sent}" if figure == "lost" else str(fate.doubled)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), help="(default: all)")
    options.add_argument("--signals", nargs="*", choices=WORKLOADS, default=list(WORKLOADS), help="(default: all)")
    arguments = options.parse_args()
    minute = 15.0 if arguments.short else 60.0
    runs: dict[tuple[str, str], Run] = {}
    for kind in arguments.kinds:
        with ProcessPoolExecutor(len(arguments.signals), mp_context=get_context("spawn")) as processes:
            count = len(arguments.signals)
            for run in processes.map(chaos, [kind] * count, arguments.signals, [minute] * count):
                runs[kind, run.fate.signal] = run
    note = (
        "failover_ms: from each fault of A alone that met it at work, or from the first batch after it, until B took\n"
        "one. unconfirmed: items whose answer was lost, the only ones that may come twice; the target of duplicates.\n"
        "beyond_encoding: what an export took longer than encoding the same batch just before. Metrics that a plain\n"
        "exporter's reader never collected, because it waited, are not among those sent."
    )
    rows = [run.row() for run in runs.values()]
    report("failover_chaos", headlines(runs), rows, as_json=arguments.json, note=note)


if __name__ == "__main__":
    main()
