"""What issue 4 asks to be reached, beside what the trials gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.reads.load import AS_IT_COMES, MLFLOW, OURS, TWO, Key, Loads
from benchmarks.reads.scale import ScaleRow
from benchmarks.report import Sample

GROWTH_AT_MOST = 1.5
WORKER_AT_MOST_MEBIBYTES = 150.0
_STREAMS = 16
_DEEP = "search: no filter, 90 % page"
_RESOLVED = ("number", "stage", "alias")


@dataclass(frozen=True)
class Target:
    """A bound, and what the trials gave; the median decides."""

    name: str
    backend: str
    unit: str
    bound: float
    is_ceiling: bool
    found: Sample

    @property
    def is_reached(self) -> bool:
        return self.found.median <= self.bound if self.is_ceiling else self.found.median >= self.bound

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "backend": self.backend,
            "unit": self.unit,
            "bound": self.bound,
            "is_ceiling": self.is_ceiling,
            "is_reached": self.is_reached,
            **self.found.to_json(),
        }


def scale_targets(rows: list[ScaleRow]) -> Iterator[Target]:
    """Of every read: how much it grew, and how long it takes at the largest size."""
    for row in rows:
        if row.is_growth_judged:
            yield Target(f"{row.name}: growth of p95", row.backend, "times", GROWTH_AT_MOST, True, row.growth)
        if row.target_milliseconds is not None:
            name = f"{row.name}: p95 of the largest"
            yield Target(name, row.backend, "ms", row.target_milliseconds, True, row.largest)


def load_targets(loads: Loads, *, is_largest: bool) -> Iterator[Target]:
    """Ratios of calls a second, and memory; of searches on the largest catalogue only."""
    for backend in dict.fromkeys(key.backend for key in loads.by_key):
        yield from _cached_targets(loads, backend)
        yield from _uncached_targets(loads, backend)
        if is_largest:
            yield from _search_targets(loads, backend)
        for name in ("number", "number, uncached"):
            ratio = loads.ratio(Key(backend, TWO, name, _STREAMS), Key(backend, OURS, name, _STREAMS))
            yield Target(f"{name}: two workers to one", backend, "times", 1.4, False, ratio)
    for server, found in loads.memories.items():
        highest = max(one.resident_bytes for one in found) / 2**20
        yield Target(f"memory of a worker, {server}", "", "MiB", WORKER_AT_MOST_MEBIBYTES, True, Sample.of(highest))


def _cached_targets(loads: Loads, backend: str) -> Iterator[Target]:
    for name in _RESOLVED:
        ours = Key(backend, OURS, name, _STREAMS)
        empty = loads.ratio(ours, Key(backend, OURS, "empty", _STREAMS))
        yield Target(f"by {name}, cached, to an empty call", backend, "", 0.85, False, empty)
        peer = loads.ratio(ours, Key(backend, MLFLOW, name, _STREAMS))
        yield Target(f"by {name}, cached, to MLflow", backend, "times", 30, False, peer)
    beside = Key(backend, f"{OURS} beside it", "number", _STREAMS)
    as_it_comes = loads.ratio(beside, Key(backend, AS_IT_COMES, "number", _STREAMS))
    yield Target("by number, cached, to MLflow as it comes", backend, "times", 50, False, as_it_comes)


def _uncached_targets(loads: Loads, backend: str) -> Iterator[Target]:
    if backend != "sqlite":
        return
    for name in _RESOLVED:
        ours = Key(backend, OURS, f"{name}, uncached", _STREAMS)
        empty = loads.ratio(ours, Key(backend, OURS, "empty", _STREAMS))
        yield Target(f"by {name}, uncached, to an empty call", backend, "", 0.5, False, empty)
        peer = loads.ratio(ours, Key(backend, MLFLOW, name, _STREAMS))
        yield Target(f"by {name}, uncached, to MLflow", backend, "times", 15, False, peer)


def _search_targets(loads: Loads, backend: str) -> Iterator[Target]:
    for key in loads.by_key:
        if key.backend == backend and key.server == MLFLOW and key.call.startswith("search"):
            ratio = loads.ratio(Key(backend, OURS, key.call, key.streams), key)
            name = f"{key.call}, {key.streams} at once, to MLflow"
            yield Target(name, backend, "times", 50 if key.call == _DEEP else 10, False, ratio)
