"""Literals of queries and identifiers in paths."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelwarden.redaction import EmptyLiterals, EmptyPathIds, HitFacts, ItemFacts, RedactionPolicy, Redactor


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(RedactionPolicy.load("db-literals"), facts_of=lambda item: item)


def emptied(redactor: Redactor, text: str, system: str = "") -> str:
    item = ItemFacts(0, {"db.system.name": system} if system else {})
    return redactor.look_at_text(text, "traces", key="db.query.text", item=item)[0]


UNTOUCHED = [
    "SELECT * FROM users WHERE id = $1 AND name = $2",
    "SELECT * FROM users WHERE id = ? AND name = :name",
    "SELECT * FROM users WHERE id = %s AND name = %(name)s",
    "UPDATE [order] SET a = @p1, b = @@session_id WHERE t1.c2 = x",
    'SELECT "users"."name" FROM "users" WHERE "users"."id" = $1',
    "SELECT `a b` FROM `t1` WHERE x IS NOT NULL AND y = TRUE",
    "SELECT a::int, b FROM t2 /* traceparent='00-ab-cd-01' */ -- it's",
    "",
]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_statements_with_parameters_stay_as_they_are(redactor: Redactor, text: str) -> None:
    assert emptied(redactor, text) == text


EMPTIED = [
    ("WHERE a = 'x' AND b = 3", "", "WHERE a = ? AND b = ?"),
    ("WHERE a = 'it''s' AND b = N'x' AND c = X'ff' AND d = 0xFF", "", "WHERE a = ? AND b = ? AND c = ? AND d = ?"),
    ("VALUES (1, -2.5, 1e10, .5, 'a')", "", "VALUES (?, -?, ?, ?, ?)"),
    ("WHERE a = 'cut at the limi", "", "WHERE a = ?"),
    ("a = $$it's$$ AND b = $tag$x $$ y$tag$ AND c = $1", "", "a = ? AND b = ? AND c = $1"),
    ("a = $tag$never closed", "", "a = ?"),
    ("a = q'[it's]' AND b = q'!x!' AND c", "oracle", "a = ? AND b = ? AND c"),
    (r"a = E'it\'s' AND b = c", "postgresql", "a = ? AND b = c"),
    (r"a = 'C:\' AND b = 'Jane'", "postgresql", "a = ? AND b = ?"),
    (r"a = 'it\'s Jane' AND b = c", "mysql", "a = ? AND b = c"),
    (r"a = 'C:\' AND b = 'Jane' AND c", "", "a = ? AND c"),
    (r"a = 'it\'s Jane' AND c", "", "a = ? AND c"),
    ('a = "Jane" AND b', "mysql", "a = ? AND b"),
    ('a = "Jane" AND b', "", "a = ? AND b"),
    ('a = "b" AND c = 1', "postgresql", 'a = "b" AND c = ?'),
    ('INSERT INTO "t" ("a") VALUES ("Jane", "x"), ("Bob", f("y"))', "",
     'INSERT INTO "t" ("a") VALUES (?, ?), (?, f(?))'),
    ("WHERE a LIKE'%x%' AND table1.c2 IN (1,2)", "", "WHERE a LIKE? AND table1.c2 IN (?,?)"),
    ("WHERE näme = 'é' LIMIT 10", "", "WHERE näme = ? LIMIT ?"),
    ('{"find": "users", "filter": {"name": "Jane", "age": {"$gt": 21}}, "x": [true, -1.5e3]}', "mongodb",
     '{"find": ?, "filter": {"name": ?, "age": {"$gt": ?}}, "x": [true, ?]}'),
    ('{"filter": {"name": "cut', "", '{"filter": {"name": ?'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "system", "left"), EMPTIED)
def test_literals_are_emptied(redactor: Redactor, text: str, system: str, left: str) -> None:
    assert emptied(redactor, text, system) == left


def test_comments_by_option() -> None:
    text = b"SELECT 1 -- jane\nFROM t /* bob */ WHERE a = 'x' /* open"
    keep = EmptyLiterals().parts(text, HitFacts())
    remove = EmptyLiterals(comments="remove").parts(text, HitFacts())
    assert [text[a:b] for a, b in keep] == [b"1", b"'x'"]
    assert [text[a:b] for a, b in remove] == [b"1", b"-- jane", b"/* bob */", b"'x'", b"/* open"]


def test_what_detectors_find_in_comments_goes_all_the_same() -> None:
    redactor = Redactor(RedactionPolicy.load("db-literals", "pii"))
    text = "SELECT 1 -- for jane@example.com\nFROM t WHERE a = 'bob@example.com' AND b = '4242424242424242 x'"
    left = redactor.redact_text(text, "traces", "", key="db.query.text")
    assert "example" not in left
    assert "4242" not in left
    assert left.startswith("SELECT ? -- for [REDACTED]\nFROM t WHERE a = ")
    parameters = redactor.redact_text("Jane", "traces", "", key="db.query.parameter.name")
    assert parameters == "?"


sql = st.text(alphabet=st.sampled_from(list("ab1'\"\\$;-/*(), =`[]{}:?@%qEN\nü")), max_size=60)


@given(sql, st.sampled_from(["", "mysql", "postgresql", "oracle"]))
@settings(max_examples=300, deadline=None)
def test_any_text_has_ranges_in_order_that_do_not_overlap(text: str, system: str) -> None:
    data = text.encode()
    facts = HitFacts(item=ItemFacts(0, {"db.system": system}))
    at = 0
    for start, end in EmptyLiterals().parts(data, facts):
        assert at <= start < end <= len(data)
        data[start:end].decode()  # whole characters
        at = end


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="'\\"), max_size=8), max_size=6))
@settings(max_examples=200, deadline=None)
def test_no_part_of_a_quoted_value_is_left(values: list[str]) -> None:
    text = "SELECT a FROM t WHERE " + " AND ".join(f"c = '{value}'" for value in values)
    data = text.encode()
    found = EmptyLiterals().parts(data, HitFacts())
    assert [data[start:end].decode() for start, end in found] == [f"'{value}'" for value in values]


PATHS = [
    ("/users/4711/orders/9b2f7c1e-0000-4000-8000-abcdefabcdef", "/users/{id}/orders/{id}"),
    ("https://shop.example/v1/users/4711?page=2", "https://shop.example/v1/users/{id}?page=2"),
    ("GET /api/v2/items/a1b2c3d4e5f6a7b8c9", "GET /api/v2/items/{id}"),
    ("/u/jane@example.com/mails", "/u/{id}/mails"),
    ("/orders/ord_1234/lines", "/orders/{id}/lines"),
    ("/static/app.js", "/static/app.js"),
    ("https://10.0.0.1:8080/health", "https://10.0.0.1:8080/health"),
]


@pytest.mark.parametrize(("path", "left"), PATHS)
def test_identifiers_in_paths(tmp_path: Any, path: str, left: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("rules: [{id: p, match: {keys: [url.full, span.name]}, action: {empty_path_ids: {}}}]")
    assert Redactor(RedactionPolicy.load(own)).redact_text(path, "traces", "", key="url.full") == left
    assert EmptyPathIds(text=":id").apply("x", HitFacts()) == ":id"
