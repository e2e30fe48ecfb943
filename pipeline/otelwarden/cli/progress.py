"""A line on the terminal that says how far we are."""

from __future__ import annotations

import sys
from typing import Final

SHOWN_FROM: Final = 4 << 20
"""Bytes of work from which it is worth a line."""


class Progress:
    """A bar on standard error; nothing when nobody looks, or the work is small.

    Args:
        name: what is worked on.
        size: the whole work, in bytes.
        always: shows it also where standard error is no terminal and the work is small.
    """

    def __init__(self, name: str, size: int, *, always: bool = False) -> None:
        self._name = name
        self._size = size
        self._shown = -1
        self._on = always or (size >= SHOWN_FROM and sys.stderr.isatty())

    def __call__(self, done: int) -> None:
        """Shows that `done` bytes are through, when that makes a difference."""
        share = min(100, done * 100 // self._size) if self._size else 100
        if self._on and share != self._shown:
            self._shown = share
            bar = "#" * (share * 30 // 100)
            print(f"\r{self._name[:40]} [{bar:<30}] {share:3}%", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Takes the line away."""
        if self._on:
            print("\r" + " " * 80 + "\r", end="", file=sys.stderr, flush=True)
