"""A table for each store, case and direction, the targets, and the file of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.bytes.cases import Case
from benchmarks.bytes.measurement import Key, Results
from benchmarks.bytes.peers import PEERS
from benchmarks.bytes.plan import Plan
from benchmarks.bytes.stores import StoreKind
from benchmarks.bytes.targets import Target, targets_of
from benchmarks.report import Report, Sample, number_text, print_table, spread_text

_HEADER = (
    "",
    "MB/s",
    "spread",
    "seconds",
    "CPU s/GiB: client",
    "server",
    "store",
    "MiB above idle: server",
    "client's peak",
    "through the server",
    "cores busy by others",
)
_NOTES = (
    "Medians and spreads of the trials. CPU: of all processes of the client, the server and the store, each for 1 GiB moved.",
    "Above idle: the sum of the peaks of the server's processes, less what all held before the trial's first transfer.",
    "Cores busy by others: neither client nor server nor store; where it is not small, MB/s and their ratios say little.",
    "(b) and (c) hash first and register a version; the others do neither. All share the machine's cores with the store.",
)
_MLFLOW_NOTE = (
    "Through the server, of MLflow: what its processes wrote to disk, to what was moved; 100 % and more is proxied.",
    "(e) is MLflow's client with no setting: up it goes past the server from 500 MiB a file, down always.",
)


@dataclass
class BytesReport(Report):
    """See `Report`. Targets that are not reached are shown, and no failure: the machine has a part in them."""

    plan: Plan | None = None
    results: Results | None = None
    targets: list[Target] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan, results: Results) -> BytesReport:
        parameters: dict[str, object] = {
            "trials": plan.trials,
            "cases": [asdict(case) for case in plan.cases],
            "stores": [store.name for store in plan.stores],
            "peers": {peer.letter: peer.title for peer in plan.peers},
            "profiled": plan.profiled,
        }
        notes = [*_NOTES, *(_MLFLOW_NOTE if any(peer.letter in "de" for peer in plan.peers) else ())]
        notes += [f"Skipped: {store} {letter}: {why}" for (store, letter), why in results.skipped.items()]
        return cls(
            name=plan.name,
            parameters=parameters,
            notes=notes,
            failures=results.failed,
            plan=plan,
            results=results,
            targets=targets_of(plan, results),
        )

    def print(self) -> None:
        if self.plan is None or self.results is None:
            raise ValueError("a report of nothing")
        for store in self.plan.stores:
            for case in self.plan.cases:
                for direction in ("up", "down"):
                    _print_cell(store, case, direction, self.results)
        if self.targets:
            print("\n  Targets")
            print_table([_TARGET_HEADER, *map(_target_row, self.targets)], left_columns=(0, 1, 5))
        print()
        for line in [*self.notes, *(f"Failed: {failure}" for failure in self.failures)]:
            print(f"  {line}")

    def to_json(self) -> dict[str, Any]:
        trials = {} if self.results is None else self.results.trials
        return {
            **super().to_json(),
            "measurements": [
                {
                    "store": key.store,
                    "case": key.case.kind,
                    "peer": key.peer,
                    "direction": key.direction,
                    "trial": number,
                    **asdict(found),
                }
                for key, numbered in trials.items()
                for number, found in numbered.items()
            ],
            "targets": [target.to_json() for target in self.targets],
        }


def _print_cell(store: StoreKind, case: Case, direction: str, results: Results) -> None:
    rows = list(_rows(store, case, direction, results))
    if rows:
        print(f"\n  {store.title}, {case.name}, {direction}")
        print_table([_HEADER, *rows], left_columns=(0,))


def _rows(store: StoreKind, case: Case, direction: str, results: Results) -> Iterator[tuple[str, ...]]:
    for peer in PEERS:
        key = Key(store.name, case, peer.letter, direction)

        def median(field_name: str, key: Key = key) -> str:
            return number_text(Sample(results.column(key, field_name)).median)

        if rates := results.column(key, "megabytes_per_second"):
            has_server, is_mlflow = peer.letter != "a", peer.letter in "de"
            passed = Sample(results.column(key, "passed_share")).median
            yield (
                peer.name,
                number_text(Sample(rates).median),
                spread_text(Sample(rates)),
                median("seconds"),
                median("client_cpu"),
                median("server_cpu") if has_server else "",
                median("store_cpu") if peer.letter != "f" else "",
                median("server_mebibytes") if has_server else "",
                median("client_mebibytes"),
                f"{passed:.0%}" if is_mlflow else "",
                median("others_cores"),
            )


_TARGET_HEADER = ("", "store", "found", "spread", "target", "")


def _target_row(target: Target) -> tuple[str, ...]:
    relation = "≤" if target.is_ceiling else "≥"
    return (
        target.name,
        target.store,
        f"{number_text(target.decisive)} {target.unit}".strip(),
        spread_text(target.found),
        f"{relation} {target.bound:g}",
        "reached" if target.is_reached else "NOT REACHED",
    )
