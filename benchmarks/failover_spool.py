"""The spool: how fast it is replayed into a real receiver, what it keeps when a process is killed, and what it takes.

replay      what a dead process left, 256 MB, into a `rotel` agent that keeps nothing; beside it the same bytes sent
            from memory by as many threads through the same transport, which is what agent and machine can do
kill        an application that is killed with SIGKILL while both endpoints are dead, 20 times in one directory;
            then both are back and the directory is drained: what `export` had returned for, compared by span id
shutdown    of a pipeline under 2,000 spans/s, with both endpoints dead, and with both frozen
export      what `export` takes beyond encoding, for each policy of fsync, a batch of 512 spans every 20 ms
memory      of a process under 2,000 spans/s whose endpoints are dead for 75 s, and what that makes of ten minutes
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal

from _rotel import Agent, rotel
from harness import Headline, parser, report
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import FairBatchSpanProcessor, Runtime, total
from otelwarden.failover import Endpoint, FailoverConfig, FailoverSpanExporter, SpoolConfig, drain
from otelwarden.failover.spool import Spool
from otelwarden.otlp import Cancellation, Verdict, encode_spans
from otelwarden.testing import FaultyReceiver, SpanWorkload, arrived, carry_out

BATCH = 512
RATE = 2_000  # spans/s
ATTRIBUTES = {f"attribute.{number}": "a value of some length" for number in range(12)}
PROTOCOLS: tuple[Literal["grpc", "http/protobuf"], ...] = ("grpc", "http/protobuf")


def spans() -> tuple[ReadableSpan, ...]:
    """A batch of spans: 0.3 MB."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for _ in range(BATCH):
        provider.get_tracer("benchmark").start_span("work", attributes=ATTRIBUTES).end()
    return memory.get_finished_spans()


@contextmanager
def directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="otelwarden-spool-") as path:
        yield path


# --- replay


def replay(protocol: Literal["grpc", "http/protobuf"], megabytes: int, in_flight: int) -> list[dict[str, Any]]:
    body = encode_spans(spans()).body
    count = megabytes * 1_000_000 // len(body)
    with rotel() as agent, directory() as path:
        endpoint = Endpoint(url=agent.grpc_endpoint if protocol == "grpc" else agent.http_endpoint, protocol=protocol)
        settings = SpoolConfig(path=path, max_in_flight=in_flight)
        spool = Spool(settings, "traces", runtime=Runtime(), on_takeover=lambda _: None)
        for _ in range(count):
            assert spool.append(body, {"default": BATCH}).record is not None
        spool.close()

        def from_spool() -> None:
            done = drain(FailoverConfig(endpoints=(endpoint,), spool=settings), timeout=120)["traces"]
            assert done.forwarded == count * BATCH, done

        return [
            {"what": f"replay {protocol}", "in_flight": in_flight, "from": name, **measured(agent, megabytes, work)}
            for name, work in (("spool", from_spool), ("memory", from_memory(endpoint, body, count, in_flight)))
        ]


def from_memory(endpoint: Endpoint, body: bytes, count: int, in_flight: int) -> Callable[[], None]:
    """Sends the same as a replay, without a spool, queue or pool."""

    def work() -> None:
        transport = endpoint.open()
        left, lock = iter(range(count)), threading.Lock()

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


def measured(agent: Agent, megabytes: float, work: Callable[[], None]) -> dict[str, Any]:
    """Runs it; MB/s, and milliseconds of CPU for a MB on both sides."""
    cpu, theirs, start = time.process_time(), agent.cpu_seconds(), time.monotonic()
    work()
    return {
        "MB_per_s": megabytes / (time.monotonic() - start),
        "cpu_ms_per_MB": 1e3 * (time.process_time() - cpu) / megabytes,
        "rotel_cpu_ms_per_MB": 1e3 * (agent.cpu_seconds() - theirs) / megabytes,
    }


# --- kill


