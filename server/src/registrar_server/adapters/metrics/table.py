"""A process's numbers: 64-bit floats in a file that the parent reads too.

Memory mapped, so a change is an addition in memory, and nothing is lost when the process is killed. Beside it lies an
index, a line of JSON for each series: family, labels, first cell, count of cells. The writer holds a lock on the index for
as long as it lives; the kernel frees it however it dies.
"""

from __future__ import annotations

import fcntl
import json
import math
import mmap
import os
import threading
from bisect import bisect_left
from pathlib import Path

from registrar_server.adapters.metrics.families import FAMILIES, Kind

INDEX_SUFFIX = ".index"
VALUES_SUFFIX = ".values"
CELLS = 16_384
CELL_BYTES = 8
"""One page of memory holds 512 cells; pages that nobody touched cost nothing."""


class TableCounter:
    """The port `Counter`: one cell."""

    __slots__ = ("_cell", "_cells", "_lock")

    def __init__(self, cells: memoryview[float], lock: threading.Lock, cell: int) -> None:
        self._cells = cells
        self._lock = lock
        self._cell = cell

    def add(self, amount: float = 1.0) -> None:
        """See the port."""
        with self._lock:
            self._cells[self._cell] += amount


class TableGauge:
    """The port `Gauge`: one cell; not a number while it is unset."""

    __slots__ = ("_cell", "_cells")

    def __init__(self, cells: memoryview[float], cell: int) -> None:
        self._cells = cells
        self._cell = cell

    def set(self, value: float) -> None:
        """See the port."""
        self._cells[self._cell] = value

    def unset(self) -> None:
        """See the port."""
        self._cells[self._cell] = math.nan


class TableHistogram:
    """The port `Histogram`: the sum, then a cell for each bound, then one for what is beyond the last."""

    __slots__ = ("_bounds", "_cell", "_cells", "_lock")

    def __init__(self, cells: memoryview[float], lock: threading.Lock, cell: int, bounds: tuple[float, ...]) -> None:
        self._cells = cells
        self._lock = lock
        self._cell = cell
        self._bounds = bounds

    def observe(self, seconds: float) -> None:
        """See the port."""
        bucket = self._cell + 1 + bisect_left(self._bounds, seconds)
        with self._lock:
            self._cells[bucket] += 1.0
            self._cells[self._cell] += seconds


class MetricTable:
    """The port `Metrics` for one process. What no longer fits is counted nowhere, and nothing breaks."""

    def __init__(self, directory: Path) -> None:
        name = f"metrics-{os.getpid()}"
        self._lock = threading.Lock()
        self._first_cells: dict[tuple[str, ...], int] = {}
        self._free = 0
        descriptor = os.open(directory / f"{name}{VALUES_SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(descriptor, CELLS * CELL_BYTES)
            self._cells = memoryview(mmap.mmap(descriptor, CELLS * CELL_BYTES)).cast("d")
        finally:
            os.close(descriptor)
        # Locked before it has the name that the parent looks for: an index without a lock is a dead process's.
        new = directory / f"{name}.new"
        self._index = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        fcntl.flock(self._index, fcntl.LOCK_EX)
        new.rename(directory / f"{name}{INDEX_SUFFIX}")

    def counter(self, family: str, *labels: str) -> TableCounter:
        """See the port."""
        return TableCounter(self._cells, self._lock, self._first_cell(family, labels, 1))

    def gauge(self, family: str, *labels: str) -> TableGauge:
        """See the port."""
        return TableGauge(self._cells, self._first_cell(family, labels, 1))

    def histogram(self, family: str, *labels: str) -> TableHistogram:
        """See the port."""
        bounds = FAMILIES[family].bounds
        return TableHistogram(self._cells, self._lock, self._first_cell(family, labels, len(bounds) + 2), bounds)

    def _first_cell(self, family: str, labels: tuple[str, ...], count: int) -> int:
        key = (family, *labels)
        with self._lock:
            if key not in self._first_cells:
                self._first_cells[key] = self._allot(family, labels, count)
            return self._first_cells[key]

    def _allot(self, family: str, labels: tuple[str, ...], count: int) -> int:
        described = FAMILIES[family]
        if len(labels) != len(described.labels):
            raise ValueError(f"{family} has the labels {described.labels}, not {labels}")
        # The last cells are where everything goes that does not fit.
        spare = CELLS - len(described.bounds) - 2
        if self._free + count > spare:
            return spare
        first, self._free = self._free, self._free + count
        if described.kind in (Kind.GAUGE, Kind.HIGHEST):
            self._cells[first] = math.nan
        # One write, so that the parent never reads half a line.
        os.write(self._index, json.dumps([family, labels, first, count]).encode() + b"\n")
        return first
