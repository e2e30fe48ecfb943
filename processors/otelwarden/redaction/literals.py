"""Literals in the texts of queries: where they are, without a parser, in one pass and linear time.

A parser takes milliseconds, wants to know the dialect, and gives up on a statement that was cut at a length limit. What
is needed is only where strings and numbers begin and end. Where dialects differ and the item does not say which it is,
the reading is taken that covers more: a literal too many costs readability, one too few is a leak.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from otelwarden.redaction.actions import HitFacts

_ESCAPES: Final = frozenset({"mysql", "mariadb", "clickhouse", "hive", "spark", "bigquery", "databricks", "snowflake"})
"""Systems in which a backslash in a string escapes."""

_QUOTES_ARE_STRINGS: Final = frozenset({"mysql", "mariadb", "sqlite", "hive", "spark", "bigquery", "databricks"})
"""Systems in which a text in double quotes is, or may be, a string."""

_QUOTES_ARE_NAMES: Final = frozenset(
    {"postgresql", "oracle", "oracle.db", "mssql", "microsoft.sql_server", "db2", "ibm.db2", "cockroachdb", "redshift",
     "aws.redshift", "snowflake", "trino", "h2", "hsqldb", "clickhouse", "teradata", "vertica", "derby"}
)  # fmt: skip
"""Systems in which it is a name."""

_TOKEN: Final = re.compile(
    rb"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<dollar>\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)
  | (?P<oracle>\b[nN]?[qQ]'.)
  | (?P<escaped>\b[eE]')
  | (?P<string>(?:\b(?:[nNbBxX]|_[a-z0-9]+|[uU]&))?')
  | (?P<quoted>")
  | (?P<name>`[^`]*`?|\[[A-Za-z_][^\]\n]*\])
  | (?P<placeholder>\?|\$[0-9]+|@@?[A-Za-z_][A-Za-z0-9_]*|::?[A-Za-z_0-9]+|%\([A-Za-z0-9_]+\)s|%s)
  | (?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$#\x80-\xff]*)
  | (?P<number>0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<sign>[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)
_BEFORE_A_VALUE: Final = frozenset({b"=", b"<", b">", b"!", b"~", b"LIKE", b"ILIKE", b"RLIKE", b"REGEXP", b"THEN"})
_BEFORE_A_LIST: Final = frozenset({b"VALUES", b"VALUE", b"IN"})
_CLOSES: Final = {b"[": b"]", b"(": b")", b"{": b"}", b"<": b">"}
_JSON_STRING: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*(?:"|$)(\s*:)?|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyLiterals:
    """Puts `?` in place of every literal of a query; a query with parameters stays as it is."""

    comments: str = "keep"
    """`keep` leaves comments to the detectors, `remove` takes them for literals."""

    name = "empty_literals"
    strictness = 30

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The sign for a literal."""
        return "?"

    def parts(self, data: bytes, facts: HitFacts) -> list[tuple[int, int]]:
        """The literals of a query."""
        if data.lstrip()[:1] in (b"{", b"["):
            return [match.span() for match in _JSON_STRING.finditer(data) if match[1] is None and match[0] != b'""']
        return list(_literals(data, _system_of(facts.item.attributes), comments=self.comments == "remove"))


def _system_of(attributes: Mapping[str, Any]) -> str:
    system = attributes.get("db.system.name") or attributes.get("db.system")
    return system.lower() if isinstance(system, str) else ""


def _literals(data: bytes, system: str, *, comments: bool) -> Iterator[tuple[int, int]]:
    """The ranges of the literals of a statement.

    Args:
        system: which database it is for; empty when that is not known.
        comments: whether comments count.
    """
    before = b""  # the last word in capitals, or sign
    values = 0  # how many brackets deep we are in a list of values
    listed = False  # whether such a list has just ended, so that another may follow
    match = _TOKEN.search(data, 0)
    while match is not None:
        kind, (start, end) = match.lastgroup, match.span()
        if kind == "comment":
            if comments:
                yield start, end
        elif kind in ("string", "escaped", "dollar", "oracle") or (
            kind == "quoted" and _is_value(data, start, system, before, values)
        ):
            end = _end_of_string(data, start, end, str(kind), system)
            yield start, end
            before = b"literal"
        elif kind == "quoted":
            closing = data.find(b'"', end)
            end = closing + 1 if closing >= 0 else len(data)
            before = b"name"
        elif kind == "number":
            yield start, end
            before = b"literal"
        else:
            token = match[0].upper()
            if token == b"(" and (values or before in _BEFORE_A_LIST or (listed and before == b",")):
                values += 1
            elif token == b")" and values:
                values -= 1
                listed = not values
            elif kind == "word":
                listed = False
            before = token
        match = _TOKEN.search(data, end)


def _is_value(data: bytes, start: int, system: str, before: bytes, values: int) -> bool:
    """Whether a text in double quotes is a string."""
    if system in _QUOTES_ARE_NAMES:
        return False
    if system in _QUOTES_ARE_STRINGS:
        return True
    return values > 0 or before in _BEFORE_A_VALUE


def _end_of_string(data: bytes, start: int, end: int, kind: str, system: str) -> int:
    """Where a string ends that begins with what stands in `data[start:end]`; of one that was cut, at the end."""
    if kind == "dollar":
        return _behind(data.find(data[start:end], end), end - start, data)
    if kind == "oracle":
        opening = data[end - 1 : end]
        return _behind(data.find(_CLOSES.get(opening, opening) + b"'", end), 2, data)
    quote = data[end - 1 : end]
    escapes = kind == "escaped" or system in _ESCAPES
    at = end
    while (at := data.find(quote, at)) >= 0:
        backslashes = _backslashes_before(data, at, end)
        if backslashes % 2 and escapes:
            at += 1
        elif data[at + 1 : at + 2] == quote:
            at += 2
        elif backslashes % 2 and not system:
            # `'C:\'` ends here in one dialect, `'it\'s'` does not in another: up to the last quote it is covered.
            return data.rfind(quote) + 1
        else:
            return at + 1
    return len(data)


def _backslashes_before(data: bytes, at: int, low: int) -> int:
    count = 0
    while at - count - 1 >= low and data[at - count - 1] == 0x5C:
        count += 1
    return count


def _behind(found: int, length: int, data: bytes) -> int:
    return found + length if found >= 0 else len(data)
