"""The tables for people, and the file of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.reads.load import MLFLOW, MLFLOW_TWO, OURS, TWO, Key, Loads
from benchmarks.reads.plan import Plan
from benchmarks.reads.scale import ScaleRow
from benchmarks.reads.targets import Target
from benchmarks.report import Report, Sample, number_text, print_table, spread_text

_NOTES = (
    "An empty call is grpc.health.v1 Check: it passes all that every call passes, and reads nothing.",
    "Uncached is a read with consistency.strong. p95 is of one caller in Python, whose own work is in it.",
    "Ratios are of one trial each; of these the median counts. All processes share the machine's cores with the load.",
)


@dataclass
class ReadsReport(Report):
    """See `Report`. Targets that are not reached are shown, and no failure: the machine has a part in them."""

    rows: list[ScaleRow] = field(default_factory=list)
    loads: Loads = field(default_factory=Loads)
    targets: list[Target] = field(default_factory=list)

    @classmethod
    def of(
        cls, plan: Plan, rows: list[ScaleRow], loads: Loads, filling: dict[str, float], targets: list[Target]
    ) -> ReadsReport:
        parameters = {**asdict(plan), "filling_seconds": filling}
        return cls(plan.name, parameters, notes=list(_NOTES), rows=rows, loads=loads, targets=targets)

    def print(self) -> None:
        for backend in dict.fromkeys(row.backend for row in self.rows):
            print(f"\n  {backend}: milliseconds of a call by the size of the catalogue, median and 95th percentile")
            rows = [row for row in self.rows if row.backend == backend]
            print_table([_scale_header(rows[0]), *map(_scale_row, rows)], left_columns=(0,))
        for backend in dict.fromkeys(key.backend for key in self.loads.by_key):
            print(f"\n  {backend}: calls a second")
            print_table([_LOAD_HEADER, *_load_rows(self.loads, backend)], left_columns=(0,))
        if self.loads.memories:
            print("\n  Memory of a worker after all of it, MiB")
            print_table([_MEMORY_HEADER, *_memory_rows(self.loads)], left_columns=(0,))
        print("\n  Targets")
        print_table([_TARGET_HEADER, *map(_target_row, self.targets)], left_columns=(0, 1, 5))
        print()
        for note in self.notes:
            print(f"  {note}")

    def to_json(self) -> dict[str, Any]:
        return {
            **super().to_json(),
            "scale": [row.to_json() for row in self.rows],
            "load": [
                {**asdict(key), "trials": [asdict(load) for load in loads]} for key, loads in self.loads.by_key.items()
            ],
            "memory": {name: [asdict(one) for one in found] for name, found in self.loads.memories.items()},
            "targets": [target.to_json() for target in self.targets],
        }


def _scale_header(row: ScaleRow) -> tuple[str, ...]:
    sizes = [text for versions in row.by_size for text in (f"{versions:,}", "p95")]
    return ("", *sizes, "growth", "spread")


def _scale_row(row: ScaleRow) -> tuple[str, ...]:
    cells = [number_text(value) for size in row.by_size.values() for value in (size.median, size.p95)]
    growth = row.growth
    if not row.is_growth_judged:
        return (row.name, *cells, "", "")
    return (row.name, *cells, f"{growth.median:.2f}", spread_text(growth))


_LOAD_HEADER = ("", "at once", "ours", "spread", "CPU µs", "to an empty call", "MLflow", "spread", "ours : MLflow")
_PEERS = {OURS: MLFLOW, TWO: MLFLOW_TWO}


def _load_rows(loads: Loads, backend: str) -> Iterator[tuple[str, ...]]:
    for key in loads.by_key:
        if key.backend != backend or key.server not in _PEERS:
            continue
        ours = loads.rates(key)
        peer = Key(backend, _PEERS[key.server], key.call.removesuffix(", uncached"), key.streams)
        empty = Key(backend, key.server, "empty", key.streams)
        has_peer = peer in loads.by_key
        yield (
            key.call if key.server == OURS else f"{key.call}, two workers",
            str(key.streams),
            number_text(ours.median),
            spread_text(ours),
            number_text(Sample(tuple(load.cpu_microseconds for load in loads.by_key[key])).median),
            f"{loads.ratio(key, empty).median:.2f}" if empty in loads.by_key else "",
            number_text(loads.rates(peer).median) if has_peer else "",
            spread_text(loads.rates(peer)) if has_peer else "",
            f"{loads.ratio(key, peer).median:.3g}" if has_peer else "",
        )


_MEMORY_HEADER = ("", "resident", "proportional", "its own")


def _memory_rows(loads: Loads) -> Iterator[tuple[str, ...]]:
    for server, found in loads.memories.items():
        for one in found:
            held = (one.resident_bytes, one.proportional_bytes, one.unique_bytes)
            yield (server, *(number_text(value / 2**20) for value in held))


_TARGET_HEADER = ("", "backend", "found", "spread", "target", "")


def _target_row(target: Target) -> tuple[str, ...]:
    return (
        target.name,
        target.backend,
        f"{number_text(target.found.median)} {target.unit}".strip(),
        spread_text(target.found),
        f"{'≤' if target.is_ceiling else '≥'} {target.bound:g}",
        "reached" if target.is_reached else "NOT REACHED",
    )
