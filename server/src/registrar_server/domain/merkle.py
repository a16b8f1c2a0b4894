"""Merkle trees as RFC 9162 (and RFC 6962 before it) defines them: heads, proofs, and their verification.

A tree has its leaves in an order and only grows. A node covers 2^level leaves that are all there; whatever else a proof
needs is computed from such nodes, of which it takes about one for each level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""

NodeOf = Callable[[int, int], bytes]
"""The hash of the node at a level (0: leaves) with a number from the left, all of whose leaves are there."""


def leaf_hash(content: bytes) -> bytes:
    """Hash of a leaf; RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of a node with two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(peaks: Sequence[bytes], size: int, leaf: bytes) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
    """The peaks after one more leaf, and the nodes that it completes as (level, number, hash), itself not among them.

    `peaks` are the roots of the complete trees that make up a tree of `size` leaves, the largest first.
    """
    left = list(peaks)
    made: list[tuple[int, int, bytes]] = []
    top, level = leaf, 0
    while size >> level & 1:
        top = node_hash(left.pop(), top)
        level += 1
        made.append((level, size >> level, top))
    return [*left, top], made


def root_of(peaks: Sequence[bytes]) -> bytes:
    """The root of a tree with these peaks."""
    if not peaks:
        return EMPTY_ROOT
    top = peaks[-1]
    for peak in reversed(peaks[:-1]):
        top = node_hash(peak, top)
    return top


def root(size: int, node_of: NodeOf) -> bytes:
    """The root of the first `size` leaves."""
    return _hash(0, size, node_of) if size else EMPTY_ROOT


def inclusion_proof(number: int, size: int, node_of: NodeOf) -> list[bytes]:
    """That leaf `number` (from 0) is in the tree of `size` leaves; RFC 9162, 2.1.3.1."""
    if not 0 <= number < size:
        raise ValueError("there is no such leaf")
    return _path(number, 0, size, node_of)


def consistency_proof(earlier: int, size: int, node_of: NodeOf) -> list[bytes]:
    """That the tree of `size` leaves begins with that of `earlier` leaves; RFC 9162, 2.1.4.1."""
    if not 0 < earlier <= size:
        raise ValueError("there is no such earlier tree")
    return _subproof(earlier, 0, size, node_of, is_whole=True)


def is_included(leaf: bytes, number: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether an inclusion proof holds; RFC 9162, 2.1.3.2."""
    if not 0 <= number < size:
        return False
    place, last, top = number, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            top = node_hash(hash_, top)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            top = node_hash(top, hash_)
        place >>= 1
        last >>= 1
    return last == 0 and top == expected_root


def is_consistent(earlier: int, earlier_root: bytes, size: int, later_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof holds; RFC 9162, 2.1.4.2. Every tree begins with the empty one."""
    if not 0 <= earlier <= size:
        return False
    if earlier == size:
        return not proof and earlier_root == later_root
    if earlier == 0:
        return not proof and earlier_root == EMPTY_ROOT
    # A complete tree is a node of the later one: its proof leaves that out.
    hashes = [earlier_root, *proof] if earlier & (earlier - 1) == 0 else list(proof)
    return bool(hashes) and _grow(earlier, size, hashes) == (earlier_root, later_root)


def _grow(earlier: int, size: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The roots of the earlier and the later tree by a consistency proof; None when it is of other trees."""
    place, last = earlier - 1, size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old = new = hashes[0]
    for hash_ in hashes[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            old, new = node_hash(hash_, old), node_hash(hash_, new)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            new = node_hash(new, hash_)
        place >>= 1
        last >>= 1
    return (old, new) if last == 0 else None


def _hash(begin: int, end: int, node_of: NodeOf) -> bytes:
    """Root of the leaves from `begin` to before `end`, where `begin` is where such a tree can begin."""
    count = end - begin
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node_of(level, begin >> level)
    split = begin + _split(count)
    return node_hash(_hash(begin, split, node_of), _hash(split, end, node_of))


def _path(number: int, begin: int, end: int, node_of: NodeOf) -> list[bytes]:
    if end - begin == 1:
        return []
    split = begin + _split(end - begin)
    if number < split:
        return [*_path(number, begin, split, node_of), _hash(split, end, node_of)]
    return [*_path(number, split, end, node_of), _hash(begin, split, node_of)]


def _subproof(earlier: int, begin: int, end: int, node_of: NodeOf, *, is_whole: bool) -> list[bytes]:
    if earlier == end:
        return [] if is_whole else [_hash(begin, end, node_of)]
    split = begin + _split(end - begin)
    if earlier <= split:
        return [*_subproof(earlier, begin, split, node_of, is_whole=is_whole), _hash(split, end, node_of)]
    return [*_subproof(earlier, split, end, node_of, is_whole=False), _hash(begin, split, node_of)]


def _split(count: int) -> int:
    """The largest power of two below `count`, which is more than one."""
    return 1 << (count - 1).bit_length() - 1


def peaks_of(size: int, node_of: NodeOf) -> list[bytes]:
    """The roots of the complete trees that make up the first `size` leaves, the largest first; see `append`."""
    found, begin = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            found.append(node_of(level, begin >> level))
            begin += 1 << level
    return found
