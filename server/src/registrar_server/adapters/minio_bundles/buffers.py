"""Part buffers of one transfer: few, reused, allocated only as they are needed."""

from __future__ import annotations

import mmap
from threading import Condition
from typing import Final

MEBIBYTE: Final = 1 << 20
MAX_PARTS: Final = 10_000
MAX_OBJECT_BYTES: Final = 5 << 40
"""What S3 takes as one object: 5 TiB."""


def part_size_for(size_bytes: int, default_bytes: int) -> int:
    """Bytes per part: the default, more (whole MiB) only when the object needs over 10,000 parts."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(default_bytes, -(-needed // MEBIBYTE) * MEBIBYTE)


class Buffer:
    """Memory for one part or one small object. `view()` is what has been filled."""

    __slots__ = ("_filled", "_memory", "_view")

    def __init__(self, capacity_bytes: int) -> None:
        # Pages of its own, which go back to the system when the buffer goes. The first large block that is freed to
        # malloc raises the size from which it takes pages of their own, and later messages fragment its arenas.
        self._memory = mmap.mmap(-1, capacity_bytes) if capacity_bytes >= MEBIBYTE else bytearray(capacity_bytes)
        self._view = memoryview(self._memory)
        self._filled = 0

    @property
    def capacity_bytes(self) -> int:
        return len(self._memory)

    def fill(self, data: memoryview, limit_bytes: int) -> int:
        """Copy as much as fits below `limit_bytes`; returns how many bytes were taken."""
        taken = min(len(data), limit_bytes - self._filled)
        self._view[self._filled : self._filled + taken] = data[:taken]
        self._filled += taken
        return taken

    @property
    def filled_bytes(self) -> int:
        return self._filled

    def view(self) -> memoryview:
        return self._view[: self._filled]

    def clear(self) -> None:
        self._filled = 0


class BufferPool:
    """At most `max_buffers` buffers of together at most `budget_bytes`; one buffer is always granted.

    The caller holds `changed` around every call; `take` waits on it.
    """

    def __init__(self, changed: Condition, *, max_buffers: int, budget_bytes: int) -> None:
        self._changed = changed
        self._max_buffers = max_buffers
        self._budget_bytes = budget_bytes
        self._free: list[Buffer] = []
        self._taken_count = 0
        self._taken_bytes = 0

    def take(self, capacity_bytes: int) -> Buffer:
        """A cleared buffer of at least that capacity; waits while all of them travel."""
        while not self._fits(capacity_bytes):
            self._changed.wait()
        buffer = self._reuse(capacity_bytes) or self._allocate(capacity_bytes)
        buffer.clear()
        self._taken_count += 1
        self._taken_bytes += buffer.capacity_bytes
        return buffer

    def give_back(self, buffer: Buffer) -> None:
        """Return a taken buffer and wake whoever waits."""
        self._taken_count -= 1
        self._taken_bytes -= buffer.capacity_bytes
        self._free.append(buffer)
        self._changed.notify_all()

    def drop_free(self) -> None:
        """Let go of the memory that is not in use."""
        self._free.clear()

    def _fits(self, capacity_bytes: int) -> bool:
        if self._taken_count == 0:
            return True
        return self._taken_count < self._max_buffers and self._taken_bytes + capacity_bytes <= self._budget_bytes

    def _reuse(self, capacity_bytes: int) -> Buffer | None:
        fitting = [
            b
            for b in self._free
            if b.capacity_bytes >= capacity_bytes
            and (self._taken_count == 0 or self._taken_bytes + b.capacity_bytes <= self._budget_bytes)
        ]
        if not fitting:
            return None
        smallest = min(fitting, key=lambda b: b.capacity_bytes)
        self._free.remove(smallest)
        return smallest

    def _allocate(self, capacity_bytes: int) -> Buffer:
        while self._free and (
            self._taken_count + len(self._free) >= self._max_buffers
            or self._taken_bytes + sum(b.capacity_bytes for b in self._free) + capacity_bytes > self._budget_bytes
        ):
            self._free.remove(min(self._free, key=lambda b: b.capacity_bytes))
        return Buffer(capacity_bytes)
