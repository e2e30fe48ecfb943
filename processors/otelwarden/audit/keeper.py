"""Retention at work in a process: at its start and once a day, in a thread of its own."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final

from otelwarden.audit.retention import Retention
from otelwarden.audit.retirement import retire
from otelwarden.core import suppress_instrumentation_in_this_thread

if TYPE_CHECKING:
    from otelwarden.audit.trail import AuditTrail

EVERY: Final = 86_400.0
"""Seconds from one look to the next."""
THREAD_NAME: Final = "otelwarden-retention"


class Keeper:
    """Drops what a trail need not keep any longer. Where another process of the trail is at it, that one does.

    Args:
        trail: not kept alive by this.
        retention: without a rule nothing is ever dropped, and no thread is started.
    """

    def __init__(self, trail: AuditTrail, retention: Retention) -> None:
        self._trail = weakref.ref(trail)
        self._errors = trail.runtime.errors("audit")
        self._retention = retention
        self._stop = threading.Event()

    def start(self) -> None:
        """Starts the thread; raises RuntimeError when there can be no more threads."""
        if self._retention.limited:
            threading.Thread(target=self._run, name=THREAD_NAME, daemon=True).start()

    def stop(self) -> None:
        """Lets the thread end; does not wait for it, as it may be interrupted anywhere."""
        self._stop.set()

    def _run(self) -> None:
        suppress_instrumentation_in_this_thread()
        while True:
            trail = self._trail()
            if trail is None or self._stop.is_set():
                return
            try:
                retire(trail, self._retention, wait=False)
            except BlockingIOError:
                pass  # another process is at it
            except Exception as error:
                self._errors.record("retire", error)
            del trail
            self._stop.wait(EVERY)
