"""Part buffers of one transfer: few, and of blocks that are kept as they came."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition
from typing import Final

MEBIBYTE: Final = 1 << 20
_KEPT_BYTES: Final = 64 << 10
MAX_PARTS: Final = 10_000
MAX_OBJECT_BYTES: Final = 5 << 40
"""What S3 takes as one object: 5 TiB."""


def part_size_for(size_bytes: int, default_bytes: int) -> int:
    """Bytes per part: the default, more (whole MiB) only when the object needs over 10,000 parts."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(default_bytes, -(-needed // MEBIBYTE) * MEBIBYTE)


class Buffer:
    """One part or one small object: the blocks as they came, not copied. They must not change afterwards.

    Blocks of under 64 KiB are copied together, so that a part of many tiny ones costs no more than its bytes.
    """

    __slots__ = ("_blocks", "_tail", "capacity_bytes", "filled_bytes")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.filled_bytes = 0
        self._blocks: list[memoryview] = []
        self._tail = bytearray()

    def fill(self, data: memoryview, limit_bytes: int) -> int:
        """Take as much as fits below `limit_bytes`; returns how many bytes were taken."""
        taken = data[: limit_bytes - self.filled_bytes]
        self.filled_bytes += len(taken)
        if len(taken) < _KEPT_BYTES:
            self._tail += taken
            if len(self._tail) >= MEBIBYTE:
                self._end_tail()
        else:
            self._end_tail()
            self._blocks.append(taken)
        return len(taken)

    def blocks(self) -> Sequence[memoryview]:
        """What was filled."""
        self._end_tail()
        return self._blocks

    def _end_tail(self) -> None:
        if self._tail:
            self._blocks.append(memoryview(self._tail))
            self._tail = bytearray()


class BufferPool:
    """At most `max_buffers` buffers of together at most `budget_bytes`; one buffer is always granted.

    The caller holds `changed` around every call; `take` waits on it.
    """

    def __init__(self, changed: Condition, *, max_buffers: int, budget_bytes: int) -> None:
        self._changed = changed
        self._max_buffers = max_buffers
        self._budget_bytes = budget_bytes
        self._taken_count = 0
        self._taken_bytes = 0

    def take(self, capacity_bytes: int) -> Buffer:
        """An empty buffer for so many bytes; waits while all of them travel."""
        while not self._fits(capacity_bytes):
            self._changed.wait()
        self._taken_count += 1
        self._taken_bytes += capacity_bytes
        return Buffer(capacity_bytes)

    def give_back(self, buffer: Buffer) -> None:
        """Return a taken buffer and wake whoever waits."""
        self._taken_count -= 1
        self._taken_bytes -= buffer.capacity_bytes
        self._changed.notify_all()

    def _fits(self, capacity_bytes: int) -> bool:
        if self._taken_count == 0:
            return True
        return self._taken_count < self._max_buffers and self._taken_bytes + capacity_bytes <= self._budget_bytes
