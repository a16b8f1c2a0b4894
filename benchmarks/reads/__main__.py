"""`python -m benchmarks.reads`: every read at three sizes of the catalogue, and calls a second against MLflow's."""

from __future__ import annotations

import argparse
import signal
import sys

from benchmarks.reads.backends import BACKENDS
from benchmarks.reads.plan import PARTS, Plan
from benchmarks.reads.run import run_plan
from benchmarks.tools import MissingToolError


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0; 2 wrong usage, or a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reads", description=__doc__)
    parser.add_argument("--small", action="store_true", help="minutes: 10,000 versions at most, and few trials")
    parser.add_argument("--parts", default="", help=f"of {','.join(PARTS)}")
    parser.add_argument("--backends", default="", help=f"of {','.join(BACKENDS)}")
    chosen = parser.parse_args(arguments)
    try:
        plan = Plan.of(is_small=chosen.small, parts=chosen.parts, backends=chosen.backends)
    except ValueError as exc:
        parser.error(str(exc))
    # So that servers are ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        report = run_plan(plan)
    except MissingToolError as exc:
        print(f"reads: {exc}", file=sys.stderr)
        return 2
    report.print()
    print(f"  written to {report.write()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
