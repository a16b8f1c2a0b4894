"""Where the time of a transfer goes, by whichever is there: py-spy says what held Python's lock, perf what had the cores.

What waits is in neither, and what lets go of the lock (digests, sockets, copies of whole buffers) is in perf's only.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.servers import BYTE_CODE
from benchmarks.tools import MissingToolError

PROFILES = BYTE_CODE.parent / "profiles"
"""Removed by `make clean`."""

_RATE = "100"
_TOP = 12
_TOO_FEW = 30
"""Samples of a process that had nothing to do."""
_STOP_SECONDS = 60.0


def require_profiler() -> None:
    if not (shutil.which("py-spy") or shutil.which("perf")):
        raise MissingToolError("--profile needs py-spy (pip install py-spy) or perf (Debian: linux-perf) on PATH")


@dataclass(frozen=True)
class _Recording:
    what: str
    tool: str
    file: Path
    process: subprocess.Popen[bytes]


class Profiler:
    """Records processes while it is entered. What it costs them makes their figures no figures: it is for reading only."""

    def __init__(self, processes: Mapping[str, Sequence[int]], name: str) -> None:
        """`processes`: pids by what they are; none: nothing is recorded. `name` begins the names of the files."""
        self._processes = processes
        self._name = name
        self._recordings: list[_Recording] = []

    def __enter__(self) -> Self:
        for role, pids in self._processes.items():
            if shutil.which("py-spy"):
                for number, pid in enumerate(pids):
                    self._record(f"{role}-{number}", "py-spy", [pid])
            if shutil.which("perf"):
                self._record(role, "perf", pids)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for recording in self._recordings:
            recording.process.send_signal(signal.SIGINT)
        for recording in self._recordings:
            try:
                recording.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                recording.process.kill()
                recording.process.wait()

    def summary(self) -> list[str]:
        """The functions that most samples were in, of each process, and where the recordings are."""
        lines = []
        for recording in self._recordings:
            if found := (_of_python if recording.tool == "py-spy" else _of_perf)(recording.file):
                lines += [f"{recording.what}, {recording.tool}: {recording.file}", *found]
        return lines

    def _record(self, what: str, tool: str, pids: Sequence[int]) -> None:
        PROFILES.mkdir(parents=True, exist_ok=True)
        file = PROFILES / f"{self._name}-{what}.{'txt' if tool == 'py-spy' else 'perf'}"
        file.unlink(missing_ok=True)
        command = {
            "py-spy": ["py-spy", "record", "--rate", _RATE, "--gil", "--format", "raw", "--function"],
            "perf": ["perf", "record", "--quiet", "--freq", _RATE],
        }[tool]
        process = subprocess.Popen(
            [*command, "--pid", ",".join(map(str, pids)), "--output", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._recordings.append(_Recording(what, tool, file, process))


def _of_python(file: Path) -> list[str]:
    """Of a file of `outer;inner;innermost count`: the samples that ended in a function, and those it was part of."""
    own, whole, total = Counter[str](), Counter[str](), 0
    for line in _lines(file):
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    if total < _TOO_FEW:
        return []
    return [
        f"  {total:,} samples",
        *(
            f"  {own[frame] / total:6.1%} itself, {whole[frame] / total:6.1%} with what it calls  {frame}"
            for frame, _ in own.most_common(_TOP)
        ),
    ]


def _of_perf(file: Path) -> list[str]:
    if not file.exists():
        return []
    lines = []
    for key in ("dso", "symbol"):
        command = ["perf", "report", "--stdio", "--no-children", "--sort", key, "--input", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        found = [line.split() for line in done.stdout.splitlines() if "%" in line and not line.startswith("#")]
        # Of a stripped library every address would be a line; the libraries' own lines say what they take.
        named = [fields for fields in found if not any(field.startswith("0x") for field in fields)]
        lines += [f"  {fields[0]:>6}  {' '.join(fields[1:]).removesuffix(' - -')}" for fields in named[:_TOP]]
    return lines


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
