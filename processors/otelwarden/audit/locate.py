"""Which record is bad, once it is known that one is: by sequence number and by the hash each keeps of the one before.

These are not proof, as whoever changes a record can recompute them; they only point at what a careless change left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from otelwarden.audit.batch import NO_PREVIOUS, PREVIOUS_BYTES
from otelwarden.audit.merkle import leaf_hash

_HEAD: Final = re.compile(
    rb'\{"sequence":(0|[1-9][0-9]*),"time":"(-?[0-9]+)","previous":"([0-9a-f]{16})","stream":"([^"\\]*)",.*\}',
    re.DOTALL,
)


class Chain:
    """Follows the records of one stream, one by one.

    Attributes:
        bad: sequence of the first record that does not fit; None so far.
        last_ns: the latest time of those that fit, nanoseconds since the Unix epoch.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream.encode()
        self._next = self._first = 0
        self._previous = NO_PREVIOUS
        self._suspect: int | None = None  # its successor does not know it: either it was changed or its successor was
        self.bad: int | None = None
        self.last_ns = 0

    def start_after(self, line: bytes, sequence: int) -> None:
        """Begins in the middle, after a record that is known to be good."""
        self._next = self._first = sequence + 1
        self._previous = _name(line)

    def pass_over(self, end: int, name: bytes) -> None:
        """Goes on after records that were dropped.

        Args:
            end: sequence of the record after them.
            name: what that one must name as its predecessor; empty where that is not known.
        """
        if self._suspect is not None and self.bad is None:
            self.bad = self._suspect
        self._next = self._first = end
        self._previous = name

    def follow(self, lines: Iterable[bytes]) -> bool:
        """Looks at the next lines; False once a bad one was found."""
        for line in lines:
            if self.bad is None:
                self._look(line)
        return self.bad is None

    def end(self) -> int | None:
        """The first bad record, when there are no more to come."""
        return self._suspect if self.bad is None else self.bad

    def _look(self, line: bytes) -> None:
        head = _HEAD.fullmatch(line)
        joined = line.find(b'{"sequence":', 1) >= 0  # two records whose line feed is gone; no text can look like that
        if head is None or joined or head[1] != b"%d" % self._next or head[4] != self._stream:
            self.bad = self._next if self._suspect is None else self._suspect
            return
        fits = head[3] == self._previous or not self._previous
        if self._suspect is not None:
            # Two links in a row are broken by a change in the record between them, one by a change before it.
            self.bad = self._suspect if fits else self._suspect + 1
            return
        if not fits and self._next == self._first:
            self.bad = self._next
            return
        if not fits:
            self._suspect = self._next - 1
        self._previous = _name(line)
        self._next += 1
        self.last_ns = max(self.last_ns, int(head[2]))


def _name(line: bytes) -> bytes:
    """What the record after `line` calls it."""
    return leaf_hash(line)[:PREVIOUS_BYTES].hex().encode()
