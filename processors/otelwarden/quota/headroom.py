"""What the limits of a tenant leave for traces that begin: all of them, in spans.

Bytes are counted in spans of the mean size so far. What log records take of limits on all signals together is not there
for spans.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from otelwarden.core import Clock
from otelwarden.quota.config import DEFAULT_MIN_DEBT
from otelwarden.quota.gate import MeterGate
from otelwarden.quota.gcra import NO_KEY, GcraMeter
from otelwarden.quota.meters import BYTES, BudgetLimit, Meter, RateLimit
from otelwarden.quota.places import Place

_FIRST_ITEMS: Final = 10
_FIRST_BYTES: Final = 1024


class Headroom(NamedTuple):
    """What is left for the traces of one tenant."""

    limit: RateLimit | None = None
    """The tightest rate and the tightest burst that this process may count on; None without a rate."""
    left: float = math.inf
    """Spans that the budgets have left."""
    budget: Meter | None = None
    """The budget that has the least left."""
    others: float = 0.0
    """Spans that could have come, so far, instead of the log records that share a rate with them."""


def headroom(traces: Place, logs: Place | None) -> Headroom:
    """What the limits on a tenant's spans, and on all its signals together, leave for new traces.

    Args:
        traces: the place of its spans.
        logs: that of its log records; None when there were none.
    """
    gate = traces.gate
    if not isinstance(gate, MeterGate):
        return Headroom(traces.own_limit())
    size = mean_size(gate)
    rates, left, budget, others = [], math.inf, None, 0.0
    for meter in (*gate.meters, *gate.shared):
        limit = meter.limit
        unit = size if meter.key.unit == BYTES else 1.0
        if isinstance(limit, RateLimit):
            share = meter.share()
            rates.append((limit.rate * share / unit, limit.burst * share / unit))
            if logs is not None and meter in gate.shared:
                others = max(others, (logs.gate.bytes if meter.key.unit == BYTES else logs.gate.allowed) / unit)
        elif isinstance(limit, BudgetLimit) and not limit.soft and (has := meter.left() / unit) < left:
            left, budget = has, meter
    tightest = RateLimit(min(rate for rate, _ in rates), max(1, int(min(b for _, b in rates)))) if rates else None
    return Headroom(tightest, left, budget, others)


def reserve_of(traces: Place, share: float, clock: Clock) -> GcraMeter | None:
    """What is set aside of a tenant's rate for its traces with errors; None without a rate.

    The last trace may overdraw it by up to 1,000 spans, so that it is kept whole.

    Args:
        share: of the rate and the burst.
    """
    limit = headroom(traces, None).limit
    if limit is None:
        return None
    wanted = RateLimit(limit.rate * share, max(1, int(limit.burst * share)), DEFAULT_MIN_DEBT)
    reserve = traces.reserve
    if reserve is None:
        traces.reserve = reserve = GcraMeter(NO_KEY, wanted, clock=clock)
    elif reserve.limit != wanted:
        reserve.change(wanted)
    return reserve


def mean_size(gate: MeterGate) -> float:
    """Bytes of an item that the gate was asked about; 1 KiB to begin with."""
    items = gate.allowed + gate.over + _FIRST_ITEMS
    return max(1.0, (gate.bytes + _FIRST_ITEMS * _FIRST_BYTES) / items)
