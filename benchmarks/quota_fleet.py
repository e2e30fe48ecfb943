"""A limit that four processes share through a real Redis: how exactly it is kept, and what a caller ever waits.

    python benchmarks/quota_fleet.py [--short] [--json]

Four processes offer twice the limit of 10,000 items a second (burst 1,000), equally and with 90 % of it in one of them,
then once more while the server is killed, frozen and started again. Needs `redis-server` (or `valkey-server`) and the
extra `redis`. Times are wall time: what a caller waits is. With traces of up to 100 spans, a process decides about a
trace when it begins, so each may be at most one trace (100 spans) beyond what is counted here.
"""

from __future__ import annotations

import gc
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from harness import Headline, parser, report

RATE, BURST = 10_000, 1_000
LIMITS = {"default": {"traces": {"rate": RATE, "burst": BURST}}}
LOADS = {"uniform": [5_000.0] * 4, "one has 90 %": [18_000.0, 667.0, 667.0, 666.0]}
STEP = 100  # buckets of a second


def worker(settings: dict[str, Any], seconds: float, rate: float) -> None:
    """One process: offers `rate` items a second, and says how many passed in each hundredth of a second."""
    from otelwarden.core import TRACES, Runtime
    from otelwarden.quota import QuotaConfig, QuotaLimiter, open_store

    runtime = Runtime()
    config = QuotaConfig.from_mapping(settings)
    limiter = QuotaLimiter(config, store=open_store(config.store, runtime), runtime=runtime)
    gc.collect()
    gc.freeze()  # what the imports made is not collected inside a call
    print("ready", flush=True)
    sys.stdin.readline()
    passed: dict[int, int] = {}
    offered, slowest, slowest_cpu = 0, 0.0, 0.0
    began = time.monotonic()
    refuse, clock, cpu = limiter.refusal, time.monotonic, time.thread_time
    while (now := clock()) - began < seconds:
        for _ in range(min(int((now - began) * rate) + 1 - offered, 500)):
            started, started_cpu = clock(), cpu()
            refusal = refuse("acme", TRACES)
            ended = clock()
            slowest, slowest_cpu = max(slowest, ended - started), max(slowest_cpu, cpu() - started_cpu)
            offered += 1
            if refusal is None:
                passed[int(ended * STEP)] = passed.get(int(ended * STEP), 0) + 1
        time.sleep(0.001)
    print(json.dumps({"passed": passed, "ms": slowest * 1e3, "cpu_ms": slowest_cpu * 1e3, "offered": offered}))


class Server:
    """A Redis server of our own."""

    def __init__(self) -> None:
        self.binary = shutil.which("redis-server") or shutil.which("valkey-server")
        if self.binary is None:
            sys.exit("redis-server is not installed")
        self.directory = tempfile.mkdtemp()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [str(self.binary), "--port", str(self.port), "--save", "", "--dir", self.directory]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.02)
        sys.exit("redis-server did not come up")

    def calls(self) -> int:
        import redis

        stats: Any = redis.Redis(port=self.port).info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def fleet(server: Server, rates: list[float], seconds: float, fault: str = "") -> dict[str, Any]:
    import redis

    redis.Redis(port=server.port).flushall()
    store = {"type": "redis", "url": f"redis://127.0.0.1:{server.port}"}
    command = [sys.executable, __file__, "--worker", json.dumps({**LIMITS, "store": store}), str(seconds)]
    processes = [
        subprocess.Popen([*command, str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for rate in rates
    ]
    for process in processes:
        process.stdout.readline()  # type: ignore[union-attr]
    before = server.calls()
    for process in processes:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    if fault:
        time.sleep(seconds / 4)
        server.process.send_signal(signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        time.sleep(seconds / 2)
        if fault == "killed":
            server.process.wait()
            server.start()
        else:
            server.process.send_signal(signal.SIGCONT)
    results = [json.loads(process.communicate()[0]) for process in processes]
    buckets: dict[int, int] = {}
    for result in results:
        for at, count in result["passed"].items():
            buckets[int(at)] = buckets.get(int(at), 0) + count
    admitted = sum(buckets.values())
    shares = [sum(result["passed"].values()) for result in results]
    expected = RATE * seconds + BURST
    worst = max(sum(buckets.get(at + n, 0) for n in range(STEP)) for at in buckets)
    return {
        "by_half_seconds": " ".join(
            str(sum(buckets.get(at + n, 0) for n in range(STEP // 2)))
            for at in range(min(buckets), max(buckets), STEP // 2)
        ),
        "offered_per_s": round(sum(result["offered"] for result in results) / seconds),
        "admitted": admitted,
        "admitted_error": admitted / expected - 1,
        "worst_second_over": worst / (RATE + BURST) - 1,
        "calls_per_s": None if fault else (server.calls() - before) / seconds,
        "caller_ms_max": max(result["ms"] for result in results),
        "caller_cpu_ms_max": max(result["cpu_ms"] for result in results),
        "share_of_least": min(shares) / admitted,
        "share_of_most": max(shares) / admitted,
    }


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        worker(json.loads(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
        return
    options = parser(__doc__).parse_args()
    seconds = 4.0 if options.short else 10.0
    server = Server()
    rows: list[dict[str, Any]] = []
    try:
        for load, rates in LOADS.items():
            rows.append({"load": load, "server": "up", **fleet(server, rates, seconds)})
        for fault in ("killed", "frozen"):
            rows.append({"load": "uniform", "server": fault, **fleet(server, LOADS["uniform"], seconds, fault)})
    finally:
        server.process.kill()
        shutil.rmtree(server.directory, ignore_errors=True)
    up = [row for row in rows if row["server"] == "up"]
    figures = [
        ("admitted_error_share", max(abs(row["admitted_error"]) for row in up), "of the limit", 0.01),
        ("worst_second_over_share", max(row["worst_second_over"] for row in up), "of the limit", 0.05),
        ("store_calls_per_s", max(row["calls_per_s"] for row in up), "calls/s", 200),
        ("caller_ms_max", max(row["caller_cpu_ms_max"] for row in rows), "ms of CPU", 1),
    ]
    peer = "a static split of the limit loses 65 % where one process has 90 % of the load"
    headline = [
        Headline(name=name, value=round(value, 4), unit=unit, target=target, better="lower", peer=peer)
        for name, value, unit, target in figures
    ]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float):
                row[name] = round(value, 4)
    report("quota_fleet", headline, rows, as_json=options.json)


if __name__ == "__main__":
    main()
