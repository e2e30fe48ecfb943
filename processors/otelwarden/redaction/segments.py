"""Identifiers in the paths of URLs: segments that name one thing, not a kind of things."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from otelwarden.redaction.actions import HitFacts

_SEGMENT: Final = re.compile(rb"(?<=/)[^/?#\s\"'<>]+")
_ID: Final = re.compile(
    rb"[0-9]+"
    rb"|(?i:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    rb"|(?i:[0-9a-f]{16,})"
    rb"|(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_-]{16,}"
    rb"|[A-Za-z]{2,5}[_-][0-9]{3,}"
    rb"|[^/]*(?:@|%40)[^/]*"
)
_HOST: Final = re.compile(rb"[a-z][a-z0-9+.-]*://[^/?#\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyPathIds:
    """Puts a sign in place of every segment of a path that is an identifier: `/users/4711` becomes `/users/{id}`."""

    text: str = "{id}"
    """The sign."""

    name = "empty_path_ids"
    strictness = 30

    def apply(self, hit: str, facts: HitFacts) -> str:
        """The sign for a segment."""
        return self.text

    def parts(self, data: bytes, facts: HitFacts) -> list[tuple[int, int]]:
        """The segments that are identifiers: numbers, UUIDs, long tokens with digits, `order-4711`, addresses."""
        host = _HOST.match(data)
        found = (match.span() for match in _SEGMENT.finditer(data, host.end() if host else 0))
        query = min((at for at in (data.find(b"?"), data.find(b"#")) if at >= 0), default=len(data))
        return [(start, end) for start, end in found if start < query and _ID.fullmatch(data, start, end)]
