"""What all processes counted, those that have ended included."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from registrar_server.adapters.metrics.families import FAMILIES, Kind
from registrar_server.adapters.metrics.table import CELL_BYTES, CELLS, INDEX_SUFFIX, VALUES_SUFFIX

Series = tuple[str, tuple[str, ...]]
"""A family's short name, and its labels' values."""
Totals = dict[Series, list[float]]
"""The cells of every series: one, or those of a histogram (see `TableHistogram`)."""

_LASTING = frozenset({Kind.COUNTER, Kind.HISTOGRAM})


class TableTotals:
    """Adds up the tables in a run directory. Not thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ended: Totals = {}

    def read(self) -> Totals:
        """Counters of all processes that ever ran here, gauges of those that run now."""
        totals = {series: cells.copy() for series, cells in self._ended.items()}
        for index in sorted(self._directory.glob(f"metrics-*{INDEX_SUFFIX}")):
            # Asked before it is read: a process that ends meanwhile is read whole now and taken over the next time.
            is_ended = _is_ended(index)
            table = dict(_read_table(index))
            _merge(totals, table, is_running=not is_ended)
            if is_ended:
                _merge(self._ended, table, is_running=False)
                index.with_suffix(VALUES_SUFFIX).unlink(missing_ok=True)
                index.unlink(missing_ok=True)
        return totals


def _merge(totals: Totals, table: Totals, *, is_running: bool) -> None:
    for series, cells in table.items():
        kind = FAMILIES[series[0]].kind
        if kind not in _LASTING and (not is_running or math.isnan(cells[0])):
            continue
        before = totals.get(series)
        if before is None:
            totals[series] = cells
        elif kind is Kind.HIGHEST:
            totals[series] = [max(before[0], cells[0])]
        else:
            totals[series] = [one + other for one, other in zip(before, cells, strict=True)]


def _is_ended(index: Path) -> bool:
    """Whether nobody holds the lock that its writer holds."""
    with index.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _read_table(index: Path) -> Iterator[tuple[Series, list[float]]]:
    lines = index.read_bytes().splitlines(keepends=True)
    values = array("d")
    # Read after the index: a series that is in the index has its cells.
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(index.with_suffix(VALUES_SUFFIX), os.O_RDONLY)
        try:
            values.frombytes(os.pread(descriptor, CELLS * CELL_BYTES, 0))
        finally:
            os.close(descriptor)
    for line in lines:
        if line.endswith(b"\n") and values:
            family, labels, first, count = json.loads(line)
            yield (family, tuple(labels)), list(values[first : first + count])
