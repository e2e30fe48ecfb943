"""What the latest requests to an endpoint were like."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

KEPT: Final = 512
"""Requests that are remembered."""
RECENT: Final = 20
"""Of these, the ones that say what an endpoint is like now."""
MEMORY: Final = 30.0
"""Seconds after which they no longer do: one that gets no requests must not be judged by its past for ever."""
LEAST: Final = 5
"""Recent requests without which nothing is said."""


class _Request(NamedTuple):
    ended_ns: int
    seconds: float
    taken: bool


class Window:
    """The last `KEPT` requests: how long they took and whether they were taken. Bounded, and not locked."""

    def __init__(self) -> None:
        self._requests: deque[_Request] = deque(maxlen=KEPT)

    def add(self, ended_ns: int, seconds: float, *, taken: bool) -> None:
        """One more request has ended."""
        self._requests.append(_Request(ended_ns, seconds, taken))

    def mean(self) -> float | None:
        """Seconds that a request took on average, of those that were taken; None without any."""
        took = [each.seconds for each in self._requests if each.taken]
        return sum(took) / len(took) if took else None

    def p99(self) -> float | None:
        """Seconds within which 99 % of those that were taken were (nearest rank); None without any."""
        return self._quantile(0.99)

    def quantile(self, share: float) -> float | None:
        """Seconds within which that share of those that were taken was (nearest rank); None when they are too few."""
        return self._quantile(share) if len(self._requests) >= RECENT else None

    def _quantile(self, share: float) -> float | None:
        took = sorted(each.seconds for each in self._requests if each.taken)
        return took[math.ceil(share * len(took)) - 1] if took else None

    def recent_mean(self, now_ns: int) -> float | None:
        """The mean of the recent ones; None when they are too few to say."""
        took = [each.seconds for each in self._recent(now_ns) if each.taken]
        return sum(took) / len(took) if len(took) >= LEAST else None

    def recent_failure_rate(self, now_ns: int) -> float | None:
        """The share of the recent ones that were not taken; None when they are too few to say."""
        recent = self._recent(now_ns)
        return sum(not each.taken for each in recent) / len(recent) if len(recent) >= LEAST else None

    def _recent(self, now_ns: int) -> list[_Request]:
        oldest = now_ns - int(MEMORY * 1e9)
        latest = [self._requests[-n] for n in range(1, min(RECENT, len(self._requests)) + 1)]
        return [each for each in latest if each.ended_ns >= oldest]
