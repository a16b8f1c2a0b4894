"""Which bytes of a file are there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of byte ranges, each from its first byte to before its last. Ranges that touch become one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add a range; what is there already does no harm."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def clear(self) -> None:
        """Forget all of them."""
        self._starts.clear()
        self._ends.clear()

    def end_from(self, position: int) -> int:
        """How far the bytes go without a gap from a position; the position itself when it is not there."""
        index = bisect_right(self._starts, position) - 1
        return max(position, self._ends[index]) if index >= 0 else position

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """What is missing of a file of that size: first byte and before the last, in order."""
        starts = [0, *self._ends]
        ends = [*self._starts, size]
        return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]

    @property
    def end(self) -> int:
        """Behind the last byte that is there; 0 without any."""
        return self._ends[-1] if self._ends else 0

    @property
    def size_bytes(self) -> int:
        """How many bytes are there."""
        return sum(self._ends) - sum(self._starts)