class Telling(FailoverSpanExporter):
    """Writes the ids of spans to the standard output when their export has returned."""

    def export(self, spans: Any) -> Any:
        result = super().export(spans)
        print(" ".join(f"{span.context.span_id:016x}" for span in spans), flush=True)
        return result


def application(path: str, urls: list[str]) -> None:
    """Makes spans until it is killed."""
    exporter = Telling(urls, config=FailoverConfig(spool=SpoolConfig(path=path)), runtime=Runtime())
    workload = SpanWorkload(BatchSpanProcessor(exporter, schedule_delay_millis=50))
    while True:
        workload.work(100)
        time.sleep(0.01)


def kill(rounds: int) -> dict[str, Any]:
    random, told = Random(), set()
    with FaultyReceiver() as a, FaultyReceiver() as b, directory() as path:
        receivers = (a, b)
        for receiver in receivers:
            receiver.kill()
        for _ in range(rounds):
            command = [sys.executable, __file__, "--application", path, *(each.grpc_endpoint for each in receivers)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            threading.Timer(random.uniform(0.05, 0.5), process.kill).start()
            lines += process.stdout.readlines()
            process.wait()
            told |= {each for line in lines if line.endswith("\n") for each in line.split()}
        for receiver in receivers:
            receiver.restart()
        endpoints = tuple(Endpoint(url=each.grpc_endpoint) for each in receivers)
        done = drain(FailoverConfig(endpoints=endpoints, spool=SpoolConfig(path=path)), timeout=60)["traces"]
        found = arrived(receivers, "traces")
    return {
        "what": "kill -9",
        "rounds": rounds,
        "accepted": len(told),
        "lost": len(told - set(found)),
        "duplicates": sum(found.values()) - len(found),
        "dropped": str(dict(done.dropped)),
    }


# --- shutdown


def shutdown(fault: str, seconds: float) -> dict[str, Any]:
    runtime = Runtime()
    with FaultyReceiver() as a, FaultyReceiver() as b, directory() as path:
        for receiver in (a, b):
            (receiver.kill if fault == "dead" else receiver.freeze)()
        urls = [each.grpc_endpoint for each in (a, b)]
        exporter = FailoverSpanExporter(urls, config=FailoverConfig(spool=SpoolConfig(path=path)), runtime=runtime)
        workload = SpanWorkload(FairBatchSpanProcessor(exporter, runtime=runtime))
        carry_out([], [workload], rate=RATE, seconds=seconds)
        start = time.monotonic()
        workload.shutdown()
        took = time.monotonic() - start
        account = total(runtime.balances(), "failover")
    return {
        "what": f"shutdown, both {fault}",
        "accepted": len(workload.sent),
        "seconds": took,
        "lost": len(workload.sent) - account.dropped.get("left_in_spool", 0),
        "dropped": str(dict(account.dropped)),
    }


# --- export


def export(fsync: Literal["each", "interval", "none"], count: int) -> dict[str, Any]:
    batch, encoding, whole = spans(), [], []
    with rotel() as agent, directory() as path:
        config = FailoverConfig(spool=SpoolConfig(path=path, fsync=fsync))
        exporter = FailoverSpanExporter([agent.grpc_endpoint], config=config, runtime=Runtime())
        for _ in range(count):
            start = time.monotonic()
            encode_spans(batch)
            between = time.monotonic()
            exporter.export(batch)
            whole.append(1e3 * (time.monotonic() - between))
            encoding.append(1e3 * (between - start))
            time.sleep(0.02)
        exporter.shutdown()
    beyond = sorted(max(0.0, each - own) for each, own in zip(whole, encoding, strict=True))
    return {
        "what": f"export, fsync {fsync}",
        "beyond_encoding_ms_p50": beyond[count // 2],
        "beyond_encoding_ms_p99": beyond[count * 99 // 100],
    }


# --- memory


def memory(seconds: float) -> None:
    """Prints the megabytes of resident memory of this process at the end of each second of an outage."""
    with FaultyReceiver() as a, FaultyReceiver() as b, directory() as path:
        for receiver in (a, b):
            receiver.kill()
        urls = [each.grpc_endpoint for each in (a, b)]
        exporter = FailoverSpanExporter(urls, config=FailoverConfig(spool=SpoolConfig(path=path)), runtime=Runtime())
        workload = SpanWorkload(FairBatchSpanProcessor(exporter))
        for _ in range(round(seconds)):
            carry_out([], [workload], rate=RATE, seconds=1)
            workload.sent.clear()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print(pages * 4096 / (1 << 20), flush=True)
        workload.shutdown()


def outage(seconds: float) -> dict[str, Any]:
    run = subprocess.run([sys.executable, __file__, "--outage", str(seconds)], stdout=subprocess.PIPE, check=True)
    sizes = [float(line) for line in run.stdout.split()]
    warm = sizes[len(sizes) // 3 :]  # the first outage starts threads and fills caches
    middle = (len(warm) - 1) / 2
    mean = sum(warm) / len(warm)
    slope = sum((at - middle) * (size - mean) for at, size in enumerate(warm))
    slope /= sum((at - middle) ** 2 for at in range(len(warm)))
    return {
        "what": "memory, both dead",
        "seconds": seconds,
        "rss_MiB": f"{sizes[0]:.0f} to {sizes[-1]:.0f}",
        "slope_MiB_per_minute": 60 * slope,
        "growth_MiB_in_ten_minutes": warm[0] - sizes[0] + 600 * slope,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--application", nargs="+", metavar=("PATH", "URL"), help="be the one that is killed")
    options.add_argument("--outage", type=float, metavar="SECONDS", help="be the one whose memory is looked at")
    arguments = options.parse_args()
    if arguments.application:
        return application(arguments.application[0], arguments.application[1:])
    if arguments.outage:
        return memory(arguments.outage)
    short = arguments.short
    replays = [row for each in PROTOCOLS for row in replay(each, 64 if short else 256, 4)]
    killed = kill(3 if short else 20)
    shutdowns = [shutdown(fault, 1 if short else 3) for fault in ("dead", "frozen")]
    exports = [export(fsync, 50 if short else 300) for fsync in ("each", "interval", "none")]
    grown = outage(15 if short else 75)
    headline = [
        *(
            Headline(
                name=f"replay_mb_per_s.{protocol.partition('/')[0]}",
                value=mine["MB_per_s"],
                unit="MB/s",
                target=40 if protocol == "grpc" else 100,
                better="higher",
                peer=f"the same bytes from memory: {theirs['MB_per_s']:.0f}",
            )
            for protocol, mine, theirs in zip(PROTOCOLS, replays[::2], replays[1::2], strict=True)
        ),
        figure("killed_lost", killed["lost"], "spans", 0, f"of {killed['accepted']} that export had returned for"),
        figure("shutdown_s", max(each["seconds"] for each in shutdowns), "s", 1, "the plain exporter: 30"),
        figure("shutdown_lost", sum(each["lost"] for each in shutdowns), "spans", 0, "the plain exporter: all"),
        figure("export_ms_p99.fsync_each", exports[0]["beyond_encoding_ms_p99"], "ms", 5, "beyond encoding"),
        figure("export_ms_p99.fsync_interval", exports[1]["beyond_encoding_ms_p99"], "ms", 5, "beyond encoding"),
        figure("memory_growth_mib", grown["growth_MiB_in_ten_minutes"], "MiB", 64, "in an outage of ten minutes"),
    ]
    rows = [*replays, killed, *shutdowns, *exports, grown]
    report("failover_spool", headline, rows, as_json=arguments.json)
    return None


def figure(name: str, value: float, unit: str, target: float, peer: str) -> Headline:
    return Headline(name=name, value=value, unit=unit, target=target, better="lower", peer=peer)


if __name__ == "__main__":
    main()
