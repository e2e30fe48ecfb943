"""Decides what becomes of the texts of an item. No SDK in here; a `Redactor` may be shared by threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from otelwarden.core import Signal
from otelwarden.redaction.actions import DEFAULT_TEXT, DELETED
from otelwarden.redaction.document import Document, Edits
from otelwarden.redaction.keys import KeyFacts, KeyTable
from otelwarden.redaction.policy import RedactionPolicy, Rule
from otelwarden.redaction.scanner import Hit, Scanner, encode_text, join_texts

MAX_VALUE_LENGTH: Final = 1 << 20
"""Characters of the longest value that is scanned, unless configured; 1 MiB of ASCII takes 2 ms."""


class Redaction(NamedTuple):
    """What was decided about one item."""

    edits: Edits
    counts: dict[Rule, int]
    """In how many places each rule acted."""


class _Claim(NamedTuple):
    """A hit and the rule that decides about it."""

    start: int
    end: int
    rule: Rule
    text: str
    """What the detector would put in its place."""
    decoded: str
    """What was found, when it is encoded."""


class _Book:
    """The rules for items of one signal and tenant."""

    def __init__(self, policy: RedactionPolicy, signal: Signal, tenant: str) -> None:
        rules = [rule for rule in policy.rules if rule.concerns(signal, tenant)]
        self._whole = tuple(rule for rule in rules if rule.detectors is None)
        self._by_detector = tuple(
            tuple(rule for rule in rules if rule.is_about(detector)) for detector in policy.detectors
        )

    def rule_for(self, detector: int, key: str) -> Rule | None:
        """The rule that decides about a hit under a key."""
        for rule in self._by_detector[detector]:
            if rule.keys is None or rule.keys.match(key):
                return rule
        return None

    def whole_value_rule(self, key: str) -> Rule | None:
        """The rule that decides about whatever stands under a key, at any depth."""
        return next((rule for rule in self._whole if rule.keys is None or rule.keys.match(key)), None)


class Redactor:
    """A policy at work on the texts of items.

    Args:
        policy: what to look for and what to do about it.
        max_value_length: characters of the longest text that is scanned; a `Document` refuses longer ones.
        exempt: keys of fields that are left alone, such as the tag of the tenant.

    Raises:
        ConfigError: a detector fails on its own examples.
    """

    def __init__(
        self,
        policy: RedactionPolicy,
        *,
        max_value_length: int = MAX_VALUE_LENGTH,
        exempt: frozenset[str] = frozenset(),
    ) -> None:
        self.policy = policy
        self.scanner = Scanner(policy.detectors)
        self.max_value_length = max_value_length
        self._exempt = exempt
        self._allowed_values = policy.allowed_values
        self._allowed_keys = policy.allowed_keys
        self._whole_value_rules = [rule for rule in policy.rules if rule.detectors is None]
        self.keys = KeyTable(self.scanner, self._is_ruled)
        self._texts = [detector.text for detector in policy.detectors]
        self.named_tenants = frozenset[str]().union(*(rule.tenants or () for rule in policy.rules))
        """Tenants that some rule names; to all others the same rules apply."""
        self._books: dict[tuple[Signal, str], _Book] = {}

    def document(self) -> Document:
        """An empty document for the texts of one item."""
        return Document(self.keys, self.max_value_length)

    def redact(self, document: Document, signal: Signal, tenant: str) -> Redaction | None:
        """What is to be done about an item; None when nothing is."""
        joined = join_texts(document.texts)
        hits = self.scanner.scan(joined)
        if document.keyed:
            named: dict[int, set[int]] = {}
            for number, facts in document.keyed:
                if facts.detectors:
                    named.setdefault(number, set()).update(facts.detectors)
            hits = self.scanner.drop_contradicted(hits, named)
        ruled: dict[int, list[str]] = {}
        for number, facts in document.keyed:
            self.scanner.scan_under_key(joined, number, facts.detectors, hits)
            if facts.ruled and document.texts[number]:
                ruled.setdefault(number, []).append(facts.key)
        if not hits and not ruled and not document.names:
            return None
        redaction = Redaction(Edits({}, {}), {})
        book = self._book(signal, tenant)
        found = _by_text(hits)
        for number in found.keys() | ruled.keys():
            data = joined.data[joined.starts[number] : joined.ends[number]]
            claims = [
                _Claim(0, len(data), rule, DEFAULT_TEXT, "")
                for key in ruled.get(number, ())
                if (rule := book.whole_value_rule(key)) is not None
            ]
            path = document.paths[number]
            new = self._rewrite(data, path, found.get(number, ()), claims, book, redaction.counts)
            if new is not None:
                redaction.edits.texts[number] = new
        self._rename(document.names, book, redaction)
        return redaction if redaction.counts else None

    def redact_flat(
        self,
        texts: Sequence[str],
        keys: Sequence[str],
        data: bytes,
        candidates: Sequence[int],
        signal: Signal,
        tenant: str,
    ) -> Redaction | None:
        """As `redact`, for texts that stand under plain keys.

        Args:
            data: the UTF-8 of the texts joined by the separator.
            candidates: what the scanner's `joined_match` said about them.
        """
        joined = join_texts(texts, data)
        hits = self.scanner.scan(joined, candidates)
        if not hits:
            return None
        redaction = Redaction(Edits({}, {}), {})
        book = self._book(signal, tenant)
        for number, found in _by_text(hits).items():
            data = joined.data[joined.starts[number] : joined.ends[number]]
            new = self._rewrite(data, keys[number], found, [], book, redaction.counts)
            if new is not None:
                redaction.edits.texts[number] = new
        return redaction if redaction.counts else None

    def redact_text(self, text: str, signal: Signal, tenant: str, *, key: str = "") -> str:
        """A single text, redacted, as if it stood under `key`; empty when a rule deletes it."""
        document = self.document()
        facts = self.keys.facts(key)
        document.value(key, text, (facts,) if facts.tells else ())
        redaction = self.redact(document, signal, tenant)
        new = text if redaction is None else redaction.edits.texts.get(0, text)
        return "" if new is DELETED else new

    def _is_ruled(self, key: str) -> bool:
        return any(rule.keys is not None and rule.keys.match(key) for rule in self._whole_value_rules)

    def _book(self, signal: Signal, tenant: str) -> _Book:
        # Tenants that no rule names share a book, so there are few.
        name = (signal, tenant if tenant in self.named_tenants else "")
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = _Book(self.policy, signal, name[1])
        return book

    def _rewrite(
        self,
        data: bytes,
        key: str,
        hits: Sequence[Hit],
        claims: list[_Claim],
        book: _Book,
        counts: dict[Rule, int],
    ) -> Any:
        """The new text, `DELETED`, or None when nothing is to change."""
        if key in self._exempt or (self._allowed_keys is not None and self._allowed_keys.match(key)):
            return None
        allowed = self._allowed_values
        for _, start, end, detector, decoded in hits:
            rule = book.rule_for(detector, key)
            if rule is None or (allowed and (decoded or data[start:end].decode()) in allowed):
                continue
            claims.append(_Claim(start, end, rule, self._texts[detector], decoded))
        if not claims:
            return None
        if len(claims) > 1:
            claims.sort(key=_where)
        return _apply(data, claims, counts)

    def _rename(self, names: list[tuple[str, KeyFacts]], book: _Book, redaction: Redaction) -> None:
        for number, (name, facts) in enumerate(names):
            new = self._rewrite(encode_text(name), name, facts.hits, [], book, redaction.counts)
            if new is not None:
                redaction.edits.names[number] = new


def _by_text(hits: list[Hit]) -> dict[int, list[Hit]]:
    found: dict[int, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.text, []).append(hit)
    return found


def _where(claim: _Claim) -> tuple[int, int]:
    return claim.start, claim.end


def _decides(claim: _Claim) -> tuple[int, int, int]:
    """Orders claims that overlap: the rule that comes first, and of one rule the longest."""
    return (*claim.rule.rank, claim.start - claim.end)


def _apply(data: bytes, claims: list[_Claim], counts: dict[Rule, int]) -> Any:
    """The text with every claim settled.

    Claims that overlap are one: leaving what only the weaker of two covers would leave part of a secret.

    Args:
        claims: in the order of where they begin.
    """
    pieces: list[str] = []
    deleted = False
    done = 0
    at = 0
    while at < len(claims):
        winner = claims[at]
        start, end = winner.start, winner.end
        following = at + 1
        while following < len(claims) and claims[following].start < end:
            end = max(end, claims[following].end)
            following += 1
        if following > at + 1:
            winner = min(claims[at:following], key=_decides)
        at = following
        counts[winner.rule] = counts.get(winner.rule, 0) + 1
        # An action is about what was found, not about how it was written: a card number is masked alike, whether its
        # blanks are blanks or `%20`.
        whole = winner.decoded and (winner.start, winner.end) == (start, end)
        new = winner.rule.action.apply(winner.decoded if whole else data[start:end].decode(), winner.text)
        if new is DELETED:
            deleted = True
            continue
        pieces += (data[done:start].decode(), str(new))
        done = end
    if deleted:
        return DELETED
    pieces.append(data[done:].decode())
    return "".join(pieces)
