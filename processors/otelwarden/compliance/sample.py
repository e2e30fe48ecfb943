"""A sample of what leaves: the latest items, looked at now and then, away from the application's threads.

Taking an item costs one append to a bounded queue. What is found is counted by kind and place; no value is kept.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any, Final

from otelwarden.compliance.facts import Hit, SampleFacts
from otelwarden.compliance.items import Sampled, sampled_item
from otelwarden.core import METRICS, SIGNALS, SensitiveScanner, Signal, run_in_child_after_fork

MAX_KINDS: Final = 1024
"""Different finds that one look tells apart; the others are counted under `<other>`."""

MAX_LOOKS: Final = 4096
"""Looks that are kept; with more of them in one window the oldest are forgotten early."""

_OTHER: Final = "<other>"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")

# GDPR Art. 9(1), CCPA 1798.140(ae): what these words name is sensitive whatever its text looks like.
_SPECIAL: Final = re.compile(
    r"(?:^|[._-])(?:health|medical|diagnos[ie]s|illness|disability|patient|mrn|genetic|dna|biometric|fingerprint|"
    r"religion|religious|faith|ethnicity|ethnic|race|political|union_member|trade_union|sexual|orientation|gender_identity"
    r")(?:$|[._-])",
    re.IGNORECASE,
)
_NO_VALUE: Final = re.compile(r"\s*(?:\[[^\]]*\]|<[^>]*>|[*x•#-]+|redacted|none|null|n/?a)?\s*", re.IGNORECASE)
"""Texts that say that a value was taken out, or that there was none."""


def presentable(key: str, scanner: SensitiveScanner | None = None) -> str:
    """The name of a field, for a finding; one that is no plain name, or is sensitive itself, is not shown."""
    if not _NAME.fullmatch(key):
        return "<a name not shown>" if key else "<text>"
    return "<a name not shown>" if scanner is not None and scanner.scan([("", key)]) else key


@dataclass(slots=True)
class _Look:
    """What one look found."""

    time_ns: int
    scanned: Counter[str] = field(default_factory=Counter)
    hits: Counter[tuple[Signal, str, str, str, str]] = field(default_factory=Counter)
    sensitive_keys: Counter[tuple[Signal, str, str, str, str]] = field(default_factory=Counter)
    untagged: Counter[str] = field(default_factory=Counter)
    undeclared: Counter[str] = field(default_factory=Counter)
    environments: set[str] = field(default_factory=set)


class Inventory:
    """The attribute keys that were declared, by globs; none declared, none known."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._pattern = re.compile("|".join(map(translate, globs))) if globs else None

    def lacks(self, key: str) -> bool:
        """Whether a key was not declared; never where nothing was."""
        return self._pattern is not None and self._pattern.match(key) is None


class Sample:
    """The latest items of each signal, and what was found in them within the window. Threads may share it.

    Args:
        scanner: finds sensitive data.
        items: of each signal, at most; 0 takes none.
        window: seconds for which the finds of a look count.
        inventory: globs of the attribute keys that are declared.
        tenant_attribute: the attribute that names the tenant.
        tagged: whether items must carry it.
        time_ns: the clock, nanoseconds since the Unix epoch.
    """

    def __init__(
        self,
        scanner: SensitiveScanner,
        *,
        items: int,
        window: float,
        inventory: Sequence[str] = (),
        tenant_attribute: str = "tenant.id",
        time_ns: Callable[[], int],
    ) -> None:
        self._scanner = scanner
        self._items = items
        self._window_ns = int(window * 1e9)
        self._inventory = Inventory(inventory)
        self._tenant_attribute = tenant_attribute
        self._time_ns = time_ns
        self._names: dict[str, str] = {}
        self._reset()
        run_in_child_after_fork(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._rings: Mapping[Signal, deque[Any]] = {signal: deque(maxlen=self._items) for signal in SIGNALS}
        self._looks: deque[_Look] = deque(maxlen=MAX_LOOKS)

    def take(self, signal: Signal, items: Iterable[Any]) -> None:
        """Takes finished spans, log records, or (for metrics) `Sampled` points; older ones make room."""
        self._rings[signal].extend(items)

    def take_one(self, signal: Signal, item: Any) -> None:
        """Takes one."""
        self._rings[signal].append(item)

    def look(self) -> SampleFacts:
        """Reads what was taken since the last look, and answers what was found within the window."""
        with self._lock:
            look = _Look(self._time_ns())
            for signal, ring in self._rings.items():
                for _ in range(len(ring)):  # what comes meanwhile is for the next look, which must come to an end
                    try:
                        item = ring.popleft()
                    except IndexError:
                        break
                    self._read(item if signal == METRICS else sampled_item(item), look)
            self._looks.append(look)
            while self._looks and self._looks[0].time_ns < look.time_ns - self._window_ns:
                self._looks.popleft()
            return self._facts()

    def _read(self, item: Sampled, look: _Look) -> None:
        signal, tenant = item.signal, item.tenant
        look.scanned[signal] += 1
        if item.attributes.get(self._tenant_attribute) != tenant:
            look.untagged[signal] += 1
        for key in item.attributes:
            if self._inventory.lacks(key):
                _count(look.undeclared, self._name(key), _OTHER)
        environment = item.resource.get("deployment.environment.name") or item.resource.get("deployment.environment")
        if isinstance(environment, str):
            look.environments.add(presentable(environment))
        for found in self._scanner.scan(item.fields):
            key = self._name(item.fields[found.field][0])
            hit = (signal, tenant, found.entity, found.group, key)
            _count(look.hits, hit, (signal, tenant, found.entity, found.group, _OTHER))
        for key, text in item.fields:
            if key and _SPECIAL.search(key) and not _NO_VALUE.fullmatch(text):
                kind = (signal, tenant, "SPECIAL_CATEGORY", "pii", self._name(key))
                _count(look.sensitive_keys, kind, (*kind[:4], _OTHER))

    def _name(self, key: str) -> str:
        name = self._names.get(key)
        if name is None:
            if len(self._names) >= MAX_KINDS:
                self._names.clear()
            name = self._names[key] = presentable(key, self._scanner)
        return name

    def _facts(self) -> SampleFacts:
        total = _Look(0)
        for look in self._looks:
            total.scanned += look.scanned
            total.hits += look.hits
            total.sensitive_keys += look.sensitive_keys
            total.untagged += look.untagged
            total.undeclared += look.undeclared
            total.environments |= look.environments
        return SampleFacts(
            scanned=dict(total.scanned),
            hits=_hits(total.hits),
            sensitive_keys=_hits(total.sensitive_keys),
            untagged=dict(total.untagged),
            undeclared=dict(sorted(total.undeclared.items())),
            environments=tuple(sorted(total.environments)),
        )


def _count(counter: Counter[Any], kind: Any, other: Any) -> None:
    counter[kind if kind in counter or len(counter) < MAX_KINDS else other] += 1


def _hits(counter: Counter[tuple[Signal, str, str, str, str]]) -> tuple[Hit, ...]:
    return tuple(Hit(*kind, count) for kind, count in sorted(counter.items()))
