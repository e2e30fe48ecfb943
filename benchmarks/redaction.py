"""What redaction costs and finds: real spans of the labelled corpus, each seen once, policies pii and secrets.

CPU time of one thread, through `RedactionSpanExporter.export` in batches of 512. Every round draws a seed that the
process has not timed before: a lazily built automaton flatters itself on text it has seen.

    python benchmarks/redaction.py [--spans 20000] [--short] [--json]
"""

from __future__ import annotations

import gc
import secrets
import statistics
import time
from collections.abc import Sequence
from typing import Any, Literal

from _redaction_peers import peer_rows
from harness import Headline, parser, report
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from telemetry_corpus import Corpus, SpanData

from otelwarden.core import Runtime, item_attributes
from otelwarden.redaction import RedactionPolicy, RedactionSpanExporter, Redactor
from otelwarden.redaction.joined import join_texts

BATCH = 512
TOGETHER = 16
ROUNDS = 5


class KeepingExporter(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def ended_spans(corpus: Sequence[SpanData]) -> list[ReadableSpan]:
    """The corpus as the SDK makes it."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop", "service.version": "1.4.2"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("benchmark", "1.0")
    for span in corpus:
        tracer.start_span(span.name, attributes=span.attributes).end()
    return list(memory.get_finished_spans())


def quiet() -> None:
    """Takes the corpus out of the garbage collector's sight: an application does not hold 20,000 ended spans."""
    gc.collect()
    gc.freeze()


class Bench:
    """One policy, warmed up, and the seeds it has seen."""

    def __init__(self, spans: int) -> None:
        self.policy = RedactionPolicy.load("pii", "secrets")
        self._spans = spans
        self._sink = KeepingExporter()
        self._exporter = RedactionSpanExporter(self._sink, policy=self.policy, runtime=Runtime())
        self.spans_per_s(dirty=0.107)
        self.rows: list[dict[str, Any]] = []

    def fresh(self, dirty: float) -> list[SpanData]:
        return list(Corpus(secrets.randbits(48), dirty=dirty).spans(self._spans))

    def export(self, spans: list[ReadableSpan]) -> tuple[float, list[ReadableSpan]]:
        """CPU seconds, and what left."""
        self._sink.spans = []
        quiet()
        started = time.process_time()
        for at in range(0, len(spans), BATCH):
            self._exporter.export(spans[at : at + BATCH])
        return time.process_time() - started, self._sink.spans

    def spans_per_s(self, dirty: float) -> float:
        spans = ended_spans(self.fresh(dirty))
        return len(spans) / self.export(spans)[0]

    def median_spans_per_s(self, dirty: float) -> float:
        rounds = [self.spans_per_s(dirty) for _ in range(ROUNDS)]
        self.rows.append({"what": "dirty" if dirty else "clean", "spans/s": [round(value) for value in rounds]})
        return statistics.median(rounds)

    def scans_per_s(self) -> float:
        """Joining and scanning alone, as the redactor does it."""
        scanner = Redactor(self.policy).scanner
        for _ in range(2):
            spans = ended_spans(self.fresh(0.0))
            quiet()
            started = time.process_time()
            for at in range(0, len(spans), TOGETHER):
                texts: list[str] = []
                for span in spans[at : at + TOGETHER]:
                    texts += (span.name, *item_attributes(span).values())
                scanner.scan(join_texts(texts))
            took = time.process_time() - started
        return len(spans) / took

    def accuracy(self) -> tuple[float, float]:
        """Share of the planted secrets that are gone, share of the clean values that changed."""
        corpus = self.fresh(0.107)
        _, left = self.export(ended_spans(corpus))
        planted = removed = clean = changed = 0
        kept: dict[str, int] = {}
        for before, after in zip(corpus, left, strict=True):
            attributes = after.attributes or {}
            labelled = {label.key: label for label in before.labels}
            for key, value in before.attributes.items():
                label = labelled.get(key)
                if label is None:
                    clean += 1
                    changed += attributes.get(key) != value
                    continue
                planted += 1
                gone = label.value not in str(attributes.get(key, ""))
                removed += gone
                if not gone:
                    kept[label.entity] = kept.get(label.entity, 0) + 1
        self.rows.append({"what": f"{planted} planted, {clean} clean values", "kept": kept, "changed": changed})
        return removed / planted, changed / clean

    def milliseconds(self, text: str) -> float:
        """CPU time of one value, after one other of its kind."""
        redactor = Redactor(self.policy)
        redactor.redact_text(text, "traces", "")
        quiet()
        started = time.process_time()
        for _ in range(10):
            redactor.redact_text(text, "traces", "")
        return (time.process_time() - started) * 100

    def candidates(self, every: int) -> list[tuple[float, str, str]]:
        """Microseconds for a candidate in 32 kB of each detector's examples over and over, the dearest first.

        Each hit is one, and each repetition of an example holds at least one.
        """
        redactor = Redactor(self.policy)
        found = []
        samples = [(each.id, text) for each in self.policy.detectors for text in each.examples if type(text) is str]
        for detector, sample in samples[::every]:
            piece = f"{sample} "
            text = (piece * ((32 << 10) // len(piece) + 1))[: 32 << 10]
            joined = join_texts([text])
            count = max(len(redactor.scanner.scan(joined)), len(text) // len(piece))
            started = time.process_time()
            redactor.redact_text(text, "traces", "")
            found.append(((time.process_time() - started) / count * 1e6, detector, sample))
        return sorted(found, reverse=True)


HOSTILE = {
    "e-mail without an end": "a.a.a.",
    "e-mails": "a@a.a ",
    "card groups": "4111 1111 ",
    "digits": "4",
    "JWT heads": "eyJa.eyJa.",
    "JWT": "eyJaaaaaaaaaaa.eyJa.",
    "IBAN groups": "AA00 AAAA ",
    "colons": "f:f:",
    "assignments": "secret =",
    "passwords": "password='",
    "URL heads": "a://a:a",
    "phone signs": "+1-",
    "PEM heads": "-----BEGIN PRIVATE KEY-----",
    "context": "phone ssn twilio 1",
    "percent signs": "%2525",
    "encoded e-mails": "a%40a.a%20",
    "plus signs": "4=4+",
    "base64": "eyJhIjoiYmNkZWZnaGkifQ ",
}


def run(bench: Bench, *, short: bool) -> list[Headline]:
    dirty, clean = bench.median_spans_per_s(0.107), bench.median_spans_per_s(0.0)
    bench.rows.append({"what": "clean, joining and scanning alone", "spans/s": round(bench.scans_per_s())})
    removed, changed = bench.accuracy()
    prose = "the quick brown fox jumps over the lazy dog and runs away "
    without = bench.milliseconds((prose * 1000)[: 32 << 10])
    growth = 0.0
    for name, piece in HOSTILE.items():
        small, large = (
            bench.milliseconds((piece * ((size << 10) // len(piece) + 1))[: size << 10]) for size in (32, 128)
        )
        bench.rows.append({"what": f"hostile: {name}", "ms in 32 kB": small, "ms in 128 kB": large})
        growth = max(growth, large / small)
    candidates = bench.candidates(every=20 if short else 1)
    for microseconds, detector, sample in candidates[:5]:
        bench.rows.append({"what": f"candidates: {detector}", "us": microseconds, "of": sample[:60]})
    typical = statistics.median(each[0] for each in candidates)
    bench.rows.append({"what": f"candidates: {len(candidates)} examples, median", "us": typical})
    bench.rows += peer_rows(bench.fresh(0.107)[:2000])
    return [
        headline("dirty_spans_per_s", round(dirty), "spans/s", 80_000, "higher", "12,176 (redact-secret, text only)"),
        headline("clean_spans_per_s", round(clean), "spans/s", 220_000, "higher", "14,962 (redact-secret, text only)"),
        headline("removed_share", removed, "1", 0.99, "higher", "0.976 (traceredact)"),
        headline("clean_changed_share", changed, "1", 0.001, "lower", "0.13 (traceredact)"),
        headline("no_candidate_32kb_ms", without, "ms", 1, "lower", "2,058 (Python re, worst text)"),
        headline("candidate_us", candidates[0][0], "us", 4, "lower", "20 to 800 (phonenumbers, one number)"),
        headline("growth_128kb", growth, "x", 4.5, "lower", "18 for 32 kB (Python re)"),
    ]


def headline(
    name: str, value: float, unit: str, target: float, better: Literal["lower", "higher"], peer: str
) -> Headline:
    return Headline(name=name, value=value, unit=unit, target=target, better=better, peer=peer)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--spans", type=int, default=20_000, help="spans in each round")
    arguments = options.parse_args()
    bench = Bench(2000 if arguments.short else arguments.spans)
    report("redaction", run(bench, short=arguments.short), bench.rows, as_json=arguments.json)


if __name__ == "__main__":
    main()
