"""Everything on, against the plain SDK with its plain OTLP gRPC exporter: CPU per span, and time in the app's thread.

Both sides make the same spans (about 12 attributes, 1 kB), in traces of eight, batched by 512 from a queue that holds
all of them, uncompressed, in bursts at the same pace, into the same `rotel` agent, which forwards to a recording sink
outside the measured process. The warden's side has four tenants, quota, redaction (pii and secrets), audit and
failover. If the sink finds one of its spans untagged, or more than 1 % of the planted values, or if a side's spans are
not all there, the run prints no figure.

CPU is that of a whole process of its own per side and round (all threads, user and system), from the first span to the
last flush; rounds of both sides alternate. The application's thread is measured by its own clock in the same runs.
Every process makes 4,096 spans first, which are measured apart (`start_cpu_us`): connections are made then, and the
automata of redaction built. What follows is other text of the same kind.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import sub, truediv
from pathlib import Path
from typing import Any

from _rotel import rotel
from harness import Headline, parser, report
from telemetry_corpus import Corpus

from otelwarden.testing import FaultyReceiver

HERE = Path(__file__).parent
TENANTS = ("acme", "globex", "initech", "umbrella")
SPANS_PER_TRACE = 8
TRACES_PER_BURST = 64
SPANS_PER_SECOND = 2_000
FIRST_SPANS = 4_096
QUEUE, BATCH = 32_768, 512
"""All spans of a run: neither batch processor makes the application wait, so both lose spans when others take the
machine for seconds, and what was lost costs nothing."""


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--side", choices=["bare", "plain", "warden"], help=argparse.SUPPRESS)
    options.add_argument("--endpoint", help=argparse.SUPPRESS)
    options.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.side:
        print(json.dumps(run_side(arguments.side, arguments.endpoint, arguments.corpus)))
        return 0
    compare(spans=4_000 if arguments.short else 16_000, rounds=2 if arguments.short else 5, as_json=arguments.json)
    return 0


# --- the measured process


def spans_of(corpus: Path) -> list[tuple[str, dict[str, Any]]]:
    with corpus.open(encoding="utf-8") as lines:
        return [(row["name"], row["attributes"]) for row in map(json.loads, lines)]


def run_side(side: str, endpoint: str, corpus: Path) -> dict[str, float]:
    """Makes every span of the corpus on one side; what the first ones cost, and the others."""
    work = spans_of(corpus)
    first, work = work[:FIRST_SPANS], work[FIRST_SPANS:]
    gc.freeze()  # the collector would walk the corpus, which is no part of an application, in its thread
    with tempfile.TemporaryDirectory() as directory:
        provider, finish, scope = {"bare": bare, "plain": plain, "warden": warden}[side](endpoint, Path(directory))
        tracer = provider.get_tracer("benchmark")
        began = time.process_time()
        make(tracer, first, scope)
        finish(False)
        warm = time.process_time()
        thread = make(tracer, work, scope)
        finish(True)
        ended = time.process_time()
    return {
        "cpu_us": (ended - warm) / len(work) * 1e6,
        "thread_us": thread / len(work) * 1e6,
        "start_cpu_us": (warm - began) / len(first) * 1e6,
    }


def make(tracer: Any, work: list[tuple[str, dict[str, Any]]], scope: Any) -> float:
    """Makes traces in bursts at a steady pace, each of one tenant; the CPU seconds of this thread."""
    used = 0.0
    due = time.monotonic()
    for number, start in enumerate(range(0, len(work), SPANS_PER_TRACE)):
        trace = work[start : start + SPANS_PER_TRACE]
        with scope(TENANTS[number % len(TENANTS)]):
            began = time.thread_time()
            with tracer.start_as_current_span(trace[0][0], attributes=trace[0][1]):
                for name, attributes in trace[1:]:
                    tracer.start_span(name, attributes=attributes).end()
            used += time.thread_time() - began
        due += len(trace) / SPANS_PER_SECOND
        if number % TRACES_PER_BURST == 0:
            time.sleep(max(0.0, due - time.monotonic()))
    return used


@contextmanager
def nobody(_tenant: str) -> Iterator[None]:
    yield


def bare(endpoint: str, directory: Path) -> tuple[Any, Any, Any]:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor())
    return provider, lambda _last: None, nobody


def plain(endpoint: str, directory: Path) -> tuple[Any, Any, Any]:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "plain"}))
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(endpoint=endpoint, insecure=True), max_queue_size=QUEUE, max_export_batch_size=BATCH
        )
    )
    return provider, lambda last: provider.shutdown() if last else provider.force_flush(), nobody


def warden(endpoint: str, directory: Path) -> tuple[Any, Any, Any]:
    from otelwarden.core import use_tenant
    from otelwarden.pipeline import configure

    tenants = directory / "tenants.json"
    tenants.write_text(json.dumps({"tenants": [{"id": each, "name": each} for each in TENANTS]}), encoding="utf-8")
    running = configure(
        {
            "tenants": str(tenants),
            "processors": {
                "tenancy": {"unknown": "reject"},
                "quota": {"default": {"traces": {"rate": "1000000/s"}}},
                "redaction": {"policies": ["pii", "secrets"]},
                "audit": {"path": str(directory / "audit")},
            },
            "exporters": {"failover": {"endpoints": [{"url": endpoint}]}},
            "service": {
                "resource": {"service.name": "warden"},
                "pipelines": {
                    "traces": {
                        "processors": ["tenancy", "quota", "redaction", "audit"],
                        "exporters": ["failover"],
                        "batch": {"max_queue_size": QUEUE, "max_export_batch_size": BATCH},
                    }
                },
            },
        },
        set_global=False,
    )

    def finish(last: bool) -> None:
        running.force_flush()
        if last:
            running.shutdown()
            for balance in running.stats().balances:
                if balance.dropped:
                    print(f"warden: {balance.component} {balance.tenant} dropped: {balance.dropped}", file=sys.stderr)

    return running.tracer_provider, finish, use_tenant


# --- the comparison


def compare(*, spans: int, rounds: int, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    valid = True
    with tempfile.TemporaryDirectory() as directory, FaultyReceiver() as sink, rotel(forward_to(sink)) as agent:
        for kind, dirty in (("clean", 0.0), ("dirty", 0.107)):
            results: dict[str, list[dict[str, float]]] = {"bare": [], "plain": [], "warden": []}
            for number in range(rounds):
                # Text that no process has scanned before: a lazy automaton flatters itself on what it has seen.
                corpus = Path(directory) / f"{kind}-{number}.jsonl"
                labels = write_corpus(corpus, FIRST_SPANS + spans, seed=time.time_ns() % 2**31, dirty=dirty)
                for side, found in results.items():
                    sink.forget()
                    found.append(measure(side, agent.grpc_endpoint, corpus))
                    if side != "bare":
                        valid = judge(sink, side, spans, labels) and valid
            rows += [summary(kind, side, found) for side, found in results.items()]
            if kind == "clean":
                clean = results
    # Compared within a round: what else the machine does changes from one to the next.
    found = [round(between(clean, "cpu_us", truediv), 3), round(between(clean, "thread_us", sub), 2)]
    report("end_to_end", figures(*found) if valid else figures(None, None), rows, as_json=as_json)


def between(results: dict[str, list[dict[str, float]]], name: str, compare: Callable[[float, float], float]) -> float:
    """The median over the rounds of what lies between the warden's side and the plain one."""
    pairs = zip(results["warden"], results["plain"], strict=True)
    return statistics.median(compare(warden[name], plain[name]) for warden, plain in pairs)


