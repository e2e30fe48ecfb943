"""At which probability the traces of one tenant are kept, so that their spans come to the tenant's rate.

The state is a level of items, like a bucket's: it refills at the rate up to a capacity C, and each kept trace takes m
items at once, the mean number of spans in a trace. Its spans start later, and a controller that waited for them would
be late by the length of a trace. With x = 2 level / C, a new trace is kept with the probability

    p = 1                                      for x >= 1: in the upper half
    p = min(1, free / offered * x / (1 - x))   in the lower half, where x / (1 - x) is taken as 0.25 at least

    offered  spans per second of the tenant's own traces, kept or not: an exact count over windows of up to 0.1 s,
             smoothed exponentially over 1 s
    free     the rate without the spans that come whatever p is (of traces kept by a remote parent, or of another
             tenant's), at least a twentieth of it
    m        spans over traces offered, both decaying over 10 s
    C        the burst, at least 16 m

Under quota the level stays up and p is 1. Over quota it settles where x / (1 - x) makes up for the error of
free / offered: near a quarter of C. So the long-run rate is met however bad the estimates are; they only set how far p
swings. p depends on earlier traces alone, never on the trace at hand, and is never 0, so a kept span stands for exactly
1 / p spans on average.
"""

from __future__ import annotations

import math
import threading
from typing import Final

from otelwarden.core import Count, threshold_of
from otelwarden.quota.meters import RateLimit

_WINDOW: Final = 0.1
_SMOOTHING: Final = 1.0
_SIZE_MEMORY: Final = 10.0
_LEAST_GAIN: Final = 0.25
_LEAST_FREE: Final = 0.05
_TRACES_IN_CAPACITY: Final = 16.0
_WINDOWS_IN_CAPACITY: Final = 16.0
# Until the first traces are complete their size is unknown; too small a guess would keep too many of them.
_FIRST_TRACES: Final = 2.0
_FIRST_SIZE: Final = 10.0


class Admission:
    """Decides which of one tenant's traces are kept; safe to use from many threads.

    Args:
        now_ns: monotonic time.
    """

    def __init__(self, now_ns: int) -> None:
        self._level = math.inf  # full, whatever the capacity
        self._level_at = self._window_at = now_ns
        self._offered = self._unbidden = 0.0
        self._spans = _FIRST_TRACES * _FIRST_SIZE
        self._traces = _FIRST_TRACES
        self._traces_in_window = 0
        self.restart_after_fork()

    def restart_after_fork(self) -> None:
        """Keeps the level and the estimates, and counts from zero."""
        self._lock = threading.RLock()
        self.kept = Count()
        """Every span of a trace that was kept here ticks this when it starts."""
        self.lost = Count()
        """Every span of a trace that was not kept here ticks this when it would start."""
        self.unbidden = Count()
        """Every span that comes without a decision here ticks this when it starts."""
        self._kept_before = self._lost_before = self._unbidden_before = 0
        self._charged = 0.0

    def decide(self, now_ns: int, limit: RateLimit, randomness: int, share: float = 1.0) -> tuple[bool, int]:
        """Whether a trace is kept, and the threshold of its randomness that says so.

        Args:
            now_ns: monotonic time.
            limit: in force for the tenant's spans.
            randomness: of the trace, in [0, 2^56).
            share: the part of all traces that was kept by an earlier decision on the same randomness.
        """
        with self._lock:
            probability = self._probability(now_ns, limit)
            threshold = threshold_of(probability * share)
            keep = randomness >= threshold
            self._traces_in_window += 1
            if keep:
                size = self._spans / self._traces
                self._level -= size
                self._charged += size
            return keep, threshold

    def _probability(self, now_ns: int, limit: RateLimit) -> float:
        size = self._spans / self._traces
        capacity = max(float(limit.burst), _TRACES_IN_CAPACITY * size)
        self._level = min(capacity, self._level + (now_ns - self._level_at) / 1e9 * limit.rate)
        self._level_at = now_ns
        elapsed = (now_ns - self._window_at) / 1e9
        if elapsed >= _WINDOW or self._traces_in_window * size * _WINDOWS_IN_CAPACITY >= capacity:
            self._end_window(elapsed)
            self._window_at = now_ns
        fill = 2 * self._level / capacity
        if fill >= 1 or self._offered <= 0:
            return 1.0
        free = max(limit.rate - self._unbidden, limit.rate * _LEAST_FREE)
        return min(1.0, free / self._offered * max(_LEAST_GAIN, fill / (1 - fill)))

    def _end_window(self, elapsed: float) -> None:
        kept, lost, unbidden = self.kept.value, self.lost.value, self.unbidden.value
        offered = kept - self._kept_before + lost - self._lost_before
        came_unbidden = unbidden - self._unbidden_before
        self._kept_before, self._lost_before, self._unbidden_before = kept, lost, unbidden

        # A window may be shorter than the clock can tell: then its spans are an impulse, spread over the smoothing.
        weight = -math.expm1(-elapsed / _SMOOTHING)
        per_span = weight / elapsed if elapsed > 0 else 1 / _SMOOTHING
        self._offered += offered * per_span - weight * self._offered
        self._unbidden += came_unbidden * per_span - weight * self._unbidden

        decay = math.exp(-elapsed / _SIZE_MEMORY)
        self._spans = max(self._spans * decay + offered, 1e-9)
        self._traces = max(self._traces * decay + self._traces_in_window, 1e-9)
        self._traces_in_window = 0

        # Traces turned out larger than they were charged for: made up for here, so that no error adds up.
        missing = max(0.0, kept - self._charged)
        self._charged += missing
        self._level -= missing + came_unbidden

    def is_full(self, now_ns: int, limit: RateLimit | None) -> bool:
        """Whether forgetting this would lose no more than estimates."""
        if limit is None or self._level == math.inf:
            return True
        with self._lock:
            level = self._level + (now_ns - self._level_at) / 1e9 * limit.rate
            return level >= max(limit.burst, _TRACES_IN_CAPACITY * self._spans / self._traces)
