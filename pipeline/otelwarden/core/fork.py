"""What a child process must do first: forget what belongs to its parent.

Pre-forking servers are normal. After `fork` the child has its parent's queues and counters, locks that a thread which
no longer exists may hold, and none of its threads. Whoever owns such things registers a method here.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any


def run_in_child_after_fork(method: Callable[[], Any]) -> None:
    """Calls a bound method in every forked child, for as long as its object lives.

    Children call in the order of registration, so what a component is built on is ready before the component is.
    """
    reference = weakref.WeakMethod(method)

    def in_child() -> None:
        alive = reference()
        if alive is not None:
            alive()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=in_child)
