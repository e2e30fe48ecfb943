from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable


def until(true: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Waits for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def in_child(work: Callable[[], None]) -> int:
    """Does `work` in a forked child; its exit status, 0 when it raised nothing."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
