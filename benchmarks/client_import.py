"""What `import registrar` costs a caller: time, memory, modules, room on disk; each time in a fresh process.

The package loads gRPC with the first name that needs it, so the honest figure is that of `registrar.connect`, which
has everything a call needs, beside that of the bare import.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

import registrar
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import clean_environment
from benchmarks.tools import require_mlflow_server

_PROGRAM = """
import sys, time
before, began = set(sys.modules), time.perf_counter()
{code}
seconds, after = time.perf_counter() - began, set(sys.modules)
import re
resident = int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(seconds * 1000, len(after - before), resident / 1024)
"""
_CODES = {
    "python": "pass",
    "grpc": "import grpc",
    "registrar": "import registrar",
    "registrar.connect": "import registrar; registrar.connect('127.0.0.1:1')",
    "mlflow": "import mlflow",
    "MlflowClient": "import mlflow; mlflow.MlflowClient('http://127.0.0.1:1')",
}
_FIRST = ("registrar.connect", "MlflowClient")
_FIRST_TRIALS = 3
_COSTLIEST = 6


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_mlflow_server()
    count = 3 if is_quick else 15
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in _CODES}
    for code in _CODES.values():
        _measure(code)  # writes the .pyc files and fills the page cache
    for _ in range(count):
        for name, code in _CODES.items():
            rows[name].append(_measure(code))
    milliseconds, modules, mebibytes = (
        {name: Sample(tuple(row[column] for row in found)) for name, found in rows.items()} for column in range(3)
    )
    first = {name: Sample(tuple(_first_ever(_CODES[name]) for _ in range(_FIRST_TRIALS))) for name in _FIRST}
    report = Report("client_import", {"trials": count, "codes": _CODES})
    peers = {"registrar": "mlflow", "registrar.connect": "MlflowClient"}
    for name, peer in peers.items():
        label = _CODES[name].rpartition("; ")[2].partition("(")[0]
        report.figures += [
            Figure(label, "ms", milliseconds[name], milliseconds[peer], peer),
            Figure(label, "ms", milliseconds[name], milliseconds["grpc"], "import grpc"),
            Figure(f"{label}: modules", "", modules[name], modules[peer], peer),
            Figure(f"{label}: resident", "MiB", mebibytes[name], mebibytes[peer], peer),
        ]
    ours, theirs = (first[name] for name in _FIRST)
    report.figures.append(Figure("registrar.connect, no byte code yet", "ms", ours, theirs, "MlflowClient"))
    report.figures.append(Figure("bare python: resident", "MiB", mebibytes["python"]))
    report.figures += _installed()
    report.notes = ["Costliest modules of registrar.connect, their own time (python -X importtime):", *_costliest()]
    return report


def _measure(code: str, **settings: str) -> tuple[float, ...]:
    """Milliseconds, modules loaded, MiB resident."""
    command = [sys.executable, "-c", _PROGRAM.format(code=code)]
    done = subprocess.run(command, env=clean_environment(settings), capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


def _first_ever(code: str) -> float:
    """Milliseconds where nothing has been compiled: what an image without .pyc files pays at every start."""
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as empty:
        return _measure(code, PYTHONPYCACHEPREFIX=empty, PYTHONDONTWRITEBYTECODE="1")[0]


def _costliest() -> list[str]:
    command = [sys.executable, "-X", "importtime", "-c", _CODES["registrar.connect"]]
    done = subprocess.run(command, env=clean_environment({}), capture_output=True, text=True, check=True)
    found = re.findall(r"import time:\s+(\d+) \|\s+\d+ \| +(\S+)", done.stderr)
    ordered = sorted(((int(own), name) for own, name in found), reverse=True)
    return [f"  {own / 1000:5.1f} ms  {name}" for own, name in ordered[:_COSTLIEST]]


def _installed() -> list[Figure]:
    """Size and number of distributions that an installation brings, without those that python has anyway."""
    ours, skinny, full = (_closure(name) for name in ("registrar-client", "mlflow-skinny", "mlflow"))
    figures = []
    for peer_name, peer in (("mlflow-skinny", skinny), ("mlflow", full)):
        figures.append(Figure("installed", "MiB", _mebibytes(ours), _mebibytes(peer), peer_name))
        figures.append(Figure("distributions", "", Sample.of(len(ours)), Sample.of(len(peer)), peer_name))
    return figures


def _closure(name: str) -> list[Distribution]:
    """A distribution and all that it requires here, extras left out."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        current = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if current in found:
            continue
        try:
            found[current] = distribution(current)
        except PackageNotFoundError:
            continue
        for text in found[current].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return list(found.values())


def _mebibytes(distributions: list[Distribution]) -> Sample:
    return Sample.of(sum(map(_size_bytes, distributions)) / 2**20)


def _size_bytes(one: Distribution) -> int:
    """What it put on the disk, without byte code; the client is installed in place here, so its folder is looked at."""
    if one.name == "registrar-client":
        paths = [path for path in Path(registrar.__path__[0]).rglob("*") if path.is_file()]
    else:
        paths = [path for file in one.files or [] if (path := Path(str(one.locate_file(file)))).is_file()]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc")
