from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Waits for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)
