"""On the labelled corpus: more than 99 % of what is planted is gone, less than 0.1 % of what is clean has changed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from otelwarden.redaction import RedactionPolicy, Redactor


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


def test_the_page_of_the_catalogue_is_in_step() -> None:
    script = module_at("docs/detectors.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python docs/detectors.py"


CASES = [
    ("EMAIL", "mail jane.roe@mail.example.org now", True),
    ("EMAIL", "see package@1.2.3", False),
    ("CREDIT_CARD", "paid by 4000 0566 5566 5556 yesterday", True),
    ("CREDIT_CARD", "order 4000 0566 5566 5557", False),
    ("US_SSN", "her number 219-09-9998 is known", True),
    ("US_SSN", "part 666-09-9998", False),
    ("IBAN_CODE", "to CH93 0076 2011 6238 5295 7 please", True),
    ("IBAN_CODE", "to CH93 0076 2011 6238 5295 8 please", False),
    ("IP_ADDRESS", "from ::ffff:192.0.2.128 port 80", True),
    ("IP_ADDRESS", "Chrome/120.0.6099.109", False),
    ("PHONE", "my number is 020 7946 0958", True),
    ("PHONE", "HR12 1001 0051 8630 0016 1", False),
    ("UK_NINO", "NI AB 12 34 56 C", True),
    ("UK_NINO", "AB 12 34 56 E", False),
]
NATIONAL = [
    ("BR_CPF", "11144477735", True),
    ("BR_CPF", "11144477736", False),
    ("DE_TAX_ID", "86095742719", True),
    ("DE_TAX_ID", "86095742718", False),
    ("PL_PESEL", "44051401359", True),
    ("PL_PESEL", "44051401358", False),
    ("UK_NHS", "943 476 5919", True),
    ("UK_NHS", "943 476 5918", False),
]


def test_the_benchmark_counts_recall_and_false_positives() -> None:
    benchmark = module_at("benchmarks/redaction_accuracy.py")
    for cases, confidence, family in ((CASES, "high", "personal"), (NATIONAL, "low", "national")):
        total = benchmark.families(benchmark.judge(cases, confidence))[family]
        assert (total.positives, total.negatives) == (len(cases) // 2, len(cases) // 2)
        assert (total.found, total.mistaken) == (total.positives, 0)


def test_a_key_that_names_one_number_speaks_against_others() -> None:
    redactor = Redactor(RedactionPolicy.load("pii", confidence="low"))
    number = "44051401359"  # a PESEL
    assert redactor.redact_text(number, key="value") != number
    assert redactor.redact_text(number, key="br_cpf") == number


def test_numbers_without_context_stay_at_high_confidence(redactor: Redactor) -> None:
    assert redactor.redact_text("order 44051401359", key="text") == "order 44051401359"
    assert redactor.redact_text("PESEL 44051401359", key="text") == "PESEL [REDACTED]"
    assert redactor.redact_text("44051401359", key="customer.pesel") == "[REDACTED]"


def module_at(path: str) -> ModuleType:
    """A script of the project."""
    file = Path(__file__).parents[2] / path
    sys.path.insert(0, str(file.parent))
    try:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module
