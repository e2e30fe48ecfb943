"""The Merkle tree of RFC 6962 section 2.1, as much of it as appending and judging need: hashes and a frontier."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 6962 section 2.1)."""


def leaf_hash(record: bytes) -> bytes:
    """`SHA-256(0x00 || record)`: the hash of a leaf, over the bytes as they are stored."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """`SHA-256(0x01 || left || right)`: the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree of which only the roots of its complete subtrees are kept: at most 64 hashes, for any size.

    Attributes:
        size: number of leaves.
    """

    __slots__ = ("_pending", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pending: list[bytes | None] = []  # [i]: the root of a complete subtree of 2**i leaves, not yet paired

    def copy(self) -> Frontier:
        """Another tree of the same leaves, which grows on its own."""
        other = Frontier()
        other.size = self.size
        other._pending = self._pending.copy()
        return other

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Appends leaf hashes.

        Level by level and not leaf by leaf: the inner loop is then one comprehension, twice as fast.
        """
        self.size += len(leaves)
        nodes = list(leaves)
        level = 0
        while nodes:
            if level == len(self._pending):
                self._pending.append(None)
            waiting = self._pending[level]
            if waiting is not None:
                nodes.insert(0, waiting)
            self._pending[level] = nodes.pop() if len(nodes) % 2 else None
            sha256 = hashlib.sha256
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            level += 1

    def graft(self, leaves: int, root: bytes) -> None:
        """Appends a complete subtree by its root.

        Raises:
            ValueError: it is none (`leaves` is no power of two), or the tree does not end where one can begin.
        """
        if leaves < 1 or leaves & (leaves - 1) or self.size % leaves:
            raise ValueError(f"no complete subtree of {leaves} leaves begins at {self.size}")
        level = leaves.bit_length() - 1
        self._pending += [None] * (level + 1 - len(self._pending))
        while (waiting := self._pending[level]) is not None:
            root = node_hash(waiting, root)
            self._pending[level] = None
            level += 1
            if level == len(self._pending):
                self._pending.append(None)
        self._pending[level] = root
        self.size += leaves

    def subtree(self, leaves: int) -> bytes:
        """The root of the complete subtree of that many leaves, a power of two, that the tree ends in or is made of.

        Raises:
            LookupError: the tree has none of that size that is not part of a larger one.
        """
        level = leaves.bit_length() - 1
        found = self._pending[level] if level < len(self._pending) else None
        if found is None:
            raise LookupError(f"no complete subtree of {leaves} leaves")
        return found

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        root: bytes | None = None
        for subtree in self._pending:
            if subtree is not None:
                root = subtree if root is None else node_hash(subtree, root)
        return EMPTY_ROOT if root is None else root


def subtrees(first: int, end: int) -> list[tuple[int, int]]:
    """The complete subtrees that a range of leaves is made of, the largest there are: `(first, leaves)` of each.

    Whatever range a proof asks for, of a record or of consistency, lies within one of them, or they within it, as long
    as the record or the smaller tree does not end inside of the range.
    """
    found = []
    while first < end:
        leaves = first & -first if first else 1 << (end.bit_length() - 1)
        while leaves > end - first:
            leaves >>= 1
        found.append((first, leaves))
        first += leaves
    return found


def siblings(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose roots prove a leaf: its inclusion path from the leaf upwards, RFC 6962 section 2.1.1.

    Args:
        index: of the leaf, from 0.
        size: leaves in the tree, more than `index`.

    Returns:
        `(first, end)` of each, `end` not included.
    """
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose roots prove that one tree is the beginning of another (RFC 6962 section 2.1.2).

    Args:
        old: leaves of the smaller tree, at least 1.
        new: leaves of the larger one, more than `old`.

    Returns:
        `(first, end)` of each, in the order of the proof. Those that end at `old` or before are complete subtrees of
        the smaller tree, which its `Frontier` holds.
    """
    path = []
    start, end = 0, new
    while end > old:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    if start:
        path.append((start, end))
    return path[::-1]


def roots_of_consistency(old: int, new: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of both trees that a consistency proof leads to (RFC 9162 section 2.1.4.2); None for no proof at all.

    Args:
        old: leaves of the smaller tree, at least 1.
        new: leaves of the larger one, more than `old`.
        old_root: of the smaller tree; taken as the first hash where its leaves are one complete subtree.
        proof: hashes, as `consistency_ranges` orders them.
    """
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return None
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            first = node_hash(sibling, first)
            second = node_hash(sibling, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return (first, second) if sn == 0 else None
