"""`python -m benchmarks.bytes`: the same files up and down by the MinIO client, Registrar, MLflow and a bare stream."""

from __future__ import annotations

import argparse
import signal
import sys

from benchmarks.bytes.cases import FULL, SMALL
from benchmarks.bytes.peers import PEERS
from benchmarks.bytes.plan import Plan
from benchmarks.bytes.profiler import require_profiler
from benchmarks.bytes.stores import KINDS
from benchmarks.bytes.trials import run_plan
from benchmarks.tools import MissingToolError


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0; 1 a peer failed; 2 wrong usage, a tool is missing, or the disk is too small."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bytes", description=__doc__)
    small, full = (", ".join(f"{case.kind} ({case.name})" for case in cases) for cases in (SMALL, FULL))
    parser.add_argument("--small", action="store_true", help=f"{small} instead of {full}")
    parser.add_argument("--stores", default="", help=f"of {','.join(kind.name for kind in KINDS)}")
    parser.add_argument("--cases", default="", help=f"of {','.join(case.kind for case in FULL)}")
    peers = "; ".join(f"{peer.letter}: {peer.title}" for peer in PEERS)
    parser.add_argument("--peers", default="", help=f"of {peers}")
    parser.add_argument("--trials", type=int, default=0, help="3, or 2 with --small")
    parser.add_argument("--directory", help="where the files, the stores and what comes back lie for the time of a run")
    parser.add_argument("--profile", default="", metavar="PEER", help="record client and server of one peer")
    chosen = parser.parse_args(arguments)
    try:
        plan = Plan.of(
            is_small=chosen.small,
            stores=chosen.stores,
            cases=chosen.cases,
            peers=chosen.peers,
            trials=chosen.trials,
            profiled=chosen.profile,
        )
    except ValueError as exc:
        parser.error(str(exc))
    # So that servers are ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if plan.profiled:
            require_profiler()
        report = run_plan(plan, directory=chosen.directory)
    except MissingToolError as exc:
        print(f"bytes: {exc}", file=sys.stderr)
        return 2
    report.print()
    print(f"  written to {report.write()}", flush=True)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
