"""The same files up and down by every way there is, side by side: `python -m benchmarks.bytes`, or `make bench-bytes`."""

from __future__ import annotations

from benchmarks.report import Report


def run(*, is_quick: bool) -> Report:
    """What `python -m benchmarks bytes` runs: every store and peer with the sizes of the issue, or with small ones."""
    from benchmarks.bytes.plan import Plan
    from benchmarks.bytes.trials import run_plan

    return run_plan(Plan.of(is_small=is_quick))
