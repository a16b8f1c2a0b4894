"""Does a read get slower as the registry grows? One caller, call by call in turns at every size of the catalogue.

Nothing is answered by the cache. The sizes are served side by side, each by a worker of its own, so that what disturbs the
machine meets all of them.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.process_tree import wait_until_idle
from benchmarks.reads.backends import NewDatabase, open_backend
from benchmarks.reads.calls import Caller, Read, reads
from benchmarks.reads.catalogue import VERSIONS_EACH
from benchmarks.reads.filling import fill
from benchmarks.reads.plan import Plan
from benchmarks.report import Sample
from benchmarks.servers import Server, registrar_server, sink_environment, sink_server

_WARM_UP = 10
_BLOCKS = 5


@dataclass(frozen=True)
class Key:
    """What was called, where."""

    backend: str
    read: str
    versions: int
    """In the whole catalogue."""


@dataclass
class Timings:
    """Milliseconds of each call in order, and the kinds of reads by name."""

    by_key: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    reads: dict[str, Read] = field(default_factory=dict)
    filling_seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """What was measured at one size: the median, and the 95th percentile of each fifth of the calls."""

    median: float
    blocks: Sample

    @property
    def p95(self) -> float:
        """The median of those, so that one bad moment of the machine does not decide."""
        return self.blocks.median


@dataclass(frozen=True)
class ScaleRow:
    """One read on one backend, in milliseconds by the number of versions, the smallest first."""

    name: str
    backend: str
    by_size: Mapping[int, Size]
    is_growth_judged: bool
    target_milliseconds: float | None

    @property
    def largest(self) -> Sample:
        """The 95th percentiles at the largest size."""
        return self.by_size[max(self.by_size)].blocks

    @property
    def growth(self) -> Sample:
        """From the smallest to the largest, block by block."""
        smallest = self.by_size[min(self.by_size)].blocks
        pairs = zip(self.largest.values, smallest.values, strict=True)
        return Sample(tuple(large / small for large, small in pairs))

    def to_json(self) -> dict[str, Any]:
        sizes = {str(n): {"median": one.median, "p95": one.blocks.to_json()} for n, one in self.by_size.items()}
        return {"read": self.name, "backend": self.backend, "sizes": sizes, "growth": self.growth.to_json()}


def scale_rows(timings: Timings) -> list[ScaleRow]:
    """One for each read and backend."""
    sizes: dict[tuple[str, str], dict[int, Size]] = defaultdict(dict)
    for key, milliseconds in timings.by_key.items():
        blocks = Sample(tuple(_blocks(milliseconds)))
        sizes[key.backend, key.read][key.versions] = Size(statistics.median(milliseconds), blocks)
    return [
        ScaleRow(name, backend, by_size, timings.reads[name].is_growth_judged, timings.reads[name].target_milliseconds)
        for (backend, name), by_size in sizes.items()
    ]


def _blocks(milliseconds: Sequence[float]) -> list[float]:
    """The 95th percentile of each fifth."""
    length = len(milliseconds) // _BLOCKS
    parts = (sorted(milliseconds[start : start + length]) for start in range(0, length * _BLOCKS, length))
    return [part[min(length - 1, length * 95 // 100)] for part in parts]


def measure_scale(plan: Plan, directory: Path) -> Timings:
    """Every read at every size on every backend."""
    timings = Timings()
    for backend in plan.backends:
        with ExitStack() as stack:
            new_database = stack.enter_context(open_backend(backend, directory / backend))
            sink = stack.enter_context(sink_server(directory / f"sink-{backend}"))
            environment = sink_environment(sink)
            places = [
                stack.enter_context(_served(new_database, directory, environment, backend, count, timings))
                for count in plan.model_counts
            ]
            wait_until_idle([place.server.pid for place in places])
            _measure(plan, backend, places, timings)
    return timings


@dataclass(frozen=True)
class _Place:
    """A server with so many versions in all, and who calls it."""

    versions: int
    server: Server
    caller: Caller

    def reads(self) -> list[Read]:
        return reads(self.caller, model_count=self.versions // VERSIONS_EACH, versions=VERSIONS_EACH)


@contextmanager
def _served(
    new_database: NewDatabase,
    directory: Path,
    environment: dict[str, str],
    backend: str,
    model_count: int,
    timings: Timings,
) -> Iterator[_Place]:
    """A catalogue of so many models, served."""
    versions = model_count * VERSIONS_EACH
    url = new_database(f"registrar_{model_count}")
    seconds = fill(url, model_count=model_count, versions=VERSIONS_EACH)
    timings.filling_seconds[f"{backend} {versions}"] = seconds
    print(f"  {backend}: {versions:,} versions filled in {seconds:.0f} s", flush=True)
    settings = {**environment, "REGISTRAR_DATABASE_URL": url}
    with registrar_server(directory / f"server-{backend}-{model_count}", settings) as server:
        caller = Caller(server.address)
        try:
            yield _Place(versions, server, caller)
        finally:
            caller.close()


def _measure(plan: Plan, backend: str, places: list[_Place], timings: Timings) -> None:
    by_place = [(place, place.reads()) for place in places]
    timings.reads.update({read.name: read for read in by_place[0][1]})
    gc.disable()
    try:
        for index, read in enumerate(by_place[0][1]):
            _warm_up([(place.caller, found[index]) for place, found in by_place])
            for number in range(plan.calls):
                for place, found in by_place:
                    milliseconds = _call(place.caller, found[index], number)
                    timings.by_key[Key(backend, read.name, place.versions)].append(milliseconds)
            print(f"  {backend}: {read.name}", flush=True)
    finally:
        gc.enable()


def _warm_up(calls: list[tuple[Caller, Read]]) -> None:
    for caller, read in calls:
        for number in range(_WARM_UP):
            _call(caller, read, number)


def _call(caller: Caller, read: Read, number: int) -> float:
    """Milliseconds."""
    request = read.requests[number % len(read.requests)]
    began = time.perf_counter()
    caller.call(read.method, request)
    return (time.perf_counter() - began) * 1000
