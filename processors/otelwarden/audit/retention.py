"""How long records stay: rules by kind, and what follows from them for a whole segment, which is dropped or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from otelwarden.core import ConfigError, Fault, parse_duration

EVERYTHING: Final = "default"
"""The rule for kinds that have none of their own."""

KIND: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}(/[A-Za-z0-9_.-]{1,60})?")
"""How a kind is written: a component, or a component and an action."""

_DAY: Final = 86_400
_OUTLIVE: Final = frozenset({"open", "close", "gap", "rotate", "retire", "hold", "release"})
_ACCOUNT: Final = ("audit", "account")


class Kind(NamedTuple):
    """What records have in common that are kept alike, or held."""

    component: str
    action: str
    tenant: str

    @property
    def outlives(self) -> bool:
        """Whether such records stay when their segment goes."""
        return self.component == "audit" and self.action in _OUTLIVE


class Span(NamedTuple):
    """Times of the earliest and the latest record, nanoseconds since the Unix epoch."""

    earliest_ns: int
    latest_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long records of a kind stay.

    Raises:
        ConfigError: it says nothing, or the least is more than the most.
    """

    at_least: float | None = None
    """Seconds that a record is kept for certain; with none it goes when `at_most` is over."""
    at_most: float | None = None
    """Seconds after which it should be gone; None: it may stay."""

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ConfigError([Fault(message="how long?", allowed="at_least, at_most, or both")])
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            message = f"kept for {_days(self.at_least)} at least and {_days(self.at_most)} at most: not both can be"
            raise ConfigError([Fault(message=message)])


class Retention:
    """The rules of a trail.

    Args:
        rules: by component and action (`redaction/mask`), by component, or `default`; the most precise one counts.
    """

    def __init__(self, rules: Mapping[str, Keep]) -> None:
        self._rules = dict(rules)
        times = [time for keep in rules.values() for time in (keep.at_least, keep.at_most) if time is not None]
        self.shortest = min(times, default=float("inf"))
        """Seconds: nothing is dropped that is younger."""

    @property
    def limited(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self._rules)

    @classmethod
    def from_mapping(cls, block: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Keep]:
        """The rules that a block describes whose shape is good; raises ConfigError with all that is wrong."""
        rules, faults = {}, []
        for kind, keep in block.items():
            try:
                rules[kind] = Keep(**{name: parse_duration(value) for name, value in keep.items()})
            except ConfigError as error:
                faults += [fault.within("/" + kind.replace("~", "~0").replace("/", "~1")) for fault in error.faults]
        if faults:
            raise ConfigError(faults)
        return rules

    def keep(self, component: str, action: str) -> Keep | None:
        """The rule for a kind; None when there is none, and it stays for ever."""
        rules = self._rules
        return rules.get(f"{component}/{action}") or rules.get(component) or rules.get(EVERYTHING)

    def due_ns(self, kinds: Mapping[Kind, Span]) -> int | None:
        """When a segment of these kinds may be dropped: the longest of all counts. None: never."""
        times = []
        for kind, span in kinds.items():
            if kind.outlives:
                continue
            keep = self.keep(kind.component, kind.action)
            if keep is not None and keep.at_least is not None:
                times.append(span.latest_ns + int(keep.at_least * 1e9))
            elif keep is not None and keep.at_most is not None:
                times.append(span.earliest_ns + int(keep.at_most * 1e9))
            elif kind[:2] != _ACCOUNT:  # accounts go with what they count
                return None
        return max(times, default=None)

    def overdue_ns(self, kinds: Mapping[Kind, Span]) -> int | None:
        """When the first record of a segment has been there too long; None: never."""
        rules = [(span, self.keep(kind.component, kind.action)) for kind, span in kinds.items()]
        return min(
            (span.earliest_ns + int(keep.at_most * 1e9) for span, keep in rules if keep and keep.at_most is not None),
            default=None,
        )

    def conflicts(self) -> Iterator[str]:
        """What cannot all be kept: kinds stand in the same files, and the longest time is that of the file."""
        for kind, keep in self._rules.items():
            if keep.at_most is None:
                continue
            if EVERYTHING not in self._rules:
                yield f"{kind} is to be gone after {_days(keep.at_most)}, but kinds without a rule stay for ever"
            for other, longer in self._rules.items():
                if longer.at_least is not None and longer.at_least > keep.at_most:
                    least, most = _days(longer.at_least), _days(keep.at_most)
                    yield f"{kind} is to be gone after {most}, but {other}, in the same file, stays for {least} or more"


def _days(seconds: float) -> str:
    return f"{seconds / _DAY:g}d" if seconds >= _DAY else f"{seconds:g}s"
