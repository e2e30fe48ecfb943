"""Records that are about to be appended together: numbered, chained, hashed. The innermost loop of the trail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from otelwarden.audit.records import Encoder, Entry
from otelwarden.core import GovernanceEvent

PREVIOUS_BYTES: Final = 8
"""How much of the hash of its predecessor a record names: enough to point at a changed one. Proof is in the tree."""

NO_PREVIOUS: Final = b"0" * (2 * PREVIOUS_BYTES)
"""What the first record of a stream names as its predecessor."""


class Batch:
    """Records on their way into a stream.

    Args:
        sequence: of the first record.
        previous: what it names as its predecessor.

    Attributes:
        leaves: the RFC 6962 leaf hash of each record.
        sequence: of the record after the last.
        previous: what that one will name.
    """

    __slots__ = ("_inputs", "leaves", "previous", "sequence")

    def __init__(self, sequence: int, previous: bytes) -> None:
        self.sequence = sequence
        self.previous = previous
        self.leaves: list[bytes] = []
        self._inputs: list[bytes] = []  # of the leaf hash: 0x00 and the record

    def extend(self, entries: Iterable[Entry]) -> None:
        """Adds records."""
        for time_ns, body in entries:
            self._add(
                b'\x00{"sequence":%d,"time":"%d","previous":"%b",%b}' % (self.sequence, time_ns, self.previous, body)
            )

    def _add(self, leaf_input: bytes) -> None:
        leaf = hashlib.sha256(leaf_input).digest()
        self.leaves.append(leaf)
        self._inputs.append(leaf_input)
        self.previous = leaf[:PREVIOUS_BYTES].hex().encode()
        self.sequence += 1

    def extend_events(self, events: Iterable[GovernanceEvent], encoder: Encoder) -> None:
        """Adds one record for each event: `extend` in one loop, at half the cost."""
        sequence, previous = self.sequence, self.previous
        sha256, fixed = hashlib.sha256, encoder.fixed
        add_leaf, add_input = self.leaves.append, self._inputs.append
        for event in events:
            if event[7]:
                leaf_input = (
                    b'\x00{"sequence":%d,"time":"%d","previous":"%b",%b,"count":%d,"trace_id":"%032x","span_id":"%016x"}'
                    % (sequence, event[0], previous, fixed(event), event[6], event[7], event[8])
                )
            else:
                leaf_input = b'\x00{"sequence":%d,"time":"%d","previous":"%b",%b,"count":%d}' % (
                    sequence,
                    event[0],
                    previous,
                    fixed(event),
                    event[6],
                )
            leaf = sha256(leaf_input).digest()
            add_leaf(leaf)
            add_input(leaf_input)
            previous = leaf[:PREVIOUS_BYTES].hex().encode()
            sequence += 1
        self.sequence, self.previous = sequence, previous

    def lines(self) -> list[bytes]:
        """The records that `take` would hand out, each without its line feed."""
        return [leaf_input[1:] for leaf_input in self._inputs]

    def take(self) -> bytes:
        """The bytes to store of the records added since the last call."""
        inputs, self._inputs = self._inputs, []
        # A record is ASCII without control characters, so each zero byte is the start of one.
        return b"".join(inputs).replace(b"\x00", b"\n")[1:] + b"\n" if inputs else b""
