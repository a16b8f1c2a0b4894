"""One run: the parts of a plan, and their report."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.reads.load import Loads, measure_load
from benchmarks.reads.plan import Plan
from benchmarks.reads.scale import Timings, measure_scale, scale_rows
from benchmarks.reads.tables import ReadsReport
from benchmarks.reads.targets import load_targets, scale_targets
from benchmarks.tools import require_h2load, require_mlflow_server


def run_plan(plan: Plan) -> ReadsReport:
    """Measure. What is done is written as it comes: of a run that somebody ends, not all is lost. MissingToolError."""
    if "load" in plan.parts:
        require_h2load()
        require_mlflow_server()
    timings, loads = Timings(), Loads()
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory:
        if "scale" in plan.parts:
            timings = measure_scale(plan, Path(directory))
            _save(plan, timings, loads)
        if "load" in plan.parts:
            measure_load(plan, Path(directory), loads, lambda: _save(plan, timings, loads))
    return _report(plan, timings, loads)


def _save(plan: Plan, timings: Timings, loads: Loads) -> None:
    _report(plan, timings, loads).write()


def _report(plan: Plan, timings: Timings, loads: Loads) -> ReadsReport:
    rows = scale_rows(timings)
    targets = [*scale_targets(rows), *load_targets(loads, is_largest=not plan.is_small)]
    targets = [target for target in targets if target.found.values]
    return ReadsReport.of(plan, rows, loads, timings.filling_seconds, targets)
