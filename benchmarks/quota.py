"""Speed of a decision on quota: the limiter alone, with the tag, and the sampler.

    python benchmarks/quota.py [--short] [--json]

CPU of the calling thread, best of several rounds in which all candidates take turns, loop included. `limits` and
`throttled-py` are measured beside it where they are installed. The figure of several threads is all their CPU over all
their decisions: they share one interpreter lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from harness import Headline, parser, report
from opentelemetry import baggage
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_OFF, ParentBased

from otelwarden.core import Runtime, SpanStageProcessor, use_tenant
from otelwarden.quota import (
    QuotaConfig,
    QuotaLimiter,
    QuotaSampler,
    QuotaSpanProcessor,
    SignalLimits,
    TenantLimits,
)

PLENTY = 1e9
BAGGAGE = "the baggage processor, which only tags"
Decide = Callable[[str], Any]


def limiter(rate: float, runtime: Runtime | None = None, **settings: Any) -> QuotaLimiter:
    limits = SignalLimits(rate=rate, burst=max(1, int(rate)))
    return QuotaLimiter(QuotaConfig(default=TenantLimits(traces=limits)), runtime=runtime or Runtime(), **settings)


class Spans(SpanProcessor):
    """The end of a pipeline."""


def deciders() -> Iterator[tuple[str, Decide]]:
    yield "otelwarden, within the limit", lambda_of(limiter(PLENTY))
    yield "otelwarden, over the limit", lambda_of(limiter(0.001))
    with suppress(ImportError):
        from limits import RateLimitItemPerSecond
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        window, item = FixedWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(int(PLENTY))
        yield "limits, fixed window", lambda key: window.hit(item, key)
    with suppress(ImportError):
        from throttled import RateLimiterType, Throttled, per_sec, store

        gcra = Throttled(
            using=RateLimiterType.GCRA.value, quota=per_sec(int(PLENTY)), store=store.MemoryStore({"MAX_SIZE": 20_000})
        )
        yield "throttled-py, GCRA", lambda key: gcra.limit(key)


def lambda_of(of: QuotaLimiter) -> Decide:
    allow = of.allow
    return lambda key: allow(key, "traces")


def microseconds(work: Callable[[], None], count: int) -> float:
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / count / 1e3


def one_thread(decide: Decide, keys: list[str]) -> float:
    def work() -> None:
        for key in keys:
            decide(key)

    return microseconds(work, len(keys))


def ours_bare(keys: list[str], allow: Callable[[str, str], bool]) -> float:
    def work() -> None:
        for key in keys:
            allow(key, "traces")

    return microseconds(work, len(keys))


def four_threads(decide: Decide, keys: list[str]) -> float:
    spent: list[float] = []
    threads = [threading.Thread(target=lambda: spent.append(one_thread(decide, keys))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(spent) / len(spent)


def decisions(rounds: int, count: int) -> tuple[float, list[dict[str, Any]]]:
    """The bare call of ours, and a row for each candidate and number of tenants (through one lambda each)."""
    some = {
        "1 tenant": ["tenant"] * count,
        "10,000 tenants": [f"tenant-{n % 10_000}" for n in range(max(count, 10_000))],
    }
    candidates = list(deciders())
    best: dict[tuple[str, str, int], float] = {}
    bare, allow = float("inf"), limiter(PLENTY).allow
    for _ in range(rounds):
        bare = min(bare, ours_bare(some["1 tenant"], allow))
        for what, decide in candidates:
            for tenants, keys in some.items():
                for threads, measure in ((1, one_thread), (4, four_threads)):
                    place = (what, tenants, threads)
                    best[place] = min(best.get(place, float("inf")), measure(decide, keys))
    rows = [
        {"what": what, "tenants": tenants, "threads": threads, "us": round(us, 3)}
        for (what, tenants, threads), us in best.items()
    ]
    return bare, rows


def end_cost(build: Callable[[], SpanProcessor], count: int) -> Callable[[], float]:
    """CPU that a chain of processors takes for the start and the end of a span inside a trace."""
    chain = build()
    tagged_by_baggage = type(chain).__name__ == "BaggageSpanProcessor"
    tracer = TracerProvider().get_tracer("benchmark")

    def measure() -> float:
        context = baggage.set_baggage("tenant.id", "tenant") if tagged_by_baggage else None
        with use_tenant("tenant"), tracer.start_as_current_span("root", context=context) as root:
            chain.on_start(root)  # type: ignore[arg-type]
            context = baggage.set_baggage("tenant.id", "tenant") if tagged_by_baggage else None
            spans = [tracer.start_span("span") for _ in range(count)]
            started = time.thread_time_ns()
            for span in spans:
                chain.on_start(span, context)  # type: ignore[arg-type]
            spent = time.thread_time_ns() - started
            for span in spans:
                span.end()
            ended = [span._readable_span() for span in spans]  # type: ignore[attr-defined]
            started = time.thread_time_ns()
            for one in ended:
                chain.on_end(one)
            return (spent + time.thread_time_ns() - started) / count / 1e3

    return measure


def chains() -> Iterator[tuple[str, Callable[[], SpanProcessor]]]:
    yield "nothing", Spans
    runtime = Runtime()
    yield (
        "a stage that does nothing",
        lambda: SpanStageProcessor(
            Spans(), lambda span, state: span, component="nothing", on_error="pass", runtime=runtime
        ),
    )
    yield "quota", lambda: QuotaSpanProcessor(Spans(), limiter=limiter(PLENTY), runtime=runtime)
    with suppress(ImportError):
        from otelwarden.tenancy import TenantRegistry, TenantSpanProcessor

        registry = TenantRegistry()
        registry.create("tenant", "Tenant")
        yield (
            "tenancy and quota",
            lambda: TenantSpanProcessor(
                QuotaSpanProcessor(Spans(), limiter=limiter(PLENTY, directory=registry), runtime=runtime),
                registry=registry,
                runtime=runtime,
            ),
        )


def peer_chain() -> Iterator[tuple[str, Callable[[], SpanProcessor]]]:
    """The tag alone as the contrib package makes it: a baggage entry becomes an attribute of each span."""
    with suppress(ImportError):
        from opentelemetry.processor.baggage import BaggageSpanProcessor

        yield BAGGAGE, lambda: BaggageSpanProcessor(lambda key: key == "tenant.id")


def in_the_thread(rounds: int, count: int) -> dict[str, float]:
    measures = {what: end_cost(build, 100) for what, build in [*chains(), *peer_chain()]}
    best = dict.fromkeys(measures, float("inf"))
    for _ in range(rounds * count // 500):
        for what, measure in measures.items():
            best[what] = min(best[what], measure())
    return {what: best[what] - best["nothing"] for what in best if what != "nothing"}


def sampling(rounds: int, count: int) -> list[dict[str, Any]]:
    """CPU per span of traces of ten, from the start of the first to the end of the last."""
    over = QuotaSampler(limiter(0.001), runtime=Runtime())
    samplers = {
        "SDK, all kept": ParentBased(ALWAYS_ON),
        "SDK, all dropped": DEFAULT_OFF,
        "QuotaSampler, under quota": QuotaSampler(limiter(PLENTY), runtime=Runtime()),
        "QuotaSampler, far over quota": over,
    }
    tracers = {what: TracerProvider(sampler=sampler).get_tracer("benchmark") for what, sampler in samplers.items()}
    for _ in range(200):
        tracers["QuotaSampler, far over quota"].start_span("flood").end()

    def traces(tracer: Any) -> None:
        for _ in range(count // 10):
            with tracer.start_as_current_span("root"):
                for _ in range(9):
                    tracer.start_span("child").end()

    best = dict.fromkeys(tracers, float("inf"))
    for _ in range(rounds):
        for what, tracer in tracers.items():
            best[what] = min(best[what], microseconds(lambda tracer=tracer: traces(tracer), count))  # type: ignore[misc]
    return [{"what": what, "tenants": "", "threads": 1, "us": round(us, 3)} for what, us in best.items()]


def main() -> None:
    options = parser(__doc__).parse_args()
    rounds, count = (5, 5_000) if options.short else (25, 10_000)
    bare, rows = decisions(rounds, count)
    added = in_the_thread(rounds, count // 2)
    rows += [
        {"what": f"added by {what}, start and end of a span", "tenants": "1 tenant", "threads": 1, "us": round(us, 3)}
        for what, us in added.items()
    ]
    rows += sampling(rounds, count // 2)
    peer = "limits, fixed window"
    peers = [row["us"] for row in rows if row["what"] == peer and row["tenants"] == "1 tenant" and row["threads"] == 1]
    headline = [
        Headline(
            name="decision_us",
            value=round(bare, 3),
            unit="us",
            target=0.5,
            better="lower",
            peer=f"{peer}: {peers[0]}" if peers else "limits is not installed",
        )
    ]
    if "tenancy and quota" in added:
        headline.append(
            Headline(
                name="tag_and_decision_us",
                value=round(added["tenancy and quota"], 3),
                unit="us",
                target=1.5,
                better="lower",
                peer=f"{BAGGAGE}: {added[BAGGAGE]:.3f}"
                if BAGGAGE in added
                else "the baggage processor is not installed",
            )
        )
    report("quota", headline, rows, as_json=options.json)


if __name__ == "__main__":
    main()
