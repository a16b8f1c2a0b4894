"""`python -m benchmarks [NAME…]` runs all benchmarks, or the named ones. `--list` says what there is."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys

from benchmarks.report import Report
from benchmarks.tools import MissingToolError

BENCHMARKS = {
    "client_import": "seconds, memory and modules of `import registrar`, against mlflow and bare grpc",
    "start": "seconds from `registrar serve` to SERVING, against `mlflow server`",
    "small_calls_under_load": "GetModelVersion while every transfer slot is busy, against the same server idle",
    "push_memory": "peak memory while 256 MiB and 4 GiB are pushed, against MLflow's artifact proxy",
    "watching": "CPU of a cached GetModel with metrics and with traces, against the same server without",
    "authenticated": "GetModelVersion with a verified JWT and with an API token, against a server that asks nobody",
    "governance": "promotions and registrations a second, little and much audit before them, against MLflow over REST",
    "gc_pauses": "how long a full collection stops a worker and the background process, with and without gc.freeze()",
    "reads": "every read at three sizes of a catalogue, and calls a second against MLflow's; an hour, so only when named",
    "bytes": "the same files up and down by every way; takes hours, so only when named (`make bench-bytes` has options)",
}
_ONLY_WHEN_NAMED = {"bytes", "reads"}


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0; 1 a bound was broken or a benchmark failed; 2 wrong usage, or a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes and few trials: to see that it runs")
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print("\n".join(f"{name:<22} {meaning}" for name, meaning in BENCHMARKS.items()))
        return 0
    if unknown := [name for name in chosen.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    # So that servers are ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    codes = [_run(name, is_quick=chosen.quick) for name in chosen.names or _usual()]
    return max(codes)


def _usual() -> list[str]:
    return [name for name in BENCHMARKS if name not in _ONLY_WHEN_NAMED]


def _run(name: str, *, is_quick: bool) -> int:
    print(f"\n{name}: {BENCHMARKS[name]}", flush=True)
    try:
        report: Report = importlib.import_module(f"benchmarks.{name}").run(is_quick=is_quick)
    except MissingToolError as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        return 2
    report.print()
    print(f"  written to {report.write()}", flush=True)
    for figure in report.broken:
        print(
            f"{name}: {figure.name}: {figure.ours.spread[1]:.1f} {figure.unit}, over {figure.bound:g}", file=sys.stderr
        )
    for failure in report.failures:
        print(f"{name}: {failure}", file=sys.stderr)
    return 1 if report.broken or report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
