"""Records that are about to be appended together: numbered, chained, hashed. The innermost loop of the trail."""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Iterable
from typing import Final

from otelwarden.audit.merkle import Frontier
from otelwarden.audit.records import Encoder, Entry
from otelwarden.core import GovernanceEvent

PREVIOUS_BYTES: Final = 8
"""How much of the hash of its predecessor a record names: enough to point at a changed one. Proof is in the tree."""

NO_PREVIOUS: Final = b"0" * (2 * PREVIOUS_BYTES)
"""What the first record of a stream names as its predecessor."""

_PLAIN: Final = b'\x00{"sequence":%d,"time":"%d","previous":"%b",%b,"count":%d}'
_TRACED: Final = _PLAIN[:-1] + b',"trace_id":"%032x","span_id":"%016x"}'


class Batch:
    """Records on their way into a stream.

    Args:
        tree: of the records before; the batch grows it, so it must be its own.
        previous: what the first record names as its predecessor.

    Attributes:
        tree: as it will be when everything that was taken is durable.
        sequence: of the record after the last.
        previous: what that one will name.
    """

    __slots__ = ("_inputs", "_leaves", "previous", "sequence", "tree")

    def __init__(self, tree: Frontier, previous: bytes) -> None:
        self.tree = tree
        self.sequence = tree.size
        self.previous = previous
        self._leaves: list[bytes] = []
        self._inputs: list[bytes] = []  # of the leaf hash: 0x00 and the record

    def extend(self, entries: Iterable[Entry]) -> None:
        """Adds records."""
        for time_ns, body in entries:
            self._add(
                b'\x00{"sequence":%d,"time":"%d","previous":"%b",%b}' % (self.sequence, time_ns, self.previous, body)
            )

    def _add(self, leaf_input: bytes) -> None:
        leaf = hashlib.sha256(leaf_input).digest()
        self._leaves.append(leaf)
        self._inputs.append(leaf_input)
        self.previous = hexlify(leaf[:PREVIOUS_BYTES])
        self.sequence += 1

    def extend_events(self, events: Iterable[GovernanceEvent], encoder: Encoder) -> None:
        """Adds one record for each event: `extend` in one loop, at half the cost."""
        sequence, previous = self.sequence, self.previous
        sha256, known, fixed = hashlib.sha256, encoder.known, encoder.fixed
        add_leaf, add_input = self._leaves.append, self._inputs.append
        for event in events:
            time_ns, component, action, reason, tenant, signal, count, trace_id, span_id, digest, target, actor = event
            body = known.get((component, action, reason, tenant, signal, digest, target, actor)) or fixed(event)
            if trace_id:
                leaf_input = _TRACED % (sequence, time_ns, previous, body, count, trace_id, span_id)
            else:
                leaf_input = _PLAIN % (sequence, time_ns, previous, body, count)
            leaf = sha256(leaf_input).digest()
            add_leaf(leaf)
            add_input(leaf_input)
            previous = hexlify(leaf[:PREVIOUS_BYTES])
            sequence += 1
        self.sequence, self.previous = sequence, previous

    def lines(self) -> list[bytes]:
        """The records that `take` would hand out, each without its line feed."""
        return [leaf_input[1:] for leaf_input in self._inputs]

    def take(self) -> bytes:
        """The bytes to store of the records added since the last call; the tree takes them in."""
        inputs, self._inputs = self._inputs, []
        leaves, self._leaves = self._leaves, []
        self.tree.extend(leaves)
        if not inputs:
            return b""
        # A record is ASCII without control characters, so each zero byte is the start of one, and can be made the line
        # feed of the one before it in a single pass.
        inputs[0] = inputs[0][1:]
        inputs.append(b"\x00")
        return b"".join(inputs).replace(b"\x00", b"\n")
