"""One item under judgement: what its rules make of each hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from otelwarden.core import Classification
from otelwarden.redaction.actions import BLOCKED, DELETED, ActsOnParts, Archive, HitFacts, ItemFacts, Keys
from otelwarden.redaction.book import Book, Choice
from otelwarden.redaction.classification import higher
from otelwarden.redaction.document import Edits
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import encode_text
from otelwarden.redaction.keys import KeyFacts
from otelwarden.redaction.rules import Rule, ValueType

_Claim: TypeAlias = "tuple[int, int, Choice, str]"
"""Where a hit begins and ends, the rule that decides about it, and what was found when it is encoded."""

_WHERE: Final = itemgetter(0, 1)


class Finding(NamedTuple):
    """A place in a text on which a rule acted."""

    text: int
    """Number of the text in its document."""
    path: str
    """The key it stands under."""
    start: int
    """Where it begins, in bytes of the UTF-8 of its text."""
    end: int
    entity: str
    """What was found; empty for a value that was chosen by its key."""
    rule: Rule


class Redaction:
    """What was decided about one item.

    Attributes:
        edits: what becomes of its texts and keys.
        counts: in how many places each rule acted, or would have.
        blocked: whether the item goes no further.
        archives: names of the archives that keep it as it came.
        classification: the highest class of data that is left in it; None for none.
        findings: every place on which a deciding rule acted, if they are asked for.
    """

    __slots__ = ("archives", "blocked", "classification", "counts", "edits", "findings")

    def __init__(self, texts: dict[int, Any], counts: dict[Rule, int]) -> None:
        self.edits = Edits(texts, {})
        self.counts = counts
        self.blocked = False
        self.archives: set[str] = set()
        self.classification: Classification | None = None
        self.findings: list[Finding] = []

    @property
    def changes(self) -> bool:
        """Whether any text or key becomes another."""
        return bool(self.edits.texts or self.edits.names)


class Surroundings(NamedTuple):
    """What the cases of one redactor share."""

    facts_of: Callable[[Any], ItemFacts]
    """What is known about an item."""
    keys: Keys
    """What actions with keys use."""
    findings: bool
    """Whether `Redaction.findings` is wanted."""


class Case:
    """One item under judgement.

    Args:
        item: what `facts_of` is asked about, once and only if somebody wants to know; or what it would answer.
    """

    __slots__ = ("_book", "_facts", "_item", "_redaction", "_surroundings", "_tenant")

    def __init__(self, book: Book, tenant: str, item: Any, surroundings: Surroundings) -> None:
        self._book = book
        self._tenant = tenant
        self._item = item
        self._surroundings = surroundings
        self._facts: ItemFacts | None = None
        self._redaction = Redaction({}, {})

    @property
    def facts(self) -> ItemFacts:
        """What is known about the item."""
        if self._facts is None:
            item = self._item
            self._facts = item if type(item) is ItemFacts else self._surroundings.facts_of(item)
        return self._facts

    def result(self) -> Redaction | None:
        """What was decided; None when nothing was."""
        redaction = self._redaction
        return redaction if redaction.counts or redaction.classification is not None else None

    def text(
        self, number: int, data: bytes, path: str, kind: ValueType, hits: Sequence[Hit], ruled: Sequence[KeyFacts]
    ) -> None:
        """Decides about one text, of which something was found, or of which the key tells something."""
        new = self._rewritten(number, data, path, kind, hits, ruled)
        if new is not None:
            self._redaction.edits.texts[number] = new

    def rename(self, names: Sequence[tuple[str, KeyFacts]]) -> None:
        """Decides about keys in which something was found."""
        for number, (name, facts) in enumerate(names):
            new = self._rewritten(-1, encode_text(name), name, "string", facts.hits, ())
            if new is not None:
                self._redaction.edits.names[number] = new

    def _rewritten(
        self, number: int, data: bytes, path: str, kind: ValueType, hits: Sequence[Hit], ruled: Sequence[KeyFacts]
    ) -> Any:
        """The new text, `DELETED`, or None when nothing is to change."""
        book = self._book
        if book.is_left_alone(path):
            return None
        claims: list[_Claim] = []
        for facts in ruled:
            self._claim_value(claims, data, kind, facts)
        settled = book.settled
        for _, start, end, detector, decoded in hits:
            choice = settled[detector]
            if choice is not None:
                claims.append((start, end, choice, decoded))
            elif not (book.allows and book.is_allowed(decoded or data[start:end].decode())):
                choices = book.for_hit(detector, path, kind, len(data), self.facts)
                self._claim(claims, choices, start, end, decoded)
                if not choices or choices[-1].rule.stands_beside:
                    self._leave(book.classes[detector])
        if not claims:
            return None
        if len(claims) > 1:
            claims.sort(key=_WHERE)
        return self._apply(number, data, path, claims)

    def _claim_value(self, claims: list[_Claim], data: bytes, kind: ValueType, facts: KeyFacts) -> None:
        """Adds what a key makes of the whole of its value."""
        choices = self._book.for_value(facts, kind, len(data), self.facts)
        for choice in choices:
            action = choice.rule.action
            if not isinstance(action, ActsOnParts):
                self._claim(claims, [choice], 0, len(data), "")
                continue
            for start, end in action.parts(data, self._hit_facts(choice)):
                self._claim(claims, [choice], start, end, "")
        if not choices or choices[-1].rule.stands_beside or choices[-1].keeps:
            self._leave(facts.classification)

    def _claim(self, claims: list[_Claim], choices: Sequence[Choice], start: int, end: int, decoded: str) -> None:
        counts = self._redaction.counts
        for choice in choices:
            rule = choice.rule
            if not rule.stands_beside:
                claims.append((start, end, choice, decoded))
                continue
            counts[rule] = counts.get(rule, 0) + 1
            if isinstance(rule.action, Archive) and not rule.dry_run:
                self._redaction.archives.add(rule.action.to)

    def _leave(self, classification: Classification | None) -> None:
        """Data of a classification is left in the item."""
        self._redaction.classification = higher(self._redaction.classification, classification)

    def _hit_facts(self, choice: Choice) -> HitFacts:
        return HitFacts(choice.text, choice.entity, self._tenant, self.facts, self._surroundings.keys)

    def _apply(self, number: int, data: bytes, path: str, claims: list[_Claim]) -> Any:
        """The text with every claim settled.

        Claims that overlap are one: leaving what only the weaker of two covers would leave part of a secret.

        Args:
            claims: in the order of where they begin.
        """
        counts = self._redaction.counts
        pieces: list[str] = []
        deleted = False
        done = 0
        at = 0
        while at < len(claims):
            winner = claims[at]
            start, end, choice, decoded = winner
            following = at + 1
            while following < len(claims) and claims[following][0] < end:
                end = max(end, claims[following][1])
                following += 1
            if following > at + 1:
                winner = min(claims[at:following], key=_decides)
                choice = winner[2]
                # An action is about what was found, not about how it was written: a card number is masked alike,
                # whether its blanks are blanks or `%20`.
                decoded = winner[3] if winner[:2] == (start, end) else ""
            at = following
            rule = choice.rule
            counts[rule] = counts.get(rule, 0) + 1
            if choice.left is not None:
                self._leave(choice.left)
            if self._surroundings.findings:
                self._redaction.findings.append(Finding(number, path, start, end, choice.entity, rule))
            new = choice.constant
            if new is None:
                new = rule.action.apply(decoded or data[start:end].decode(), self._hit_facts(choice))
            if type(new) is not str:
                deleted = True
                self._redaction.blocked = self._redaction.blocked or new is BLOCKED
                continue
            pieces += (data[done:start].decode(), new)
            done = end
        if deleted:
            return DELETED
        pieces.append(data[done:].decode())
        return "".join(pieces)


def _decides(claim: _Claim) -> tuple[int, int]:
    """Orders claims that overlap: the rule that comes first, and of one rule the longest."""
    return claim[2].order, claim[0] - claim[1]
