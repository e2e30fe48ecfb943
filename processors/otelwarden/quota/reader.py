"""What a file store knows, for those who only want to look."""

from __future__ import annotations

import os

from otelwarden.core import SYSTEM_CLOCK, Clock, ConfigError, Fault
from otelwarden.quota.lease import NS
from otelwarden.quota.meters import BudgetLimit, LimitStatus, MeterKey, RateLimit, budget_status, rate_status
from otelwarden.quota.periods import read_zone
from otelwarden.quota.slots import BrokenFileError, SlotFile


def read_usage(path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> list[LimitStatus]:
    """Every limit that a file store knows, and what is left of it; budgets of periods that are over count as unused.

    Changes nothing and disturbs nobody. `used` includes what processes hold ready.

    Raises:
        ConfigError: there is no such file, or it is something else.
    """
    try:
        slots = SlotFile.read(path)
    except (OSError, BrokenFileError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ConfigError([Fault(file=os.fspath(path), message=message, allowed="the file of a file store")]) from None
    found = []
    now, monotonic = clock.time_ns() / NS, clock.monotonic_ns()
    for text, numbers in slots:
        key = MeterKey.from_text(text.decode("utf-8", "replace"))
        if key is None or numbers.amount <= 0:
            continue
        if key.kind == "rate":
            level = numbers.level + max(0, monotonic - numbers.at_ns) / NS * numbers.rate
            limit = RateLimit(numbers.rate, numbers.amount)
            found.append(rate_status(key, limit, min(level, float(numbers.amount))))
        elif numbers.since <= now < numbers.until:
            budget = BudgetLimit(numbers.amount, key.kind, read_zone("UTC"), key.soft)
            found.append(budget_status(key, budget, numbers.used, numbers.since, numbers.until, now))
    return sorted(found, key=lambda each: (each.tenant, each.scope, each.unit, each.kind))
