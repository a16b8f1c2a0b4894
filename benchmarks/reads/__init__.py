"""What a read costs, and whether that grows: `python -m benchmarks.reads`, or `make bench-reads`."""

from __future__ import annotations

from benchmarks.report import Report


def run(*, is_quick: bool) -> Report:
    """What `python -m benchmarks reads` runs: both parts on both backends, or with small sizes."""
    from benchmarks.reads.plan import Plan
    from benchmarks.reads.run import run_plan

    return run_plan(Plan.of(is_small=is_quick))
