"""Long texts scanned in windows: the answer is that of one scan, or the item is dropped."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelwarden.core import Runtime
from otelwarden.redaction import RedactionOptions, RedactionPolicy, RedactionSpanExporter, Redactor, catalogue
from otelwarden.redaction.document import Unscannable
from otelwarden.redaction.windows import MIN_WINDOW, REACH, scan_windows

HASHED = {"ethereum_address", "monero_address"}
"""Of these only the first few of a scan are told from look-alikes."""

SAMPLES = [
    sample
    for each in catalogue()
    if each.id not in HASHED
    for sample in (*each.examples, *each.near_misses)
    if isinstance(sample, str)
]
STEP = MIN_WINDOW - 2 * REACH


def long_text(seed: int) -> str:
    """Text of three windows, with samples here and there, and around every place where one begins or ends."""
    chance = random.Random(seed)
    text = ""
    # `q=a+b`, as plus signs are read as blanks where a form is seen, in whatever is scanned at once.
    filler = "the order of café Ümlaut was shipped 日本語 /?q=a+b "
    for edge in (*range(STEP, 2 * STEP + MIN_WINDOW, STEP), 2 * STEP + MIN_WINDOW):
        for at in (edge - STEP + 2 * REACH, edge - STEP + 3 * REACH, edge):
            text += filler * max(0, (at - 500 - len(text)) // len(filler))
            while len(text) < at + 500:
                text += f"{chance.choice(SAMPLES)} "
    return text


def test_windows_find_what_one_scan_finds(redactor: Redactor) -> None:
    data = long_text(1).encode()
    whole = scan_windows(redactor.scanner, data, 7, len(data))
    parts = scan_windows(redactor.scanner, data, 7, MIN_WINDOW)
    # As sets: how many layers say the same depends on what else is in a window.
    assert {hit[:4] for hit in parts} == {hit[:4] for hit in whole}
    assert len({hit.start for hit in whole if hit.start > 2 * STEP}) > 20


def test_a_long_value_is_redacted_and_a_short_one_beside_it(policy: RedactionPolicy) -> None:
    options: dict[str, Any] = {"max_value_length": 4096, "oversize": "scan"}
    filler = "the quick brown fox " * (3 * MIN_WINDOW // 20)
    attributes = {"long": f"{filler}jane@example.com {filler}4242 4242 4242 4242", "short": "jane@example.com", "n": 1}
    left = exported(policy, attributes, RedactionOptions(**options))
    assert left == {"long": f"{filler}[REDACTED] {filler}[REDACTED]", "short": "[REDACTED]", "n": 1}
    assert exported(policy, attributes, RedactionOptions(max_value_length=4096)) is None


@pytest.mark.parametrize(
    "text",
    ["x " * MIN_WINDOW + "eyJ" + "a" * (3 * MIN_WINDOW), "password='" + "pass phrase " * MIN_WINDOW],
    ids=["a run that may be base64 of more", "a match longer than the overlap"],
)
def test_what_windows_cannot_tell_is_dropped(policy: RedactionPolicy, text: str) -> None:
    assert exported(policy, {"long": text}, RedactionOptions(max_value_length=4096, oversize="scan")) is None


def test_a_pattern_that_asks_where_a_text_begins_is_not_asked_in_windows(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        """
        rules: [{id: own, match: {detectors: [own]}, action: {replace: {}}}]
        detectors: [{id: own, entity: OWN, group: pii, classification: internal, pattern: "^ACC[0-9]{6}"}]
        """,
        encoding="utf-8",
    )
    redactor = Redactor(RedactionPolicy.load(path), max_value_length=4096, oversize="scan")
    assert redactor.redact_text("ACC123456 x") == "[REDACTED] x"
    with pytest.raises(Unscannable, match="value_too_long"):
        redactor.redact_text("ACC123456 " * MIN_WINDOW)


def exported(policy: RedactionPolicy, attributes: dict[str, Any], options: RedactionOptions) -> dict[str, Any] | None:
    sink = InMemorySpanExporter()
    runtime = Runtime()
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = RedactionSpanExporter(sink, policy=policy, runtime=runtime, options=options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("shop").start_span("checkout", attributes=attributes).end()
    if sink.get_finished_spans():
        return dict(sink.get_finished_spans()[0].attributes or {})
    assert [balance.dropped for balance in runtime.balances()] == [{"value_too_long": 1}]
    return None
