"""The memory of one transfer: few buffers, bounded together, reused."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.adapters.minio_bundles.buffers import (
    MAX_OBJECT_BYTES,
    MAX_PARTS,
    Buffer,
    BufferPool,
    part_size_for,
)
from tests.fixtures.stores import wait_until

MEBIBYTE = 1 << 20


def pool(max_buffers: int = 4, budget: int = 64 * MEBIBYTE) -> BufferPool:
    return BufferPool(threading.Condition(), max_buffers=max_buffers, budget_bytes=budget)


@given(size=st.integers(0, MAX_OBJECT_BYTES))
def test_no_object_needs_more_parts_than_s3_allows(size: int) -> None:
    part = part_size_for(size, 16 * MEBIBYTE)
    assert part >= 16 * MEBIBYTE
    assert -(-size // part) <= MAX_PARTS


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (1, 16 * MEBIBYTE),
        (MAX_PARTS * 16 * MEBIBYTE, 16 * MEBIBYTE),
        (MAX_PARTS * 16 * MEBIBYTE + 1, 17 * MEBIBYTE),
    ],
)
def test_parts_grow_only_when_they_must(size: int, part: int) -> None:
    assert part_size_for(size, 16 * MEBIBYTE) == part


def test_large_blocks_are_kept_and_not_copied() -> None:
    buffer = pool().take(MEBIBYTE)
    data = bytes(100_000)
    buffer.fill(memoryview(data), MEBIBYTE)
    (block,) = buffer.blocks()
    assert block.obj is data


@given(sizes=st.lists(st.integers(0, 200_000), max_size=30), limit=st.integers(1, 3 * MEBIBYTE))
def test_blocks_of_any_size_come_out_in_their_order(sizes: list[int], limit: int) -> None:
    buffer = pool().take(limit)
    blocks = [bytes([index]) * size for index, size in enumerate(sizes)]
    for block in blocks:
        room = limit - buffer.filled_bytes
        assert buffer.fill(memoryview(block), limit) == min(len(block), room)
    assert b"".join(buffer.blocks()) == b"".join(blocks)[:limit]
    assert buffer.filled_bytes == min(limit, sum(sizes))


def test_a_million_tiny_blocks_cost_no_more_than_their_bytes() -> None:
    buffer = pool().take(MEBIBYTE)
    for _ in range(MEBIBYTE):
        buffer.fill(memoryview(b"x"), MEBIBYTE)
    assert len(buffer.blocks()) == 1


@pytest.mark.parametrize(
    ("capacity", "at_once"), [(1000, 4), (16 * MEBIBYTE, 4), (20 * MEBIBYTE, 3), (40 * MEBIBYTE, 1)]
)
def test_no_more_are_given_out_than_the_budget_holds(capacity: int, at_once: int) -> None:
    changed = threading.Condition()
    buffers = BufferPool(changed, max_buffers=4, budget_bytes=64 * MEBIBYTE)
    taken: list[Buffer] = []

    def take_all() -> None:
        with changed:
            while len(taken) <= at_once:
                taken.append(buffers.take(capacity))

    thread = threading.Thread(target=take_all)
    thread.start()
    wait_until(lambda: len(taken) == at_once, 10)
    thread.join(0.1)
    assert len(taken) == at_once
    with changed:
        buffers.give_back(taken[0])
    thread.join(10)
    assert len(taken) == at_once + 1


def test_one_buffer_over_the_budget_is_granted_alone() -> None:
    assert pool(budget=10).take(100).capacity_bytes == 100


def test_a_buffer_takes_no_more_than_its_limit() -> None:
    buffer = Buffer(10)
    assert buffer.fill(memoryview(b"abcdef"), 4) == 4
    assert buffer.fill(memoryview(b"ef"), 4) == 0
    assert b"".join(buffer.blocks()) == b"abcd"


def give_back(buffers: BufferPool, buffer: Buffer) -> None:
    with buffers._changed:
        buffers.give_back(buffer)
