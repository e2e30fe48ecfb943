"""What the scanner asks RE2, and what it spares it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.redaction import catalogue
from otelwarden.redaction.joined import Joined, join_texts
from otelwarden.redaction.marks import required_text
from otelwarden.redaction.patterns import Gate, PatternError, compile_pattern, find_by, public_find_by

PATTERNS = [detector.pattern for detector in catalogue() if detector.pattern is not None]
SAMPLES = [sample for d in catalogue() for sample in (*d.examples, *d.near_misses) if isinstance(sample, str)]
TEXTS = st.lists(st.sampled_from([*SAMPLES, "a", "\0", " ", "ä"]), max_size=5).map(
    lambda parts: "".join(parts).encode()
)


@settings(max_examples=300, deadline=None)
@given(pattern=st.sampled_from(PATTERNS), text=TEXTS, start=st.integers(0, 9))
def test_the_inner_search_finds_what_the_public_one_does(pattern: str, text: bytes, start: int) -> None:
    compiled = compile_pattern(pattern)
    start = min(start, len(text))
    found = find_by(compiled)(text, start, len(text))
    assert [*map(tuple, found)] == [*public_find_by(compiled)(text, start, len(text))]


@settings(max_examples=300, deadline=None)
@given(pattern=st.sampled_from(PATTERNS), text=TEXTS)
def test_a_mark_is_in_every_match(pattern: str, text: bytes) -> None:
    start, end = find_by(compile_pattern(pattern))(text, 0, len(text))[0]
    if start >= 0:
        assert required_text(pattern) in text[start:end]


@pytest.mark.parametrize(
    ("pattern", "mark"),
    [
        (r"\bghp_[a-z]{3}", b"ghp_"),
        (r"[a-z]+@(?:[a-z]+\.)+com", b"com"),
        (r"ab*cde", b"cde"),
        (r"ab{2}c", b"a"),
        (r"abc|abd", b""),
        (r"(?:abc|abd)x", b"x"),
        (r"(?i)abc", b""),
        (r"(?P<n>a)bc", b""),
        (r"[]abc]d[^\]x]e", b"d"),
        (r"[[:alpha:]]--\.\[", b"--.["),
        (r"\x41bc", b""),
        (r"\Qabc\E", b""),
        (r"a\d+bc$", b"bc"),
        (r"äbc", b""),
    ],
)
def test_the_mark_of_a_pattern(pattern: str, mark: bytes) -> None:
    assert required_text(pattern) == mark


def least_memory(members: list[tuple[int, str]]) -> int:
    """The least memory that the compiler accepts, within 5 %."""
    low, high = 1 << 10, 8 << 20
    while high > low * 1.05:
        middle = (low + high) // 2
        try:
            Gate(members, characters=False, memory=(middle,))
        except PatternError:
            low = middle
        else:
            high = middle
    return high


def test_a_gate_without_room_for_its_states_finds_the_same() -> None:
    members = [(number, d.gate_pattern) for number, d in enumerate(catalogue()) if d.gate_pattern is not None]
    members = [(number, pattern) for number, pattern in members if not pattern.startswith("^")][:60]
    roomy = Gate(members, characters=False)
    narrow = Gate(members, characters=False, memory=(least_memory(members),))
    for size in (1, 7, 50):
        for at in range(0, len(SAMPLES), size):
            text = " ".join(SAMPLES[at : at + size]).encode("utf-8", "replace")
            assert narrow.match(text) == roomy.match(text)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text("ab\0ä", max_size=4), min_size=1, max_size=6))
def test_a_place_is_found_by_counting_and_by_bounds(texts: list[str]) -> None:
    joined = join_texts(texts)
    counted = Joined.of_data(joined.data, len(texts))
    assert (counted is None) == any("\0" in text for text in texts)
    for at in [*range(len(joined.data)), 0]:
        number, low, high = joined.place(at)
        assert joined.text(number) == joined.data[low:high] == texts[number].encode()
        if counted is not None:
            assert counted.place(at) == (number, low, high)
            assert counted.text(number) == joined.text(number)
