"""One scan over the joined texts answers as one scan of each text would, for any pattern."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.redaction.catalogue import Detector, catalogue
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import join_texts
from otelwarden.redaction.patterns import is_anchored, is_characterwise
from otelwarden.redaction.scanner import Scanner

PATTERNS = [
    r"^ACC[0-9]{3}$",
    r"\AACC",
    r"[0-9]+\z",
    r"[^a-z]{2,4}",
    r"[^\s&;,]{3,}",
    r"\bab\b",
    r"a|b$|^c",
    r"(?i)k+",
    r"ä+|é",
    r".{3}",
    r"\W{2}",
    r"x*y?z",
    r"\x{e4}.",
    r"(a)(b)?c",
    r"\B0\B",
    r"(?s).+b",
    r"(?m)^b",
    "\\x00a",
]
ALPHABET = "aAbcxyzkK0 19ACäé\n&;,\0.ß-𝄞"
TEXTS = st.lists(
    st.one_of(st.text(ALPHABET, max_size=8), st.just("ACC123"), st.just("ACC1234")), min_size=1, max_size=6
)


def detector_of(pattern: str) -> Detector:
    return Detector(id="own", entity="OWN", group="pii", classification="internal", pattern=pattern)


OWN = {pattern: Scanner([detector_of(pattern)]) for pattern in PATTERNS}
TOGETHER = Scanner([detector_of(pattern) for pattern in PATTERNS])
SHIPPED = Scanner(catalogue())


def expected(pattern: str, text: str) -> list[tuple[int, int]]:
    """What RE2 itself finds in one text, in bytes."""
    groups = re2.compile(pattern).groups
    found = []
    for match in re2.finditer(pattern, text):
        if match.end() > match.start():
            start, end = next((match.span(g) for g in range(1, groups + 1) if match.start(g) >= 0), match.span())
            found.append((len(text[:start].encode()), len(text[:end].encode())))
    return found


@settings(max_examples=300, deadline=None)
@given(texts=TEXTS, pattern=st.sampled_from(PATTERNS))
def test_joined_equals_what_re2_finds_in_each_text(texts: list[str], pattern: str) -> None:
    hits = sorted((hit.text, hit.start, hit.end) for hit in OWN[pattern].scan(join_texts(texts)))
    assert hits == [(n, *span) for n, text in enumerate(texts) for span in expected(pattern, text) if span[1] > span[0]]


@settings(max_examples=200, deadline=None)
@given(texts=TEXTS)
def test_joined_equals_text_by_text_for_many_patterns_at_once(texts: list[str]) -> None:
    apart = [hit._replace(text=n) for n, text in enumerate(texts) for hit in TOGETHER.scan(join_texts([text]))]
    assert sorted(TOGETHER.scan(join_texts(texts))) == sorted(apart)


FRAGMENTS = st.sampled_from(
    [sample for d in catalogue() for sample in (*d.examples, *d.near_misses) if isinstance(sample, str)]
    + ["ssn", "phone", "4242", " 12", "twilio", "@x.com", "\ud800", "日本", "=", "password", "\\"]
)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.lists(FRAGMENTS, max_size=3).map("".join), min_size=1, max_size=6))
def test_joined_equals_text_by_text_for_the_catalogue(texts: list[str]) -> None:
    apart = [hit._replace(text=n) for n, text in enumerate(texts) for hit in SHIPPED.scan(join_texts([text]))]
    assert sorted(SHIPPED.scan(join_texts(texts))) == sorted(apart)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("wallet 1", "219 09 9998"),
        ('say "x"', "219 09 9998"),
        ("secret", "api_key_id=550e8400-e29b-41d4-a716-446655440000"),
    ],
)
def test_what_stands_before_a_value_is_not_what_stands_in_the_one_before(first: str, second: str) -> None:
    alone = SHIPPED.scan(join_texts([second]))
    assert sorted(hit._replace(text=0) for hit in SHIPPED.scan(join_texts([first, second])) if hit.text) == sorted(
        alone
    )


def test_a_number_behind_an_iban_does_not_hide_it() -> None:
    number = next(n for n, detector in enumerate(catalogue()) if detector.id == "iban")
    hits = SHIPPED.scan(join_texts(["GB29 NWBK 6016 1331 9268 19 1234 5678"]))
    assert Hit(0, 0, 27, number) in hits


def test_lone_surrogates_are_no_way_round() -> None:
    assert SHIPPED.scan(join_texts(["\ud800 jane@example.com \udfff"]))


def test_patterns_that_depend_on_the_edges_of_a_text_are_told() -> None:
    assert [is_anchored(p) for p in ("^a", "a$", r"\Aa", r"a\z", r"[^a]", r"\^a", r"\$", "a|b", r"\\^")] == [
        *[True] * 4,
        *[False] * 4,
        True,
    ]


def test_patterns_that_tell_characters_from_bytes_are_told() -> None:
    assert [is_characterwise(p) for p in ("ä", "a.b", "[^a]", r"\S", r"a\.b", "[a-z]+", r"\bx\b")] == [
        *[True] * 4,
        *[False] * 3,
    ]
