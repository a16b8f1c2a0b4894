"""What issue 3 asks to be reached, each as a number of every trial beside its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.bytes.cases import Case
from benchmarks.bytes.measurement import Key, Results
from benchmarks.bytes.peers import peer_of
from benchmarks.bytes.plan import Plan
from benchmarks.bytes.stores import StoreKind
from benchmarks.report import Sample

SERVER_CPU_AT_MOST = 2.0
"""Seconds for each GiB."""
MEMORY_AT_MOST_MEBIBYTES = 96.0


@dataclass(frozen=True)
class Target:
    """A bound, and what the trials gave. By the median; memory by the highest trial, because a peak is a peak."""

    name: str
    store: str
    unit: str
    bound: float
    is_ceiling: bool
    found: Sample
    is_by_highest: bool = False

    @property
    def decisive(self) -> float:
        return self.found.spread[1] if self.is_by_highest else self.found.median

    @property
    def is_reached(self) -> bool:
        return self.decisive <= self.bound if self.is_ceiling else self.decisive >= self.bound

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "store": self.store,
            "unit": self.unit,
            "bound": self.bound,
            "is_ceiling": self.is_ceiling,
            "is_reached": self.is_reached,
            **self.found.to_json(),
        }


@dataclass(frozen=True)
class _Ratio:
    """Of throughputs: ours at least so many times the peer's, each way that is named, for these kinds of cases."""

    ours: str
    peer: str
    bound: float
    directions: tuple[str, ...]
    kinds: tuple[str, ...] = ("one", "several")
    is_on_sink: bool = False


_RATIOS = (
    _Ratio("b", "a", 0.85, ("up",)),
    _Ratio("b", "f", 0.5, ("up",), is_on_sink=True),
    _Ratio("b", "d", 1.7, ("up",)),
    _Ratio("b", "d", 3.0, ("down",)),
    _Ratio("b", "a", 1.0, ("down",)),
    _Ratio("c", "a", 0.85, ("up",)),
    _Ratio("c", "a", 0.95, ("down",)),
    _Ratio("b", "d", 3.0, ("up", "down"), kinds=("many",)),
)


def targets_of(plan: Plan, results: Results) -> list[Target]:
    """Every target that the run has figures for, in the issue's order."""
    found: list[Target] = []
    for ratio in _RATIOS:
        for store in plan.stores:
            if store.keeps_bytes is ratio.is_on_sink:
                continue
            for case in plan.cases:
                if case.kind in ratio.kinds:
                    found += _of_ratio(ratio, store, case, results)
    for store in plan.stores:
        for case in plan.cases:
            found += _of_costs(store, case, results)
    return found


def _of_ratio(ratio: _Ratio, store: StoreKind, case: Case, results: Results) -> Iterator[Target]:
    for direction in ratio.directions:
        keys = [Key(store.name, case, letter, direction) for letter in (ratio.ours, ratio.peer)]
        if values := results.ratios(keys[0], keys[1], "megabytes_per_second"):
            name = f"{case.name} {direction}: ({ratio.ours}) to ({ratio.peer}) {peer_of(ratio.peer).title}"
            yield Target(name, store.title, "", ratio.bound, False, Sample(values))


def _of_costs(store: StoreKind, case: Case, results: Results) -> Iterator[Target]:
    for direction in ("up", "down"):
        key = Key(store.name, case, "b", direction)
        # The issue bounds the CPU of the way up, of large files; memory must not depend on anything.
        cpu = results.column(key, "server_cpu")
        if cpu and direction == "up" and case.kind != "many":
            name = f"{case.name} up: (b) CPU of the server"
            yield Target(name, store.title, "s/GiB", SERVER_CPU_AT_MOST, True, Sample(cpu))
        if memory := results.column(key, "server_mebibytes"):
            name = f"{case.name} {direction}: (b) memory of the server above idle"
            yield Target(name, store.title, "MiB", MEMORY_AT_MOST_MEBIBYTES, True, Sample(memory), is_by_highest=True)
