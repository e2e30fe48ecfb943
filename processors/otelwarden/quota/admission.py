"""At which probability the traces of one tenant are kept, so that their spans come to the tenant's rate.

The state is a level of items, like a bucket's: it refills at the rate up to a capacity C, and each kept trace takes m
items at once, the mean number of spans in a trace. Its spans start later, and a controller that waited for them would
be late by the length of a trace. With x = 2 (level - overhang) / C, a new trace is kept with the probability

    p = 1                                                    for x >= 1: in the upper half
    p = min(1, free / (arrivals * s) * max(0.25, x / (1 - x)))   in the lower half

    arrivals  traces a second, kept or not: counted over windows of up to 0.1 s, smoothed over 1 s
    s         spans that a trace is supposed to bring, by a cautious estimate
    overhang  spans by which the open traces will exceed `free` at their pace, beyond those they were charged for: they
              were kept before one knew how long they are
    free      the rate without the spans that come whatever p is (of traces kept by a remote parent, or of another
              tenant's), at least a twentieth of it
    C         the burst, at least 16 m

For m, s and the overhang see `TraceFlow`. Under quota the level stays up and p is 1. Over quota it settles where
x / (1 - x) makes up for the error of free / (arrivals * s): near a quarter of C. So the long-run rate is met however
bad the estimates are; they only set how far p swings. p depends on earlier traces alone, never on the trace at hand,
and is never 0, so a kept span stands for exactly 1 / p spans on average.
"""

from __future__ import annotations

import math
import threading
from typing import Final

from otelwarden.core import Count, threshold_of
from otelwarden.quota.meters import BUDGET, RATE, RateLimit
from otelwarden.quota.traceflow import TraceFlow

_WINDOW: Final = 0.1
_LEAST_GAIN: Final = 0.25
_LEAST_FREE: Final = 0.05
_MOST_CAUTION: Final = 5.0
_TRACES_IN_CAPACITY: Final = 16.0
_WINDOWS_IN_CAPACITY: Final = 16.0


class Admission:
    """Decides which of one tenant's traces are kept; safe to use from many threads.

    Args:
        now_ns: monotonic time.
    """

    def __init__(self, now_ns: int) -> None:
        self._level = math.inf  # full, whatever the capacity
        self._level_at = self._window_at = now_ns
        self._flow = TraceFlow()
        self._use_counters()

    def restart_after_fork(self) -> None:
        """Keeps the level and the estimates, and counts from zero."""
        self._flow.restart_after_fork()
        self._use_counters()

    def _use_counters(self) -> None:
        self._lock = threading.RLock()
        self._charged = 0.0
        self._started = self._kept = 0
        self._others = 0.0
        self.kept: Count = self._flow.kept.count
        """Every span of a trace that was kept here ticks this when it starts."""
        self.lost: Count = self._flow.lost.count
        """Every span of a trace that was not kept here ticks this when it would start."""
        self.unbidden: Count = self._flow.unbidden_spans.count
        """Every span that comes without a decision here ticks this when it starts."""
        self.ended: Count = self._flow.ended.count
        """The first span of every trace that was kept here ticks this when it ends."""

    def decide(
        self,
        now_ns: int,
        limit: RateLimit | None,
        randomness: int,
        share: float = 1.0,
        left: float = math.inf,
        others: float = 0.0,
    ) -> tuple[str | None, int]:
        """Decides about a new trace.

        Args:
            now_ns: monotonic time.
            limit: in force for the tenant's spans; None if their rate is not limited.
            randomness: of the trace, in [0, 2^56).
            share: the part of all traces that was kept by an earlier decision on the same randomness.
            left: items of a budget. What the open traces are supposed to bring yet is theirs; a trace for which nothing
                would be left then is not kept, whatever its threshold.
            others: spans that could have come so far instead of what else takes from the limit.

        Returns:
            None if it is kept, else `rate` or `budget`; and the threshold of its randomness for the rate.
        """
        with self._lock:
            flow = self._flow
            probability = self._probability(now_ns, limit, others)
            threshold = threshold_of(probability * share)
            flow.began += 1
            if randomness < threshold:
                return RATE, threshold
            if left < self._promised():
                self._end_window(now_ns, others)  # as some may have ended meanwhile
                if left < self._promised():
                    return BUDGET, threshold
            flow.kept_now += 1
            self._kept += 1
            size = flow.least_size(limit.rate) if limit is not None else flow.seen_size
            self._level -= size
            self._charged += size
            return None, threshold

    def _promised(self) -> float:
        """Items of a budget that the open traces and one more will use, at the mean size of all so far."""
        return (self._flow.open + 1) * max(1.0, self._started / max(1, self._kept))

    def _probability(self, now_ns: int, limit: RateLimit | None, others: float) -> float:
        flow = self._flow
        capacity = self._capacity(limit)
        if limit is not None:
            self._level = min(capacity, self._level + (now_ns - self._level_at) / 1e9 * limit.rate)
        self._level_at = now_ns
        elapsed = (now_ns - self._window_at) / 1e9
        if elapsed >= _WINDOW or flow.began * flow.seen_size * _WINDOWS_IN_CAPACITY >= capacity:
            self._end_window(now_ns, others)
        if limit is None or flow.arrivals <= 0:
            return 1.0
        free = max(limit.rate - flow.unbidden, limit.rate * _LEAST_FREE)
        promised = max(0.0, self._charged - self._started)
        fill = 2 * (self._level - max(0.0, flow.overhang(free) - promised)) / capacity
        if fill >= 1:
            return 1.0
        size = min(flow.cautious_size(limit.rate), _MOST_CAUTION * flow.seen_size)
        return min(1.0, free / (flow.arrivals * size) * max(_LEAST_GAIN, fill / (1 - fill)))

    def _capacity(self, limit: RateLimit | None) -> float:
        least = _TRACES_IN_CAPACITY * self._flow.seen_size
        return least if limit is None else max(float(limit.burst), least)

    def _end_window(self, now_ns: int, others: float) -> None:
        elapsed, self._window_at = (now_ns - self._window_at) / 1e9, now_ns
        came_beside, self._others = max(0.0, others - self._others), others
        kept, unbidden = self._flow.end_window(elapsed, came_beside)
        self._started += kept
        # Traces turned out larger than they were charged for, or smaller: made up for here, so that no error adds up.
        due = min(max(self._charged, self._started), self._started + self._flow.open * self._flow.seen_size)
        self._level += self._charged - due - unbidden
        self._charged = due

    def is_full(self, now_ns: int, limit: RateLimit | None) -> bool:
        """Whether forgetting this would lose no more than estimates."""
        if limit is None or self._level == math.inf:
            return True
        with self._lock:
            level = self._level + (now_ns - self._level_at) / 1e9 * limit.rate
            return level >= self._capacity(limit)
