"""The parts that limits are made of: what each is called, what it limits, and what a meter of it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from otelwarden.quota.limits import Scope
from otelwarden.quota.periods import Period

Unit: TypeAlias = Literal["items", "bytes"]

ITEMS: Final[Unit] = "items"
BYTES: Final[Unit] = "bytes"

RATE: Final = "rate"
"""Refused: more at once, or a second, than allowed."""
BUDGET: Final = "budget"
"""Refused: the budget of the period is used up."""
SIZE: Final = "size"
"""Refused: larger than the largest item that may pass."""
STORE_DOWN: Final = "store_down"
"""Refused: the store cannot be asked, and its fallback lets no more pass."""
CLOSED: Final = "closed"
"""Not an answer: what was asked has been evicted meanwhile, and another one must be asked."""

WARNINGS: Final = (80, 95, 100)
"""Percent of a budget at which a warning is told."""


class MeterKey(NamedTuple):
    """Which limit of which tenant."""

    tenant: str
    scope: Scope
    unit: Unit
    kind: Literal["rate"] | Period
    soft: bool = False

    def __str__(self) -> str:
        # The tenant comes last, as it alone may contain a colon.
        return f"{self.scope}:{self.unit}:{'soft-' if self.soft else ''}{self.kind}:{self.tenant}"

    @classmethod
    def from_text(cls, text: str) -> MeterKey | None:
        """The key that `str` wrote; None for any other text."""
        scope, unit, kind, tenant = (*text.split(":", 3), "", "", "", "")[:4]
        soft, kind = kind.startswith("soft-"), kind.removeprefix("soft-")
        if scope not in ("traces", "logs", "all") or unit not in (ITEMS, BYTES):
            return None
        if kind not in ("rate", "hour", "day", "week", "month"):
            return None
        return cls(tenant, scope, unit, kind, soft)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A rate and a burst."""

    rate: float
    """Items or bytes per second; more than 0."""
    burst: int
    """Items or bytes that may come at once after a pause; at least 1."""
    max_debt: int = 0
    """Items or bytes beyond the burst that may be overdrawn by who asks for it."""


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """An amount for each period of a time zone."""

    amount: int
    """Items or bytes; at least 1."""
    period: Period
    zone: ZoneInfo
    soft: bool = False
    """Whether more may pass, and be warned of."""


Limit: TypeAlias = "RateLimit | BudgetLimit"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """One limit of one tenant at one moment."""

    tenant: str
    scope: Scope
    unit: Unit
    kind: str
    """`rate`, `hour`, `day`, `week` or `month`."""
    soft: bool
    limit: int
    """Items or bytes: the burst of a rate, the amount of a budget."""
    used: int
    """Of the limit; with a shared store, what all processes used or hold ready."""
    remaining: int
    """Of the limit; negative when overdrawn."""
    rate: float | None = None
    """Items or bytes per second; None for a budget."""
    since: float | None = None
    """Seconds since the Unix epoch at which the period of a budget began."""
    resets_at: float | None = None
    """Seconds since the Unix epoch at which the period of a budget ends."""
    runs_out_at: float | None = None
    """Seconds since the Unix epoch at which a budget will be used up at the pace of its period so far; None when it
    will not within the period, and `resets_at` or earlier when it is already."""


def budget_status(key: MeterKey, limit: BudgetLimit, used: int, since: int, until: int, now: float) -> LimitStatus:
    """The status of a budget, with its forecast."""
    remaining = limit.amount - used
    runs_out: float | None = None
    if remaining <= 0:
        runs_out = now
    elif used > 0 and now > since:
        at = now + remaining * (now - since) / used
        runs_out = at if at < until else None
    return LimitStatus(
        tenant=key.tenant,
        scope=key.scope,
        unit=key.unit,
        kind=key.kind,
        soft=key.soft,
        limit=limit.amount,
        used=used,
        remaining=remaining,
        since=float(since),
        resets_at=float(until),
        runs_out_at=runs_out,
    )


def rate_status(key: MeterKey, limit: RateLimit, level: float) -> LimitStatus:
    """The status of a rate.

    Args:
        level: items or bytes that may pass now.
    """
    return LimitStatus(
        tenant=key.tenant,
        scope=key.scope,
        unit=key.unit,
        kind=key.kind,
        soft=False,
        limit=limit.burst,
        used=round(limit.burst - level),
        remaining=round(level),
        rate=limit.rate,
    )


class Meter(Protocol):
    """One limit, and what was taken of it. Safe to use from many threads; never blocks on anything but their calls."""

    key: MeterKey
    due: int
    """Percent of a budget that was reached and not yet warned of; 0 for nothing to tell. Whoever tells it resets it."""

    @property
    def limit(self) -> Limit | None:
        """In force; None for none."""
        ...

    def take(self, amount: int, debt: bool, /) -> str | None:
        """Takes an amount.

        Args:
            amount: items or bytes, whichever is limited.
            debt: whether a rate may be overdrawn up to its debt.

        Returns:
            None when it was taken, else why not: `rate`, `budget` or `store_down`.
        """
        ...

    def give_back(self, amount: int) -> None:
        """Undoes a `take` that succeeded, because another limit refused the item."""
        ...

    def change(self, limit: Limit) -> None:
        """Sets another limit of the same kind; what was taken stays taken."""
        ...

    def idle(self) -> bool:
        """Whether forgetting the meter would lose nothing."""
        ...

    def status(self) -> LimitStatus:
        """The limit and what is left of it."""
        ...

    def share(self) -> float:
        """The part of a rate that this process gets now, in (0, 1]."""
        ...

    def left(self) -> float:
        """What this process may still take of a budget, as far as it knows; infinite for a rate."""
        ...

    def refuse_ahead(self) -> None:
        """Notes that something was not begun, as what is left of a budget is needed for what was: it is used up."""
        ...

    def close(self) -> None:
        """Gives back what is held; the meter is not asked any more."""
        ...

    def restart_after_fork(self) -> None:
        """Makes the meter usable in a forked child."""
        ...
