"""What an upload has moved."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime

Interval = tuple[int, int]


@dataclass
class UploadReport:
    """Give one to `upload` or `push` and read it afterwards, or, from another thread, meanwhile. All sizes are in bytes."""

    upload_id: str = ""
    """The session; empty before it is open, or when the registry had the bundle."""
    expire_time: datetime | None = None
    """When the session and what it holds are cleared away, unless something is written before."""
    total_bytes: int = 0
    """Size of the bundle."""
    skipped_bytes: int = 0
    """Of these, what was there when the upload began, or is copied by the store."""
    sent_bytes: int = 0
    """What was sent, everything counted as often as it was."""
    resent_bytes: int = 0
    """Of these, what had been sent before."""
    _sent: dict[int, list[Interval]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count_sent(self, file: int, offset: int, length: int) -> None:
        """Note that a range of a file was sent. Thread-safe."""
        with self._lock:
            self.sent_bytes += length
            self.resent_bytes += length - _add(self._sent.setdefault(file, []), offset, offset + length)


def _add(intervals: list[Interval], begin: int, end: int) -> int:
    """Add an interval to disjoint ones that are in order; answers how much of it is new."""
    first = bisect_left(intervals, begin, key=lambda interval: interval[1])
    last = first
    known = 0
    low, high = begin, end
    while last < len(intervals) and intervals[last][0] <= end:
        one_begin, one_end = intervals[last]
        known += max(0, min(end, one_end) - max(begin, one_begin))
        low, high = min(low, one_begin), max(high, one_end)
        last += 1
    intervals[first:last] = [(low, high)]
    return end - begin - known
