"""Merkle trees, written from RFC 9162, section 2.1: the root of a growing list, and whether a proof holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a list without entries."""


def leaf_hash(content: bytes) -> bytes:
    """SHA-256 of a zero byte and an entry."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of a one byte and the hashes of both halves."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree that grows: the root of each complete tree that it consists of, the largest first.

    Their sizes are the powers of two in the number of leaves, so there are at most as many as that has bits.
    """

    def __init__(self) -> None:
        self.size = 0
        self._complete: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf at the right end."""
        self.size += 1
        self._complete.append(leaf)
        size = self.size
        while size % 2 == 0:
            right = self._complete.pop()
            self._complete[-1] = node_hash(self._complete[-1], right)
            size //= 2

    @property
    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._complete:
            return EMPTY_ROOT
        *larger, root = self._complete
        for left in reversed(larger):
            root = node_hash(left, root)
        return root


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a leaf, counted from 0, is at its place in the tree with that root; section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    node, last, reached = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node % 2 == 1 or node == last:
            reached = node_hash(sibling, reached)
            while node % 2 == 0 and node != 0:
                node, last = node // 2, last // 2
        else:
            reached = node_hash(reached, sibling)
        node, last = node // 2, last // 2
    return last == 0 and reached == root


def is_consistent(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `second` leaves begins with that of `first` leaves; section 2.1.4.2.

    Every tree begins with the empty one, and with itself; neither needs a proof.
    """
    if first == 0:
        return second >= 0 and not proof and first_root == EMPTY_ROOT
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second:
        return False
    # A complete earlier tree is a node of the later one, and the proof leaves it out.
    path = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    return bool(path) and _climb(first, second, path) == (first_root, second_root)


def _climb(first: int, second: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of both trees by a path; None when it has the wrong length."""
    node, last = first - 1, second - 1
    while node % 2 == 1:
        node, last = node // 2, last // 2
    earlier = later = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node % 2 == 1 or node == last:
            earlier, later = node_hash(sibling, earlier), node_hash(sibling, later)
            while node % 2 == 0 and node != 0:
                node, last = node // 2, last // 2
        else:
            later = node_hash(later, sibling)
        node, last = node // 2, last // 2
    return (earlier, later) if last == 0 else None
