"""What is known of one tenant's traces at the moment: how many begin, how long they last, how many spans they bring.

Sizes are not known when a trace begins, and from those that ended first one would learn only of the short ones. So two
estimates are kept:

    seen      spans over traces that began, both decaying over 10 s. Right in the long run; too small while traces are
              still open, above all at a cold start.
    cautious  1 + children a second of an open trace x seconds that a trace lasts (at a constant rate of ending, the
              children of all traces over the traces that ended), too large by 4 / n while only n have ended. Until the
              first has ended, it is supposed to last for 10 s, or for as long as those that are open; but in the first
              second for ten times what they were open together, as they may all be short.

All sums of the cautious one decay over 30 s, so traces whose first span never ends are forgotten in the end.
"""

from __future__ import annotations

import math
from typing import Final

from otelwarden.core import Count

# Until the first traces are complete their size is unknown; too small a guess would keep too many of them.
_FIRST_TRACES: Final = 2.0
_FIRST_SIZE: Final = 10.0
_FIRST_LENGTH: Final = 10.0
_SIZE_MEMORY: Final = 10.0
_OPEN_MEMORY: Final = 30.0
_SMOOTHING: Final = 1.0
_CAUTION: Final = 4.0
_ONE: Final = 0.5  # as it decays
_FEW: Final = 4.0
# A window with so many more traces than were expected is no accident: it takes over at once.
_JUMP: Final = 3.0
_JUMP_TRACES: Final = 6
_SHORTEST: Final = 0.02
_LEAST_WEIGHT: Final = 0.1


class _Reading:
    """How much a counter has grown since it was last read."""

    __slots__ = ("before", "count")

    def __init__(self) -> None:
        self.count = Count()
        self.before = 0

    def grown(self) -> int:
        value = self.count.value
        grown, self.before = value - self.before, value
        return grown


class TraceFlow:
    """The estimates, fed window by window; not safe to use from many threads, except for its counters."""

    def __init__(self) -> None:
        self.arrivals = 0.0
        """Traces that begin here a second, kept or not."""
        self.unbidden = 0.0
        """Spans a second that come whatever is decided here."""
        self.began = 0
        """Traces of this window so far."""
        self.kept_now = 0
        """Those of them that were kept."""
        self._smoothed = self._weight = 0.0
        self._spans, self._traces = _FIRST_TRACES * _FIRST_SIZE, _FIRST_TRACES
        self._open = self._open_seconds = self._children = self._ended = 0.0
        self.restart_after_fork()

    def restart_after_fork(self) -> None:
        """Keeps the estimates, and counts from zero."""
        self.kept, self.lost, self.unbidden_spans, self.ended = _Reading(), _Reading(), _Reading(), _Reading()

    def end_window(self, elapsed: float, beside: float = 0.0) -> tuple[int, float]:
        """Takes the counters in.

        Args:
            elapsed: seconds since the last window ended.
            beside: spans that could have come in it instead of what else takes from the limit: unbidden, too.

        Returns:
            Spans of kept traces, and spans that came unbidden, that started in the window.
        """
        kept, lost, ended = self.kept.grown(), self.lost.grown(), self.ended.grown()
        unbidden = self.unbidden_spans.grown() + beside
        # A window may be shorter than the clock can tell: then its spans are an impulse, spread over the smoothing.
        weight = -math.expm1(-elapsed / _SMOOTHING)
        each = weight / elapsed if elapsed > 0 else 1 / _SMOOTHING
        self.unbidden += unbidden * each - weight * self.unbidden
        self._count_arrivals(elapsed, weight, each)

        decay = math.exp(-elapsed / _OPEN_MEMORY)
        self._open_seconds = self._open_seconds * decay + (self._open + self.kept_now / 2) * elapsed
        self._open = max(0.0, self._open * decay + self.kept_now - ended)
        self._children = self._children * decay + max(0, kept - self.kept_now)
        self._ended = self._ended * decay + ended

        decay = math.exp(-elapsed / _SIZE_MEMORY)
        self._spans = max(self._spans * decay + kept + lost, 1e-9)
        self._traces = max(self._traces * decay + self.began, 1e-9)
        self.began = self.kept_now = 0
        return kept, unbidden

    def _count_arrivals(self, elapsed: float, weight: float, each: float) -> None:
        self._smoothed += self.began * each - weight * self._smoothed
        self._weight += weight * (1 - self._weight)  # below 1 while there is less to smooth than a full memory
        self.arrivals = self._smoothed / max(self._weight, _LEAST_WEIGHT)
        now = self.began / max(elapsed, _SHORTEST)
        if self.began >= _JUMP_TRACES and now > _JUMP * self.arrivals:
            self._smoothed, self._weight, self.arrivals = now, 1.0, now

    @property
    def seen_size(self) -> float:
        """Spans of a trace, as seen so far."""
        return self._spans / self._traces

    def least_size(self, rate: float) -> float:
        """Spans that a new trace is charged for.

        More than were seen, if hardly any has ended and so many begin that with one child each they are over the rate.
        """
        if self._ended < _FEW and 2 * self.arrivals > rate:
            return max(self.seen_size, _FIRST_SIZE)
        return self.seen_size

    def cautious_size(self, rate: float) -> float:
        """Spans that a trace is supposed to bring, rather too many."""
        return max(self.least_size(rate), 1 + self._pace * self._length)

    @property
    def open(self) -> float:
        """Kept traces whose first span has not ended."""
        return self._open + self.kept_now

    @property
    def _pace(self) -> float:
        return self._children / self._open_seconds if self._open_seconds > 0 else 0.0

    @property
    def _length(self) -> float:
        if self._ended >= _ONE:
            return self._open_seconds / self._ended * (1 + _CAUTION / self._ended)
        first = min(_FIRST_LENGTH, _FIRST_LENGTH * self._open_seconds)
        return max(first, self._open_seconds / self._open) if self._open > 0 else first

    def overhang(self, free: float) -> float:
        """Spans by which the open traces, at their pace and until they end, will exceed `free` spans a second."""
        return max(0.0, self._pace * self.open - free) * self._length
