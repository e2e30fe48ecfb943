"""Tables and colours for terminals; plain text for everything else."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, TextIO

_CODES: Final = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35}
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL: Final = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x1a\x1c-\x1f\x7f-\x9f]")
_WIDTH: Final = 16


class Style:
    """Colours text where the stream is a terminal, and `NO_COLOR` (no-color.org) is not set."""

    def __init__(self, stream: TextIO) -> None:
        self._on = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour; as it is for an unknown one."""
        return self._wrap(text, _CODES[colour]) if colour in _CODES else text

    def bold(self, text: str) -> str:
        """The text in bold."""
        return self._wrap(text, 1)

    def faint(self, text: str) -> str:
        """The text, less bright."""
        return self._wrap(text, 2)

    def _wrap(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text


def bar(score: float | None, width: int = _WIDTH) -> str:
    """A score from 0 to 100 as a bar of so many characters; what is beyond counts as 0 or 100."""
    if score is None:
        return ""
    full = int(min(max(score, 0.0), 100.0) * width / 100)
    return "█" * full + "░" * (width - full)


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows in columns.

    Args:
        right: columns that are aligned at their right edge.
    """
    if not rows:
        return ""
    # What somebody named after a control character of the terminal must not act on it.
    clean = [[_CONTROL.sub("?", cell) for cell in row] for row in rows]
    widths = [max(width_of(row[column]) for row in clean) for column in range(len(clean[0]))]
    lines = []
    for row in clean:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - width_of(cell))
            cells.append(space + cell if column in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return "".join(line + "\n" for line in lines)


def width_of(cell: str) -> int:
    """Characters that a text takes on a terminal, its colours left out."""
    return len(_ESCAPE.sub("", cell))
