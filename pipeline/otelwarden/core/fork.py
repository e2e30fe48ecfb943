"""What a child process must do first: forget what belongs to its parent.

Pre-forking servers are normal. After `fork` the child has its parent's queues and counters, locks that a thread which
no longer exists may hold, and none of its threads. Whoever owns such things registers a method here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Callable
from typing import Any

_methods: list[weakref.WeakMethod[Callable[[], Any]]] = []

# Otherwise those of module-level objects die while the interpreter takes itself apart, and CPython's own callback of a
# WeakMethod then prints an AttributeError at the end of every process.
atexit.register(_methods.clear)


def run_in_child_after_fork(method: Callable[[], Any]) -> None:
    """Calls a bound method in every forked child, for as long as its object lives.

    Children call in the order of registration, so what a component is built on is ready before the component is.
    """
    _methods.append(weakref.WeakMethod(method, _forget))


def _forget(reference: weakref.WeakMethod[Callable[[], Any]]) -> None:
    with contextlib.suppress(ValueError):
        _methods.remove(reference)


def _in_child() -> None:
    for reference in list(_methods):
        method = reference()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
