"""Rules: which hits they are about, and who of several decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from otelwarden.core import SYSTEM_CLOCK, Clock, Signal
from otelwarden.redaction.actions import Action, ItemFacts, is_additive
from otelwarden.redaction.catalogue import Confidence, Detector
from otelwarden.redaction.joined import encode_text
from otelwarden.redaction.patterns import compile_pattern

ValueType: TypeAlias = Literal["string", "number", "bool", "bytes", "other"]

PLACES: Final = frozenset(
    {"span.name", "span.status", "event.name", "log.body", "log.event_name", "log.severity_text", "metric.name",
     "metric.description", "metric.unit", "resource.schema_url", "scope.name", "scope.version", "scope.schema_url"}
)  # fmt: skip
"""What places are called that have no key. Globs name them like keys; a list of allowed keys is not about them."""


class KeyGlobs:
    """Globs of keys: `*` is any text, `?` any character."""

    __slots__ = ("_pattern",)

    def __init__(self, globs: Sequence[str]) -> None:
        alternatives = ("".join({"*": ".*", "?": "."}.get(c, f"\\x{{{ord(c):x}}}") for c in glob) for glob in globs)
        self._pattern = compile_pattern(f"(?s:{'|'.join(alternatives)})", characters=True)

    def match(self, key: str) -> bool:
        """Whether a key is like one of the globs."""
        return self._pattern.fullmatch(encode_text(key)) is not None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """What is done to hits of some kinds, in some places."""

    id: str
    """Names the rule in events and metrics."""
    action: Action
    priority: int = 0
    """Of the rules that match a hit the one with the highest acts, among equals the one with the stricter action."""
    dry_run: bool = False
    """Whether it only tells what it would do; it then stands beside the rule that decides."""
    detectors: frozenset[str] = frozenset()
    """Ids of the detectors whose hits it is about."""
    confidence: Confidence = "high"
    """The least confidence of the hits it is about."""
    keys: KeyGlobs | None = None
    """Keys it is about; None for all."""
    unless_keys: KeyGlobs | None = None
    """Keys it is not about; None for none."""
    whole: KeyGlobs | None = None
    """Keys whose whole value is a hit, at any depth."""
    listed: KeyGlobs | None = None
    """Keys of fields of an item that are allowed: the whole value under any other one is a hit."""
    signals: frozenset[Signal] | None = None
    """Signals it is about; None for all."""
    tenants: frozenset[str] | None = None
    """Tenants it is about; None for all."""
    scopes: KeyGlobs | None = None
    """Names of instrumentation scopes it is about; None for all."""
    types: frozenset[ValueType] | None = None
    """Types of values it is about; None for all."""
    min_size: int = 0
    """Bytes that a value has at least, as UTF-8."""
    max_size: int | None = None
    """Bytes that a value has at most; None for any."""
    min_age: float = 0.0
    """Seconds since the item's own time, at least."""
    max_age: float | None = None
    """Seconds since the item's own time, at most; None for any."""

    @property
    def rank(self) -> tuple[int, int]:
        """Orders rules: the lowest decides."""
        return -self.priority, -self.action.strictness

    @property
    def stands_beside(self) -> bool:
        """Whether it acts beside the rule that decides, and leaves the hit to it."""
        return self.dry_run or is_additive(self.action)

    @property
    def told_as(self) -> str:
        """What events call what it does."""
        return f"would_{self.action.name}" if self.dry_run else self.action.name

    @property
    def has_conditions(self) -> bool:
        """Whether it depends on more than detector, signal and tenant."""
        about_value = self.keys or self.unless_keys or self.types or self.min_size or self.max_size is not None
        return bool(about_value or self.scopes or self.min_age or self.max_age is not None)

    def is_about(self, detector: Detector) -> bool:
        """Whether the rule is about what a detector finds."""
        return detector.id in self.detectors and (detector.confidence == "high" or self.confidence == "low")

    def is_about_key(self, key: str) -> bool:
        """Whether whatever stands under a key is a hit."""
        return self.whole is not None and self.whole.match(key)

    def misses_key(self, key: str) -> bool:
        """Whether a field under this key is a hit because the key is not on the list."""
        return self.listed is not None and key not in PLACES and not self.listed.match(key)

    def concerns(self, signal: Signal, tenant: str) -> bool:
        """Whether the rule is about items of this signal and tenant."""
        return (self.signals is None or signal in self.signals) and (self.tenants is None or tenant in self.tenants)

    def holds(self, key: str, kind: ValueType, size: int, item: ItemFacts, clock: Clock = SYSTEM_CLOCK) -> bool:
        """Whether its conditions hold for a value.

        Args:
            kind: what the value is.
            size: bytes of the whole value.
        """
        if self.keys is not None and not self.keys.match(key):
            return False
        if self.unless_keys is not None and self.unless_keys.match(key):
            return False
        if self.types is not None and kind not in self.types:
            return False
        if size < self.min_size or (self.max_size is not None and size > self.max_size):
            return False
        if self.scopes is not None and not self.scopes.match(item.scope):
            return False
        if self.min_age or self.max_age is not None:
            # An item without a time of its own is new.
            age = (clock.time_ns() - item.time_ns) / 1e9 if item.time_ns else 0.0
            return age >= self.min_age and (self.max_age is None or age <= self.max_age)
        return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allowance:
    """What is left as it is, whatever the rules say."""

    values: frozenset[str] = frozenset()
    """Hits with exactly these texts."""
    patterns: tuple[object, ...] = ()
    """Compiled patterns; hits that are wholly like one."""
    keys: KeyGlobs | None = None
    """Values under these keys."""
    tenants: frozenset[str] | None = None
    """Tenants it is about; None for all."""
