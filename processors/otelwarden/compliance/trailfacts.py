"""What a trail shows, gathered in one pass over its records: a million of them in a few seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from otelwarden.core import SensitiveScanner, TrailReader, TrailRecord, TrailVerdict

_MAX_KINDS: Final = 65_536
"""Different texts of records that are told apart; beyond, reason, tenant and target are not."""

_SCANNED_AT_ONCE: Final = 4096

_REPLACEMENTS: Final = frozenset({("audit", "rotate"), ("redaction", "key_rotated")})
_REPAIRED: Final = frozenset({"failback", "endpoint_healthy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailFacts:
    """What one trail shows."""

    name: str
    verdict: TrailVerdict
    records: int = 0
    first_ns: int = 0
    last_ns: int = 0
    configurations: Mapping[str, int] = field(default_factory=dict)
    """Digest of each configuration that was in force -> when it was first seen, nanoseconds since the Unix epoch."""
    latest_configuration: str = ""
    """Digest of the one that was in force last."""
    decisions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Component and action -> how many items, or places in items."""
    keys_replaced: Mapping[str, int] = field(default_factory=dict)
    """Component -> when its key was last replaced, nanoseconds since the Unix epoch."""
    exports: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Signal and what became of it (`delivered`, `failed`, `handed_on`) -> items."""
    incomplete: int = 0
    """Records that do not say who did what, why, and with which outcome."""
    first_incomplete: int | None = None
    """The sequence of the first of them."""
    backwards_ns: int = 0
    """How far the clock went back at most, within one stream."""
    sensitive: tuple[str, ...] = ()
    """Kinds of sensitive data in its texts."""
    sensitive_sequence: int | None = None
    """The first record with any."""
    unresolved: tuple[str, ...] = ()
    """Endpoints that telemetry had to leave and has not returned to, as far as the trail knows."""


def gather(trail: TrailReader, scanner: SensitiveScanner | None) -> TrailFacts:
    """Verifies a trail and reads it once.

    Args:
        scanner: looks for sensitive data in its texts; None does not look.

    Raises:
        OSError, ConfigError: it cannot be read.
    """
    verdict = trail.verdict()
    return _Pass(scanner).read(trail.name, verdict, trail.records())


class _Pass:
    """One pass over the records of a trail."""

    def __init__(self, scanner: SensitiveScanner | None) -> None:
        self._scanner = scanner
        self._digests: dict[str, int] = {}
        self._replaced: dict[str, int] = {}
        self._latest = (0, "")
        self._texts: dict[str, int] = {}
        self._entities: set[str] = set()
        self._first_sensitive: int | None = None
        self._failed: dict[str, bool] = {}
        self._first_incomplete: int | None = None
        self._incomplete = 0

    def read(self, name: str, verdict: TrailVerdict, records: Iterable[TrailRecord]) -> TrailFacts:
        """Everything is counted by the texts of a record first, as those repeat, and told apart afterwards."""
        kinds: dict[tuple[str, ...], list[int]] = {}
        latest: dict[str, int] = {}
        number = backwards = last_ns = 0
        first_ns: int | None = None
        for record in records:
            number += 1
            time_ns, stream = record[1], record[2]
            texts = record[2:12]
            kind = kinds.get(texts)
            if kind is None:
                self._note_texts(record)
                if len(kinds) >= _MAX_KINDS:
                    texts = (*texts[:5], "", "", texts[7], "", texts[9])
                kind = kinds.setdefault(texts, [0, time_ns, record[0]])
            if record[4] == "failover" or record[5] == "open":
                self._note_endpoint(record)
            kind[0] += record[12]
            before = latest.get(stream, time_ns)
            if time_ns < before:
                backwards = max(backwards, before - time_ns)
            else:
                latest[stream] = time_ns
            if not all(texts[1:6]):
                self._note_incomplete(record[0])
            if first_ns is None or time_ns < first_ns:
                first_ns = time_ns
            if time_ns > last_ns:
                last_ns = time_ns
        decisions, exports = self._tell_apart(kinds)
        self._scan()
        return TrailFacts(
            name=name,
            verdict=verdict,
            records=number,
            first_ns=first_ns or 0,
            last_ns=last_ns,
            configurations=self._digests,
            latest_configuration=self._latest[1],
            decisions=decisions,
            keys_replaced=self._replaced,
            exports=exports,
            incomplete=self._incomplete,
            first_incomplete=self._first_incomplete,
            backwards_ns=backwards,
            sensitive=tuple(sorted(self._entities)),
            sensitive_sequence=self._first_sensitive,
            unresolved=tuple(sorted(target for target, failed in self._failed.items() if failed)),
        )

    def _note_endpoint(self, record: TrailRecord) -> None:
        if record.component == "audit":
            self._failed.clear()  # a process that starts finds out by itself
        if record.component != "failover" or not record.target:
            return
        if record.action == "endpoint_unhealthy":
            self._failed[record.target] = True
        elif record.action in _REPAIRED:
            self._failed[record.target] = False

    def _note_incomplete(self, sequence: int) -> None:
        self._incomplete += 1
        if self._first_incomplete is None:
            self._first_incomplete = sequence

    def _tell_apart(
        self, kinds: Mapping[tuple[str, ...], list[int]]
    ) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        decisions: dict[tuple[str, str], int] = {}
        exports: dict[tuple[str, str], int] = {}
        for texts, (count, first_ns, _) in kinds.items():
            _, _, component, action, _, reason, _, signal, _, config = texts
            decisions[component, action] = decisions.get((component, action), 0) + count
            if (component, action) in _REPLACEMENTS:  # each names another key, so the first of a kind is the only one
                self._replaced[component] = max(first_ns, self._replaced.get(component, 0))
            if component == "audit" and action == "export":
                exports[signal, reason] = exports.get((signal, reason), 0) + count
            # The commands that people run write into the trail too, without any configuration of theirs being in force.
            if config and component == "audit":
                known = self._digests.get(config)
                self._digests[config] = first_ns if known is None else min(first_ns, known)
                if action == "open" and (first_ns, config) > self._latest:
                    self._latest = (first_ns, config)
        return decisions, exports

    def _note_texts(self, record: TrailRecord) -> None:
        """Keeps what may hold anything until it is looked at; component and action are names in code."""
        if self._scanner is None:
            return
        for text in (record.actor, record.reason, record.tenant, record.target):
            if text:
                self._texts.setdefault(text, record.sequence)
        if len(self._texts) >= _SCANNED_AT_ONCE:
            self._scan()

    def _scan(self) -> None:
        texts, self._texts = list(self._texts.items()), {}
        if self._scanner is None or not texts:
            return
        for found in self._scanner.scan([("", text) for text, _ in texts]):
            sequence = texts[found.field][1]
            self._entities.add(found.entity)
            known = self._first_sensitive
            self._first_sensitive = sequence if known is None else min(known, sequence)
