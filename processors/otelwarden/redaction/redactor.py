"""Decides what becomes of the texts of an item. No SDK in here; a `Redactor` may be shared by threads."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otelwarden.core import SYSTEM_CLOCK, Clock, ConfigError, Fault, Signal
from otelwarden.redaction.actions import DELETED, NO_ITEM, NO_KEYS, ItemFacts, Keys, NeedsKeys
from otelwarden.redaction.book import Book
from otelwarden.redaction.case import Case, Redaction, Surroundings
from otelwarden.redaction.catalogue import Detector
from otelwarden.redaction.document import Document, Oversize
from otelwarden.redaction.finder import Hit
from otelwarden.redaction.joined import Joined, Texts, join_texts
from otelwarden.redaction.keys import KeyFacts, KeyTable
from otelwarden.redaction.policy import RedactionPolicy
from otelwarden.redaction.rules import PLACES
from otelwarden.redaction.scanner import Scanner
from otelwarden.redaction.windows import scan_windows

MAX_VALUE_LENGTH: Final = 1 << 20
"""Characters of the longest value that is scanned at once, unless configured; 1 MiB of ASCII takes 2 ms."""

_scanners: weakref.WeakKeyDictionary[RedactionPolicy, Scanner] = weakref.WeakKeyDictionary()
_newest: deque[Scanner] = deque(maxlen=2)
_scanners_lock = threading.RLock()


def scanner_of(policy: RedactionPolicy) -> Scanner:
    """The scanner of a policy, which the stages of all signals share, and policies that differ in their rules alone.

    The newest two are kept for policies to come: compiling the catalogue takes 0.3 s, and a policy loaded once more
    mostly has the same detectors.
    """
    with _scanners_lock:
        scanner = _scanners.get(policy)
        if scanner is None:
            scanner = next((each for each in _newest if _same(each.detectors, policy.detectors)), None)
            if scanner is None:
                scanner = Scanner(policy.detectors)
                _newest.append(scanner)
            _scanners[policy] = scanner
        return scanner


def _same(some: Sequence[Detector], others: Sequence[Detector]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


class Redactor:
    """A policy at work on the texts of items.

    Args:
        policy: what to look for and what to do about it.
        max_value_length: characters of the longest text that is scanned at once.
        oversize: what becomes of longer ones; a `Document` refuses them, or they are scanned in windows.
        exempt: keys of fields that are left alone, such as the tag of the tenant.
        keys: what actions with keys use.
        facts_of: what is known about an item, asked only when something was found in it.
        findings: whether `Redaction.findings` is wanted.
        clock: tells how old an item is.

    Raises:
        ConfigError: a detector fails on its own examples, or an action needs a key that is not there.
    """

    def __init__(
        self,
        policy: RedactionPolicy,
        *,
        max_value_length: int = MAX_VALUE_LENGTH,
        oversize: Oversize = "drop",
        exempt: frozenset[str] = frozenset(),
        keys: Keys = NO_KEYS,
        facts_of: Callable[[Any], ItemFacts] = lambda item: NO_ITEM,
        findings: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        check_keys(policy, ring=keys.ring is not None, subjects=keys.subjects is not None)
        self.policy = policy
        self.scanner = scanner_of(policy)
        self.max_value_length = max_value_length
        self._oversize: Oversize = oversize
        self._exempt = exempt
        self._surroundings = Surroundings(facts_of, keys, findings)
        self.keys = KeyTable(
            self.scanner,
            is_ruled=lambda key: any(rule.is_about_key(key) for rule in policy.rules),
            is_unlisted=lambda key: any(rule.misses_key(key) for rule in policy.rules),
            class_of=policy.declared_class,
        )
        self.ruled_places = frozenset(place for place in PLACES if self.keys.facts(place).tells_of_value)
        """Places without a key that some rule names."""
        of_rules = frozenset[str]().union(*(each.tenants or () for each in policy.rules))
        self.named_tenants = of_rules.union(*(each.tenants or () for each in policy.allowances))
        """Tenants that some rule names; to all others the same rules apply."""
        self._clock = clock
        self._books: dict[tuple[Signal, str], Book] = {}

    def document(self) -> Document:
        """An empty document for the texts of one item."""
        return Document(self.keys, self.max_value_length, self.ruled_places, self._oversize)

    def redact(self, document: Document, signal: Signal, tenant: str, item: Any = NO_ITEM) -> Redaction | None:
        """What is to be done about an item; None when nothing is.

        Args:
            item: what `facts_of` is asked about.

        Raises:
            Unscannable: a text is too long, and cannot be judged in parts.
        """
        joined = join_texts(document.texts)
        hits = self._scan_long(document, joined) if document.long else self.scanner.scan(joined)
        if not hits and not document.keyed and not document.names:
            return None
        if document.keyed:
            named: dict[int, set[int]] = {}
            for number, facts in document.keyed:
                if facts.detectors:
                    named.setdefault(number, set()).update(facts.detectors)
            hits = self.scanner.drop_contradicted(hits, named)
        ruled: dict[int, list[KeyFacts]] = {}
        for number, facts in document.keyed:
            self.scanner.scan_under_key(joined, number, facts.detectors, hits)
            if facts.tells_of_value and document.texts[number]:
                ruled.setdefault(number, []).append(facts)
        if not hits and not ruled and not document.names:
            return None
        book = self._book(signal, tenant)
        kinds, paths = document.kinds, document.paths
        settled = None if self._surroundings.findings or ruled or document.names else book.settle(joined, paths, hits)
        if settled is not None:
            return Redaction(*settled)
        case = Case(book, tenant, item, self._surroundings)
        found = _by_text(hits)
        for number in sorted(found.keys() | ruled.keys()) if ruled else found:
            data, kind = joined.text(number), kinds.get(number, "string")
            case.text(number, data, paths[number], kind, found.get(number, ()), ruled.get(number, ()))
        if document.names:
            case.rename(document.names)
        return case.result()

    def _scan_long(self, document: Document, joined: Joined) -> list[Hit]:
        texts = list(document.texts)
        for number in document.long:
            texts[number] = ""
        hits = self.scanner.scan(join_texts(texts))
        for number in document.long:
            hits += scan_windows(self.scanner, joined.text(number), number, self.max_value_length)
        return hits

    def redact_flat(
        self,
        texts: Texts,
        keys: Sequence[str],
        hits: Sequence[Hit],
        signal: Signal,
        tenant: str,
        item: Any = NO_ITEM,
        attributes: Mapping[str, Any] | None = None,
    ) -> Redaction | None:
        """As `redact`, for texts that stand under plain keys, in which something was found.

        Args:
            keys: the key of each text.
            hits: what the scanner found in them.
            attributes: the values themselves, where some are no texts.
        """
        book = self._book(signal, tenant)
        settled = None if self._surroundings.findings else book.settle(texts, keys, hits)
        if settled is not None:
            return Redaction(*settled)
        case = Case(book, tenant, item, self._surroundings)
        for number, found in _by_text(hits).items():
            key = keys[number]
            value = "" if attributes is None else attributes.get(key, "")
            case.text(number, texts.text(number), key, "string" if type(value) is str else "number", found, ())
        return case.result()

    def redact_text(self, text: str, signal: Signal = "logs", tenant: str = "", *, key: str = "") -> str:
        """A single text, redacted, as if it stood under `key`; empty when a rule deletes or blocks it."""
        return self.look_at_text(text, signal, tenant, key=key)[0]

    def look_at_text(
        self, text: str, signal: Signal = "logs", tenant: str = "", *, key: str = "", item: Any = NO_ITEM
    ) -> tuple[str, Redaction | None]:
        """As `redact_text`, with what was decided.

        Raises:
            Unscannable: the text is too long.
        """
        document = self.document()
        facts = self.keys.facts(key)
        document.value(key, text, (facts,) if facts.tells else ())
        redaction = self.redact(document, signal, tenant, item)
        if redaction is None:
            return text, None
        new = "" if redaction.blocked else redaction.edits.texts.get(0, text)
        return "" if new is DELETED else new, redaction

    def _book(self, signal: Signal, tenant: str) -> Book:
        # Tenants that no rule names share a book, so there are few.
        name = (signal, tenant if tenant in self.named_tenants else "")
        book = self._books.get(name)
        if book is None:
            book = self._books[name] = Book(self.policy, signal, name[1], exempt=self._exempt, clock=self._clock)
        return book


def check_keys(policy: RedactionPolicy, *, ring: bool, subjects: bool) -> None:
    """Refuses a policy of which an action needs a key that is not there.

    Args:
        ring: whether there are keys.
        subjects: whether there are keys of persons.

    Raises:
        ConfigError: naming each such rule.
    """
    faults = []
    for rule in policy.rules:
        action = rule.action
        if not isinstance(action, NeedsKeys):
            continue
        if not ring:
            message, allowed = "the action of this rule needs a key", "key_file or key_env, or keys given in code"
            faults.append(Fault(message=message, given=f"{rule.id}: {action.name}", allowed=allowed))
        elif action.needs_subjects and not subjects:
            message, allowed = "the action of this rule needs a place for the keys of persons", "subjects: {path: ...}"
            faults.append(Fault(message=message, given=f"{rule.id}: {action.name}", allowed=allowed))
    if faults:
        raise ConfigError(faults)


def _by_text(hits: Sequence[Hit]) -> dict[int, list[Hit]]:
    found: dict[int, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.text, []).append(hit)
    return found
