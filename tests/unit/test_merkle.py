"""Merkle trees against the definition, word for word, and against proofs that somebody changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from registrar_server.domain.merkle import (
    EMPTY_ROOT,
    append,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    peaks_of,
    root,
    root_of,
)

# The leaves and roots that certificate-transparency's own tests have, which implementations are compared by.
LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

sizes = st.integers(1, 130)


def definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + definition(leaves[:split]) + definition(leaves[split:])).digest()


def contents(size: int) -> list[bytes]:
    return [str(number).encode() for number in range(size)]


class Tree:
    """A tree as it is stored: peaks, and every node that was completed."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.peaks: list[bytes] = []
        for number, content in enumerate(leaves):
            self.nodes[0, number] = leaf_hash(content)
            self.peaks, made = append(self.peaks, number, leaf_hash(content))
            for level, place, hash_ in made:
                assert (level, place) not in self.nodes
                self.nodes[level, place] = hash_

    def node(self, level: int, number: int) -> bytes:
        return self.nodes[level, number]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_that_others_compute(size: int) -> None:
    tree = Tree(LEAVES[:size])
    assert root_of(tree.peaks).hex() == ROOTS[size - 1]
    assert root(size, tree.node).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_a_root() -> None:
    assert root(0, Tree([]).node) == root_of([]) == EMPTY_ROOT == definition([])


@given(sizes)
def test_roots_are_as_defined(size: int) -> None:
    tree = Tree(contents(size))
    assert root_of(tree.peaks) == root(size, tree.node) == definition(contents(size))
    for earlier in range(size + 1):
        assert root(earlier, tree.node) == definition(contents(earlier))


@given(sizes, st.data())
def test_every_leaf_proves_its_place_and_no_other(size: int, data: st.DataObject) -> None:
    tree = Tree(contents(size))
    number = data.draw(st.integers(0, size - 1))
    leaf, top = leaf_hash(contents(size)[number]), root_of(tree.peaks)
    proof = inclusion_proof(number, size, tree.node)
    assert is_included(leaf, number, size, proof, top)
    assert len(proof) <= size.bit_length()
    assert not is_included(leaf_hash(b"another"), number, size, proof, top)
    other = data.draw(st.integers(0, size - 1))
    assert is_included(leaf, other, size, proof, top) is (other == number)
    for changed in changes(proof, data):
        assert not is_included(leaf, number, size, changed, top)


@given(sizes, st.data())
def test_every_tree_begins_with_those_before_it_and_no_others(size: int, data: st.DataObject) -> None:
    tree = Tree(contents(size))
    earlier = data.draw(st.integers(1, size))
    before, after = definition(contents(earlier)), root_of(tree.peaks)
    proof = consistency_proof(earlier, size, tree.node)
    assert is_consistent(earlier, before, size, after, proof)
    assert is_consistent(0, EMPTY_ROOT, size, after, [])
    changed_leaves = contents(size)
    changed_leaves[data.draw(st.integers(0, earlier - 1))] += b"!"
    assert not is_consistent(earlier, before, size, definition(changed_leaves), proof)
    for changed in changes(proof, data):
        assert not is_consistent(earlier, before, size, after, changed)


@given(st.integers(-2, 9), st.integers(-2, 9), st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_nothing_that_is_made_up_is_a_proof_and_nothing_raises(number: int, size: int, proof: list[bytes]) -> None:
    top = b"\xff" * 32
    assert not is_included(b"\x01" * 32, number, size, proof, top)
    assert not is_consistent(number, b"\x01" * 32, size, top, proof)


@pytest.mark.parametrize("prove", [inclusion_proof, consistency_proof])
def test_what_is_not_there_cannot_be_proved(prove: Callable[..., list[bytes]]) -> None:
    tree = Tree(contents(3))
    for number in (-1, 4):
        with pytest.raises(ValueError, match="there is no such"):
            prove(number, 3, tree.node)


def changes(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    """A proof with a hash more, one less, one changed, two exchanged."""
    extra = data.draw(st.binary(min_size=32, max_size=32))
    found = [[*proof, extra], [extra, *proof]]
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        found += [proof[:place] + proof[place + 1 :]]
        found += [[*proof[:place], node_hash(proof[place], extra), *proof[place + 1 :]]]
    if len(proof) > 1:
        found += [[proof[1], proof[0], *proof[2:]]]
    return found


@given(st.integers(0, 200))
def test_the_peaks_are_found_among_the_nodes_of_a_later_tree(size: int) -> None:
    nodes: dict[tuple[int, int], bytes] = {}
    peaks: list[bytes] = []
    then: list[bytes] = []
    for count in range(256):
        if count == size:
            then = peaks
        leaf = nodes[0, count] = leaf_hash(bytes([count]))
        peaks, made = append(peaks, count, leaf)
        nodes.update({(level, number): hash_ for level, number, hash_ in made})
    assert peaks_of(size, lambda level, number: nodes[level, number]) == then
