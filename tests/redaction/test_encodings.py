"""Encoded texts: what they say is found, and cut out of them as they are."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote_plus, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelwarden.redaction import RedactionPolicy, Redactor
from otelwarden.redaction.encodings import MAX_LAYERS, views

SECRET = "8f14e45fceea167a5a36dedd4bea2543"


def base64_of(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/orders?email=jane.doe%40mail.example.com&n=1", "/orders?email=[REDACTED]&n=1"),
        ("/orders?email=jane.doe%2540mail.example.com", "/orders?email=[REDACTED]"),
        ("/orders?email=jane.doe%252540mail.example.com", "/orders?email=[REDACTED]"),
        ("/orders?email=jane+news%40example.com", "/orders?email=[REDACTED]"),
        ("/orders?email=jane+news@example.com", "/orders?email=[REDACTED]"),
        ("/charge?card=4242+4242+4242+4242&n=1", "/charge?card=[REDACTED]&n=1"),
        ("/charge?card=4242%204242%204242%204242", "/charge?card=[REDACTED]"),
        ("next=%2Fcharge%3Fcard%3D4242%2B4242%2B4242%2B4242", "next=%2Fcharge%3Fcard%3D[REDACTED]"),
        (f"/cb?token=Bearer%20{SECRET}&n=1", "/cb?token=Bearer%20[REDACTED]&n=1"),
        (f"u=https%3A%2F%2Fx.io%2F%3Ftoken%3D{SECRET}%26n%3D1", "u=https%3A%2F%2Fx.io%2F%3Ftoken%3D[REDACTED]%26n%3D1"),
        ("mail%3Az%C3%B6e%40ex%C3%A4mple.org%21", "mail%3A[REDACTED]%21"),
        ("key=-----BEGIN+PRIVATE+KEY-----%0AMIIEvQ%0A&n=1", "key=[REDACTED]&n=1"),
        (r'{"email":"jane\u0040example.com"}', '{"email":"[REDACTED]"}'),
        (r'{"url":"https:\/\/u:pw@localhost\/x"}', r'{"url":"https:\/\/REDACTED:REDACTED@localhost\/x"}'),
        (f"p={base64_of({'user': 'a', 'password': 'hunter2'})}&n=1", "p=[REDACTED]&n=1"),
        (f"p={base64_of(['4242424242424242']).rstrip('=')} n", "p=[REDACTED] n"),
        (f"p={quote(base64_of([{'ip': '203.0.113.77'}]))}", "p=[REDACTED]"),
        (f"p={quote(quote(base64_of([{'ip': '203.0.113.77'}])))}", "p=[REDACTED]"),
    ],
)  # fmt: skip
def test_what_an_encoded_text_says_is_found(redactor: Redactor, text: str, left: str) -> None:
    assert redactor.redact_text(text, "traces", "acme", key="http.target") == left
    assert redactor.redact_text(left, "traces", "acme", key="http.target") == left


@pytest.mark.parametrize(
    "text",
    [
        "/orders?discount=50%&q=100%25",
        "/search?q=try+red+reset&limit=20",
        "/sum?q=4242+4242",
        "%E4%B8%AD%FF%00%",
        "mail LIKE '%25@%'",
        r"C:\users\u00e4\/",
        base64_of({"alg": "HS256", "n": 1}),
        "eyJhbGciOiJIUzI1NiJ9",
    ],
)
def test_what_says_nothing_stays(redactor: Redactor, text: str) -> None:
    assert redactor.redact_text(text, "traces", "acme", key="http.target") == text


def test_keys_are_evidence_for_what_is_encoded(redactor: Redactor) -> None:
    assert redactor.redact_text("030%201234567", "traces", "", key="user.phone") == "[REDACTED]"
    assert redactor.redact_text("1990%2D02%2D28", "traces", "", key="user.birth_date") == "[REDACTED]"


def test_encoded_keys_are_redacted(redactor: Redactor) -> None:
    document = redactor.document()
    fields = document.fields({"jane%40example.com": "x"})
    redaction = redactor.redact(document, "traces", "")
    assert redaction is not None
    assert fields.rebuild(redaction.edits) == {"[REDACTED]": "x"}


def test_actions_are_about_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        """
        rules:
          - {id: cards, match: {entities: [PAYMENT_CARD]}, action: {mask: {keep_last: 4}}}
          - {id: mails, match: {entities: [EMAIL]}, action: {replace: {}}}
          - {id: names, match: {detectors: [name]}, action: {replace: {text: X}}}
        allow: {values: [ops@example.com]}
        detectors:
          - {id: name, entity: NAME, group: pii, classification: internal, pattern: "^jane doe"}
        """,
        encoding="utf-8",
    )
    redactor = Redactor(RedactionPolicy.load(path))
    card = "4242 4242 4242 4242"
    for text in (card, quote(card), f"to={quote_plus(card)}", base64_of([card])):
        assert redactor.redact_text(text, "logs", "").endswith("***************4242")
    assert redactor.redact_text("to=ops%40example.com", "logs", "") == "to=ops%40example.com"
    assert redactor.redact_text("jane%20doe, jane%20doe", "logs", "") == "X, jane%20doe"


TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=30)


@given(text=TEXTS, start=st.integers(0, 90), size=st.integers(1, 90))
def test_a_range_of_what_is_said_is_where_it_says_so(text: str, start: int, size: int) -> None:
    for encoded, decode in (
        (quote(text, safe="").encode(), unquote_to_bytes),
        (json.dumps(text)[1:-1].encode(), lambda part: json.loads(b'"%s"' % part).encode()),
    ):
        for view in list(views(encoded))[:1]:
            said = view.data[start : start + size]
            if view.data == text.encode() and said and said.decode("utf-8", "ignore").encode() == said:
                source = view.source(start, start + len(said))
                assert decode(encoded[slice(*source)]) == said


@given(text=TEXTS)
def test_any_text_is_read_as_the_standard_library_reads_it(text: str) -> None:
    once = quote("=" + text)
    if "%" in text or "\\" in text or "%" not in once:
        return
    assert text.encode() in [view.data[1:] for view in views(once.encode())]
    form = "a=" + quote_plus(text)
    if "+" in form:
        assert unquote_plus(form).encode() in [view.data for view in views(form.encode())]


CODED = [
    "%25",
    "%2525",
    "%252525",
    "%2",
    "%%%",
    "4=4+",
    "%2B=+",
    "%5C",
    "\\\\",
    "\\u0025",
    "\\u005c",
    "eyJh",
    "eyJhIjoiYmNkZWZnaGkifQ,",
    "eyI%25",
]


@pytest.mark.parametrize("piece", CODED)
def test_the_work_is_linear_in_the_length_of_the_text(piece: str) -> None:
    """Counted in bytes to scan, for texts that decode to what can be decoded again."""

    def bytes_to_scan(times: int) -> int:
        return sum(len(view.data) for view in views((piece * times).encode()))

    small, large = bytes_to_scan(1000), bytes_to_scan(8000)
    assert large <= (3 * MAX_LAYERS + 2) * len(piece) * 8000
    assert large <= 8 * small + 1000