def forward_to(sink: FaultyReceiver) -> list[str]:
    return ["--exporter", "otlp", "--otlp-exporter-endpoint", sink.grpc_endpoint, "--otlp-exporter-protocol", "grpc"]


def measure(side: str, endpoint: str, corpus: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--endpoint", endpoint, "--corpus", str(corpus)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE)
    result: dict[str, float] = json.loads(run.stdout)
    return result


def judge(sink: FaultyReceiver, side: str, spans: int, labels: list[str]) -> bool:
    """Whether the sink holds what it must; says what it does not."""
    expected = FIRST_SPANS + spans
    with suppress(TimeoutError):
        sink.wait_for(lambda receiver: len(receiver.span_ids()) >= expected, timeout=30)
    problems = []
    if (delivered := len(sink.span_ids())) != expected:
        problems.append(f"{delivered} of {expected} spans arrived")
    if side == "warden":
        found = sink.spans()
        if any(span.attributes.get("tenant.id") not in TENANTS for span in found):
            problems.append("an untagged span arrived")
        raw = sink.raw_bytes()
        leaked = [value for value in labels if value.encode() in raw]
        if len(leaked) > len(labels) / 100:
            problems.append(f"{len(leaked)} of {len(labels)} planted values arrived")
    for problem in problems:
        print(f"{side}: {problem}: no figure", file=sys.stderr)
    return not problems


def summary(kind: str, side: str, found: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "spans": kind,
        "side": side,
        **{
            name: round(statistics.median(each[name] for each in found), 2)
            for name in ("cpu_us", "thread_us", "start_cpu_us")
        },
        "cpu_us_min": round(min(each["cpu_us"] for each in found), 2),
        "cpu_us_max": round(max(each["cpu_us"] for each in found), 2),
        "rounds": len(found),
    }


def figures(cpu_ratio: float | None, app_thread: float | None) -> list[Headline]:
    peer = "BatchSpanProcessor and OTLPSpanExporter (gRPC) of the SDK"
    return [
        Headline(name="cpu_ratio", value=cpu_ratio, unit="1", target=0.70, better="lower", peer=peer),
        Headline(name="app_thread_us", value=app_thread, unit="us/span", target=4.0, better="lower", peer=peer),
    ]


def write_corpus(path: Path, spans: int, *, seed: int, dirty: float) -> list[str]:
    """Writes a fresh corpus; the values planted in it."""
    planted = []
    with path.open("w", encoding="utf-8") as file:
        for span in Corpus(seed, dirty=dirty).spans(spans):
            planted += [label.value for label in span.labels]
            file.write(json.dumps({"name": span.name, "attributes": span.attributes}) + "\n")
    return planted


if __name__ == "__main__":
    sys.exit(main())
