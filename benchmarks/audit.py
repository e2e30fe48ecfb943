"""Speed of the audit trail: emitting in the application's thread, writing durably, verifying, assessing.

    python benchmarks/audit.py [--short] [--json]

`durable_events_per_s` is measured with coalescing off (`coalesce_window=0`), the slow path: every event becomes a
record of its own, chained, hashed into the tree, written and on the disk (fdatasync) before the clock stops. With
coalescing on, the usual case, the same events become a handful of records; that rate is in the rows.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Headline, parser, report

from otelwarden.audit import AuditTrail, SigningKey, Status, prove, verify
from otelwarden.core import GovernanceEvent, Runtime
from otelwarden.pipeline import load_settings
from otelwarden.pipeline.compliance import open_assessor

BATCH = 16_384


def events(count: int) -> list[GovernanceEvent]:
    """Decisions as redaction makes them: 20 rules, 50 tenants."""
    now = time.time_ns()
    return [
        GovernanceEvent(
            now + i,
            "redaction",
            "mask",
            f"pii/rule-{i % 20}",
            f"tenant-{i % 50}",
            "traces",
            1 + i % 3,
            1 << 100 | i,
            i + 1,
        )
        for i in range(count)
    ]


def emit(directory: Path, count: int) -> float:
    """CPU of the calling thread for one call of the trail, microseconds; the writer works beside it."""
    trail = AuditTrail(directory, key=SigningKey.generate(), runtime=Runtime())
    some = events(10_000)
    best = float("inf")
    for _ in range(count // len(some)):
        started = time.thread_time_ns()
        for event in some:
            trail(event)
        best = min(best, (time.thread_time_ns() - started) / len(some) / 1e3)
        trail.flush()
    trail.close()
    return best


def durable(directory: Path, count: int, *, window: float) -> dict[str, Any]:
    """Events a second from the first call to the last fdatasync, wall and CPU, made as fast as one thread can."""
    trail = AuditTrail(
        directory, key=SigningKey.generate(), runtime=Runtime(), coalesce_window=window, max_pending=count + 1
    )
    made = events(count)
    trail.flush()
    gc.collect()
    started, cpu = time.perf_counter(), time.process_time()
    for event in made:
        trail(event)
    emitted = time.perf_counter()
    assert trail.flush(120.0)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    stats = trail.stats()
    assert trail.close(30.0)
    assert not stats.lost
    assert verify(directory).status is Status.OK
    return {
        "events": count,
        "records": stats.written,
        "events_per_s": round(count / wall),
        "cpu_us_per_event": round(cpu / count * 1e6, 2),
        "emitting_s": round(emitted - started, 3),
        "wall_s": round(wall, 3),
    }


def synchronous(directory: Path, threads: int, each: int) -> dict[str, Any]:
    """Rare decisions: the call returns when the record is on the disk."""
    trail = AuditTrail(directory, key=SigningKey.generate(), runtime=Runtime(), sync_timeout=10.0)
    took: list[float] = []

    def work() -> None:
        for i in range(each):
            started = time.perf_counter()
            assert trail.append_sync(
                GovernanceEvent(time.time_ns(), "failover", "failover", "refused", count=1 + i % 2)
            )
            took.append((time.perf_counter() - started) * 1e3)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall = time.perf_counter() - started
    trail.close()
    took.sort()
    return {
        "threads": threads,
        "decisions_per_s": round(len(took) / wall),
        "p50_ms": round(took[len(took) // 2], 3),
        "p99_ms": round(took[int(len(took) * 0.99)], 3),
    }


def verification(directory: Path, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verification of one stream of `count` records with a checkpoint for every 50,000, everything checked.

    And the proof of some of its records, which is the shorter the fewer records there are.
    """
    trail = AuditTrail(
        directory, key=SigningKey.generate(), runtime=Runtime(), coalesce_window=0, max_pending=count + 1
    )
    made = events(50_000)
    for _ in range(count // len(made)):
        for event in made:
            trail(event)
        assert trail.checkpoint(60.0)
    trail.close(30.0)
    stored = sum(file.stat().st_size for file in directory.glob("*/records-*"))
    best_wall = best_cpu = float("inf")
    for _ in range(3):
        started, cpu = time.perf_counter(), time.process_time()
        verdict = verify(directory)
        best_wall = min(best_wall, time.perf_counter() - started)
        best_cpu = min(best_cpu, time.process_time() - cpu)
        assert verdict.status is Status.OK
    records = verdict.streams[0].records
    verified = {
        "records": records,
        "megabytes": round(stored / 1e6, 1),
        "seconds": round(best_wall, 3),
        "cpu_s": round(best_cpu, 3),
        "records_per_s": round(records / best_wall),
        "seconds_per_million": round(best_wall / records * 1e6, 3),
    }
    return verified, proofs(directory, records)


def proofs(directory: Path, records: int) -> dict[str, Any]:
    """How long the proof of a record is, checkpoint and signature included, and making it takes."""
    started = time.perf_counter()
    made = [prove(directory, sequence) for sequence in (0, records // 3, records // 2, records - 2)]
    took = time.perf_counter() - started
    return {
        "records": records,
        "proof_bytes": max(len(proof.text) for proof in made),
        "seconds": round(took / len(made), 3),
    }


def assessment(directory: Path, count: int) -> dict[str, Any]:
    """All frameworks over a trail of `count` records: it is verified, read once, and every question asked."""
    trail = AuditTrail(
        directory / "audit",
        key=SigningKey.generate(),
        witness=directory / "witness.txt",
        runtime=Runtime(),
        coalesce_window=0,
        max_pending=count + 1,
    )
    for event in events(count):
        trail(event)
    assert trail.flush(120.0)
    assert trail.close(30.0)
    pipeline = {"processors": ["redaction", "audit"], "exporters": ["failover"]}
    settings = load_settings(
        {
            "processors": {
                "redaction": {},
                "audit": {"path": str(directory / "audit"), "witness": str(directory / "witness.txt")},
            },
            "exporters": {"failover": {"endpoints": [{"url": "http://127.0.0.1:4317"}]}},
            "compliance": {"path": str(directory / "compliance")},
            "service": {"pipelines": {"traces": pipeline}},
        }
    )
    assert settings.compliance is not None
    assessor = open_assessor(settings, settings.compliance, runtime=Runtime())
    best_wall = best_cpu = float("inf")
    for _ in range(3):
        started, cpu = time.perf_counter(), time.process_time()
        found = assessor.assess()
        best_wall = min(best_wall, time.perf_counter() - started)
        best_cpu = min(best_cpu, time.process_time() - cpu)
        assert found.evidence["trails"][0]["verdict"] == "OK"
    records = found.evidence["trails"][0]["records"]
    return {
        "records": records,
        "frameworks": len(found.frameworks),
        "questions": len(found.runs),
        "seconds": round(best_wall, 3),
        "cpu_s": round(best_cpu, 3),
        "seconds_per_million": round(best_wall / records * 1e6, 3),
    }


def in_new_directory(measure: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    directory = Path(tempfile.mkdtemp(prefix="otelwarden-audit-"))
    try:
        return measure(directory, *args, **kwargs)
    finally:
        shutil.rmtree(directory)


def best_of(times: int, measure: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    runs = [in_new_directory(measure, *args, **kwargs) for _ in range(times)]
    return max(runs, key=lambda run: int(run["events_per_s"]))


def run(*, short: bool) -> tuple[list[Headline], list[dict[str, Any]]]:
    count = 100_000 if short else 500_000
    singly = best_of(3, durable, count, window=0)
    coalesced = best_of(3, durable, count, window=1.0)
    emitted = in_new_directory(emit, 100_000 if short else 500_000)
    verified, proved = in_new_directory(verification, 200_000 if short else 1_000_000)
    assessed = in_new_directory(assessment, 200_000 if short else 1_000_000)
    sync = [in_new_directory(synchronous, threads, 100 if short else 400) for threads in (1, 8)]

    headline = [
        Headline(
            name="durable_events_per_s", value=singly["events_per_s"], unit="events/s", target=300_000,
            better="higher", peer="none",
        ),
        Headline(name="emit_us", value=round(emitted, 3), unit="us", target=0.5, better="lower", peer="none"),
        Headline(
            name="verify_1m_s", value=verified["seconds_per_million"], unit="s", target=3, better="lower", peer="none"
        ),
        Headline(
            name="assess_1m_s", value=assessed["seconds_per_million"], unit="s", target=10, better="lower", peer="none"
        ),
        Headline(
            name="proof_bytes", value=proved["proof_bytes"], unit="bytes", target=1_500, better="lower", peer="none"
        ),
    ]  # fmt: skip
    rows = [
        {"what": "durable, every event a record", **singly},
        {"what": "durable, coalesced", **coalesced},
        {"what": "verify", **verified},
        {"what": "proof of one record", **proved},
        {"what": "assess, all frameworks", **assessed},
        *({"what": "synchronous", **each} for each in sync),
    ]
    return headline, rows


def main() -> None:
    arguments = parser(__doc__).parse_args()
    headline, rows = run(short=arguments.short)
    note = "durable: fdatasync returned for every event; verify: one stream, a checkpoint for each 50,000 records"
    report("audit", headline, rows, as_json=arguments.json, note=note)


if __name__ == "__main__":
    main()
