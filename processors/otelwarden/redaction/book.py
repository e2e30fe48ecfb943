"""Which rule acts on which hit, bound once for items of one signal and tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from otelwarden.core import SYSTEM_CLOCK, Classification, Clock, Signal
from otelwarden.redaction.actions import DEFAULT_TEXT, HitFacts, ItemFacts, Replace, Verdict, keeps_something
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import Texts, encode_text
from otelwarden.redaction.keys import MAX_KEYS, KeyFacts
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.rules import Rule, ValueType

_NOTHING: Final[Any] = (None, "")


class Choice:
    """A rule, for the hits of one detector or for whole values.

    Attributes:
        order: of several choices for one range the lowest decides.
        text: what the detector would put in place of a hit.
        constant: what the action answers for every such hit; None when that depends on the hit.
        keeps: whether the action leaves something behind of a hit.
        left: the classification of what it leaves behind; None when nothing is left.
    """

    __slots__ = ("always", "constant", "entity", "keeps", "left", "order", "rule", "text")

    def __init__(self, rule: Rule, order: int, text: str, entity: str, classification: Classification | None) -> None:
        self.rule = rule
        self.order = order
        self.text = text
        self.entity = entity
        self.always = not rule.has_conditions
        self.constant: Verdict | None = None
        if isinstance(rule.action, Replace):
            self.constant = rule.action.apply("", HitFacts(text=text, entity=entity))
        self.keeps = keeps_something(rule.action)
        self.left = classification if self.keeps else None

    def holds(self, key: str, kind: ValueType, size: int, item: ItemFacts, clock: Clock) -> bool:
        """Whether the rule is about a hit in such a value."""
        return self.always or self.rule.holds(key, kind, size, item, clock)


class Book:
    """The rules for items of one signal and tenant.

    Args:
        exempt: keys of fields that are left alone, such as the tag of the tenant.

    Attributes:
        deciding: for each detector the rules of which the first that holds decides.
        beside: for each detector those that act beside it.
        settled: for each detector the choice when it depends on nothing, and nothing acts beside it.
        constants: for each detector the rule and the text that it puts in place of every hit, when it is so simple.
        classes: for each detector the classification of what it finds.
    """

    def __init__(
        self,
        policy: RedactionPolicy,
        signal: Signal,
        tenant: str,
        *,
        exempt: frozenset[str] = frozenset(),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._exempt = exempt
        self._clock = clock
        rules = [rule for rule in policy.rules if rule.concerns(signal, tenant)]
        by_detector = [
            [
                Choice(rule, order, detector.text, detector.entity, detector.classification)
                for order, rule in enumerate(rules)
                if rule.is_about(detector)
            ]
            for detector in policy.detectors
        ]
        self.classes = [detector.classification for detector in policy.detectors]
        self.deciding = [[each for each in choices if not each.rule.stands_beside] for choices in by_detector]
        self.beside = [[each for each in choices if each.rule.stands_beside] for choices in by_detector]
        self._whole = [
            Choice(rule, order, DEFAULT_TEXT, "", None)
            for order, rule in enumerate(rules)
            if rule.whole is not None or rule.listed is not None
        ]
        allowances = [each for each in policy.allowances if each.tenants is None or tenant in each.tenants]
        self.allowed_values = frozenset[str]().union(*(each.values for each in allowances))
        self._patterns = [pattern for each in allowances for pattern in each.patterns]
        self._allowed_keys = [each.keys for each in allowances if each.keys is not None]
        self.allows = bool(self.allowed_values or self._patterns)
        self.settled = [
            deciding[0] if deciding and deciding[0].always and not beside and not self.allows else None
            for deciding, beside in zip(self.deciding, self.beside, strict=True)
        ]
        self.constants = [
            (choice.rule, str(choice.constant)) if choice is not None and type(choice.constant) is str else None
            for choice in self.settled
        ]
        self._left_alone: dict[str, bool] = {}

    def is_left_alone(self, key: str) -> bool:
        """Whether values under a key are left alone."""
        known = self._left_alone.get(key)
        if known is None:
            known = key in self._exempt or any(globs.match(key) for globs in self._allowed_keys)
            if len(self._left_alone) >= MAX_KEYS:
                self._left_alone = {}
            self._left_alone[key] = known
        return known

    def settle(
        self, joined: Texts, keys: Sequence[str], hits: Sequence[Hit]
    ) -> tuple[dict[int, Any], dict[Rule, int]] | None:
        """What becomes of texts in which nothing but hits that are always replaced was found, as of most.

        Hits that overlap become one.

        Args:
            keys: the key of each text.
            hits: at least one.

        Returns:
            The new texts by their numbers, and in how many places each rule acted; None when it takes more to decide.
        """
        constants = self.constants
        texts: dict[int, Any] = {}
        counts: dict[Rule, int] = {}
        pieces: list[str] = []
        data, last, done = b"", -1, 0
        rule, text = _NOTHING
        for number, start, end, detector, _ in sorted(hits) if len(hits) > 1 else hits:
            constant = constants[detector]
            if constant is None:
                return None
            if number != last:
                if self.is_left_alone(keys[number]):
                    return None
                if last >= 0:
                    pieces.append(data[done:].decode())
                    texts[last] = "".join(pieces)
                    pieces = []
                data, last, done = joined.text(number), number, 0
            elif start < done:
                if constant[0] is not rule or constant[1] != text:
                    return None
                done = max(done, end)
                continue
            rule, text = constant
            counts[rule] = counts.get(rule, 0) + 1
            pieces += (data[done:start].decode(), text)
            done = end
        pieces.append(data[done:].decode())
        texts[last] = "".join(pieces)
        return texts, counts

    def is_allowed(self, hit: str) -> bool:
        """Whether a hit with this text is left alone."""
        if hit in self.allowed_values:
            return True
        data = encode_text(hit)
        return any(pattern.fullmatch(data) is not None for pattern in self._patterns)  # type: ignore[attr-defined]

    def for_hit(self, detector: int, key: str, kind: ValueType, size: int, item: ItemFacts) -> list[Choice]:
        """The choices for a hit: the one that decides, if any, and those beside it."""
        found = [each for each in self.beside[detector] if each.holds(key, kind, size, item, self._clock)]
        for choice in self.deciding[detector]:
            if choice.holds(key, kind, size, item, self._clock):
                return [*found, choice]
        return found

    def for_value(self, facts: KeyFacts, kind: ValueType, size: int, item: ItemFacts) -> list[Choice]:
        """The choices for whatever stands under a key, at any depth: the one that decides last, if any does."""
        key = facts.key
        found: list[Choice] = []
        for choice in self._whole:
            rule = choice.rule
            if not ((facts.ruled and rule.is_about_key(key)) or (facts.unlisted and rule.misses_key(key))):
                continue
            if not choice.holds(key, kind, size, item, self._clock):
                continue
            if rule.stands_beside:
                found.insert(0, choice)
            elif not found or found[-1].rule.stands_beside:
                found.append(choice)
        return found
