"""How long a full collection of Python's garbage stops a process, before and after `gc.freeze()`.

In a fresh process each, with what a worker and what the background process has imported when it begins to work.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import clean_environment

_PROGRAM = """
import gc, sys, time
{code}
def pause():
    began = time.perf_counter()
    gc.collect()
    return (time.perf_counter() - began) * 1000
pause()
before = min(pause() for _ in range(5))
count = len(gc.get_objects())
gc.freeze()
print(before, min(pause() for _ in range(5)), count)
"""
_CODES = {
    "worker": "import registrar_server.wiring.worker",
    "background": "import registrar_server.wiring.background, registrar_server.adapters.mlflow.stores, mlflow",
}


def run(*, is_quick: bool) -> Report:
    """See the module."""
    count = 2 if is_quick else 7
    report = Report("gc_pauses", {"trials": count})
    for name, code in _CODES.items():
        rows = [_measure(code) for _ in range(count)]
        before, after, objects = (Sample(tuple(row[column] for row in rows)) for column in range(3))
        report.figures.append(Figure(f"{name}: full collection", "ms", after, before, "without gc.freeze()"))
        report.figures.append(Figure(f"{name}: objects that a collection looks at without it", "", objects))
    return report


def _measure(code: str) -> tuple[float, ...]:
    """Milliseconds of a full collection before and after freezing, and how many objects there are."""
    command = [sys.executable, "-c", _PROGRAM.format(code=code)]
    done = subprocess.run(command, env=clean_environment({}), capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))
