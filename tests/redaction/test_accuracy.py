"""On the labelled corpus: more than 99 % of what is planted is gone, less than 0.1 % of what is clean has changed."""

from __future__ import annotations

from types import ModuleType

from otelwarden.redaction import Redactor


def test_finds_what_is_planted_and_leaves_what_is_not(redactor: Redactor, telemetry_corpus: ModuleType) -> None:
    planted = removed = clean = changed = 0
    for span in telemetry_corpus.Corpus(4711).spans(3000):
        document = redactor.document()
        fields = document.fields(span.attributes)
        redaction = redactor.redact(document, "traces", "")
        left = fields.rebuild(redaction.edits) if redaction else span.attributes
        labels = {label.key: label.value for label in span.labels}
        for key, value in span.attributes.items():
            if key in labels:
                planted += 1
                removed += labels[key] not in left[key]
            else:
                clean += 1
                changed += left[key] != value
    assert planted > 1000
    assert removed / planted > 0.99
    assert changed / clean < 0.001


def test_the_corpus_is_the_same_for_the_same_seed(telemetry_corpus: ModuleType) -> None:
    first, second = (list(telemetry_corpus.Corpus(5).spans(20)) for _ in range(2))
    assert first == second
    assert first != list(telemetry_corpus.Corpus(6).spans(20))
    assert not any(span.labels for span in telemetry_corpus.Corpus(5, dirty=0.0).spans(50))
