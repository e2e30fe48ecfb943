"""Peers of redaction, on the same texts: whichever of them are installed (`pip install -e '.[bench]'`).

Presidio runs without a language model, which would have to be downloaded: a blank tokenizer of spaCy, all of its
recognisers by pattern, and no names of people, as we find none either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from telemetry_corpus import SpanData

Redact = Callable[[str, str], Any]
"""`(key, value) -> what is left`."""


def logfire_scrubber() -> Redact:
    """Logfire's scrubber as it comes."""
    from logfire._internal.scrubbing import Scrubber

    scrubber = Scrubber(None)
    return lambda key, value: scrubber.scrub_value(("attributes", key), value)[0]


def presidio_analyzer() -> Redact:
    """Presidio's analyzer with its recognisers by pattern."""
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    # Its snapshot of the public suffixes, not a download.
    tldextract.tldextract.TLD_EXTRACTOR.suffix_list_urls = ()

    class Blank(SpacyNlpEngine):
        """A tokenizer and nothing else."""

        def __init__(self) -> None:
            super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
            self.nlp = {"en": spacy.blank("en")}

        def load(self) -> None:
            pass

    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])

    def redact(key: str, value: str) -> str:
        hits = sorted(analyzer.analyze(value, language="en"), key=lambda hit: hit.start, reverse=True)
        end = len(value)
        for hit in hits:
            value = value[: hit.start] + "[REDACTED]" + value[min(hit.end, end) :]
            end = hit.start
        return value

    return redact


PEERS: dict[str, tuple[Callable[[], Redact], int]] = {
    "logfire": (logfire_scrubber, 2000),
    "presidio": (presidio_analyzer, 100),
}
"""What makes each, and how many spans it is given."""


def peer_rows(corpus: Sequence[SpanData]) -> list[dict[str, Any]]:
    """Speed and accuracy of every peer on the first spans of a corpus, or the reason why there is none."""
    rows = []
    for name, (make, count) in PEERS.items():
        try:
            redact = make()
        except Exception as error:
            rows.append({"what": f"peer: {name}", "skipped": f"{type(error).__name__}: {error}"})
            continue
        rows.append({"what": f"peer: {name}", **_measured(redact, corpus[:count])})
    return rows


def _measured(redact: Redact, corpus: Sequence[SpanData]) -> dict[str, Any]:
    texts = [(key, value) for span in corpus for key, value in span.attributes.items() if type(value) is str]
    for key, value in texts[:100]:
        redact(key, value)
    started = time.process_time()
    left = {(number, key): redact(key, value) for number, (key, value) in enumerate(texts)}
    took = time.process_time() - started
    planted = removed = clean = changed = 0
    number = 0
    for span in corpus:
        labelled = {label.key: label.value for label in span.labels}
        for key, value in span.attributes.items():
            if type(value) is not str:
                continue
            after = left[number, key]
            number += 1
            if key in labelled:
                planted += 1
                removed += labelled[key] not in str(after)
            else:
                clean += 1
                changed += after != value
    return {
        "spans/s": [round(len(corpus) / took)],
        "removed_share": removed / max(planted, 1),
        "clean_changed_share": changed / max(clean, 1),
    }
