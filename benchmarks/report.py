"""Figures: a table for people, and a file of JSON for whoever compares runs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_facts

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Sample:
    """What the trials gave."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, *values: float) -> Sample:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest."""
        return min(self.values), max(self.values)

    def to_json(self) -> dict[str, Any]:
        return {"median": self.median, "spread": self.spread, "trials": self.values}


@dataclass(frozen=True)
class Figure:
    """One measure: ours, and the peer's where there is one. `bound` is what ours must not exceed."""

    name: str
    unit: str
    ours: Sample
    peer: Sample | None = None
    peer_name: str = ""
    bound: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's, of the medians; None without a peer."""
        if self.peer is None or not self.peer.median:
            return None
        return self.ours.median / self.peer.median

    @property
    def is_within_bound(self) -> bool:
        return self.bound is None or self.ours.spread[1] <= self.bound

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours.to_json(),
            "peer": self.peer and self.peer.to_json(),
            "peer_name": self.peer_name,
            "ratio": self.ratio,
            "bound": self.bound,
        }


@dataclass
class Report:
    """All figures of one benchmark, with what they were measured with."""

    name: str
    parameters: dict[str, object] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What could not be measured because it failed."""

    @property
    def broken(self) -> list[Figure]:
        """Figures that are over their bound."""
        return [figure for figure in self.figures if not figure.is_within_bound]

    def print(self) -> None:
        """The table, and below it what a reader has to know."""
        header = ("", "unit", "ours", "spread", "peer", "spread", "ours : peer", "the peer")
        print_table([header, *map(_row, self.figures)], left_columns=(0, 1, 7))
        for note in self.notes:
            print(f"  {note}")

    def write(self) -> Path:
        """Write `results/NAME.json`; its path, relative to where one stands if it lies below."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        path.write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        here = Path.cwd()
        return path.relative_to(here) if path.is_relative_to(here) else path

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "machine": machine_facts(),
            "parameters": self.parameters,
            "figures": [figure.to_json() for figure in self.figures],
            "notes": self.notes,
            "failures": self.failures,
        }


def print_table(rows: Sequence[tuple[str, ...]], *, left_columns: tuple[int, ...]) -> None:
    """Columns as wide as they have to be, the first row above a line; the named ones begin at the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            text.ljust(width) if column in left_columns else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "  ".join("─" * width for width in widths))


def spread_text(sample: Sample) -> str:
    """Lowest … highest; nothing of a single trial."""
    low, high = sample.spread
    return f"{number_text(low)} … {number_text(high)}" if len(sample.values) > 1 else ""


def number_text(value: float) -> str:
    """Three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _row(figure: Figure) -> tuple[str, ...]:
    peer = figure.peer
    mark = "" if figure.is_within_bound else " (!)"
    return (
        figure.name,
        figure.unit,
        number_text(figure.ours.median) + mark,
        spread_text(figure.ours),
        number_text(peer.median) if peer else "",
        spread_text(peer) if peer else "",
        "" if figure.ratio is None else f"{figure.ratio:.3g}",
        figure.peer_name,
    )
