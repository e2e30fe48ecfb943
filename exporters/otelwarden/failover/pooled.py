"""What the parts of a pool share, and the one lock it is under."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from otelwarden.core import Runtime
from otelwarden.failover.membership import Membership
from otelwarden.failover.routes import News, Routes
from otelwarden.failover.window import Window


class Pooled:
    """The endpoints of a pool, where telemetry goes, what has been counted, and who wants to know.

    Attributes:
        lock: over all of it.
        counts: events by action, and `requests`, `failed_attempts`, `hedged`, `hedges_won`.
        window: the latest requests to any endpoint.
        listeners: called when an endpoint may be asked that could not before.
    """

    def __init__(self, members: Membership, routes: Routes, runtime: Runtime) -> None:
        self.members = members
        self.routes = routes
        self.listeners: list[Callable[[], None]] = []
        self._emit = runtime.emit
        self._renew()

    def start_over(self) -> None:
        """Begins anew in a forked child; its listeners are still there."""
        self.members.start_over()
        self._renew()

    def _renew(self) -> None:
        self.lock = threading.RLock()
        self.window = Window()
        self.counts: Counter[str] = Counter()
        self.routes.start(self.members.all)

    def tell(self, news: Iterable[News]) -> None:
        """Tells what happened; not under the lock, as an observer may write to a disk."""
        for action, reason, target in news:
            with self.lock:
                self.counts[action] += 1
            self._emit("failover", action, reason, target=target)

    def wake(self, listeners: Iterable[Callable[[], None]]) -> None:
        """Calls those that were listening at that moment; not under the lock."""
        for listener in listeners:
            listener()
