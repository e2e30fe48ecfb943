"""A gate may let through too much, never too little: what a detector would find, it is asked to look for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.redaction import catalogue
from otelwarden.redaction.catalogue import Detector
from otelwarden.redaction.encodings import GATE, LOOSE_GATE
from otelwarden.redaction.finder import Finder
from otelwarden.redaction.gates import ENCODED, Gates
from otelwarden.redaction.joined import join_texts
from otelwarden.redaction.patterns import compile_pattern, find_by

FINDERS = [Finder(number, detector) for number, detector in enumerate(catalogue())]
LOW = [Finder(number, low) for number, low in enumerate(filter(None, (d.at_low_confidence for d in catalogue())))]
GATES = {"high": Gates(FINDERS, LOOSE_GATE), "low": Gates(LOW, LOOSE_GATE)}
SAMPLES = [
    text
    for d in catalogue()
    for sample in (*d.examples, *d.near_misses)
    for text in ([sample] if isinstance(sample, str) else [*sample.keys(), *sample.values()])
]
TEXTS = st.lists(
    st.lists(st.sampled_from([*SAMPLES, "a", " ", "\0", "ä", "@", "token", "\n"]), max_size=4).map("".join),
    min_size=1,
    max_size=5,
)


def is_in(pattern: str) -> Callable[[bytes], bool]:
    find = find_by(compile_pattern(pattern))
    return lambda text: find(text, 0, len(text))[0][0] >= 0


def gated(finders: list[Finder]) -> list[tuple[int, Callable[[bytes], bool]]]:
    return [(f.number, is_in(gate)) for f in finders if (gate := f.detector.gate_pattern) is not None]


EXACT = {"high": gated(FINDERS), "low": gated(LOW)}


@pytest.mark.parametrize("confidence", ["high", "low"])
@settings(max_examples=80, deadline=None)
@given(texts=TEXTS)
def test_every_detector_whose_gate_is_in_a_text_is_asked(confidence: str, texts: list[str]) -> None:
    joined = join_texts(texts)
    asked = {each.number: {*each.detectors} for each in GATES[confidence].candidates(joined)}
    encoded = is_in(GATE)
    for number in range(joined.count):
        data = joined.text(number)
        wanted = {detector for detector, is_there in EXACT[confidence] if is_there(data)}
        if encoded(data):
            wanted.add(ENCODED)
        assert wanted <= asked.get(number, set())


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.sampled_from(SAMPLES), min_size=20, max_size=40))
def test_it_is_asked_in_a_text_of_many_kinds_too(texts: list[str]) -> None:
    data = join_texts([" ".join(texts)]).data
    asked = {
        detector for each in GATES["high"].candidates(join_texts([" ".join(texts)])) for detector in each.detectors
    }
    assert {detector for detector, is_there in EXACT["high"] if is_there(data)} <= asked


NARROWER = {"bitcoin_address", "iban", "monero_address", "payment_card", "phone_national"}
"""Their gates want more than their patterns, so that not every hexadecimal number, time and date is a candidate, nor
groups of any size."""

FORMS = [
    (detector, form)
    for detector in (finder.detector for finder in (*FINDERS, *LOW))
    if (pattern := detector.pattern) is not None
    and detector.gate_pattern != pattern
    and not detector.words  # which stand beside what the pattern matches
    and detector.id not in NARROWER
    for form in [re.compile(pattern, re.ASCII)]
]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_gate_and_its_trigger_are_in_whatever_the_pattern_matches(data: st.DataObject) -> None:
    detector: Detector
    detector, form = data.draw(st.sampled_from(FORMS), label="detector")
    text = data.draw(st.from_regex(form, alphabet=st.characters(max_codepoint=255)), label="text").encode("latin-1")
    start, end = find_by(compile_pattern(detector.pattern or ""))(text, 0, len(text))[0]
    if start < 0:
        return  # Python's `re` and RE2 differ on what is a word
    around = text[max(0, start - 1) : end + 1]
    for looser in (detector.gate_pattern, detector.trigger):
        assert looser is None or is_in(looser)(around), looser
