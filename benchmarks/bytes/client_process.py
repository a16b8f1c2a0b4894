"""A peer's client as the benchmark sees it: started, made warm, told what to move."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bytes.mover import SkippedError
from benchmarks.servers import ROOT, clean_environment

_LIMIT_SECONDS = 1800.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Move:
    """How long a move took, and the CPU time of the client's process."""

    seconds: float
    cpu_seconds: float


class ClientProcess:
    """A client that is warm. `RuntimeError` when it fails or takes over half an hour."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def move(self, direction: str, folder: Path) -> Move:
        """Bring a folder's files away (up), or what was brought away into a new one (down)."""
        return Move(**self.ask({"direction": direction, "folder": str(folder)}))

    def ask(self, line: Mapping[str, object]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("a client without pipes")
        stdin.write(json.dumps(line).encode() + b"\n")
        readable, _, _ = select.select([stdout], [], [], _LIMIT_SECONDS)
        reply = stdout.readline() if readable else b""
        if not reply:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the client {'failed' if readable else 'did not end in time'}:\n{text[-2000:]}")
        document: dict[str, Any] = json.loads(reply)
        return document


@contextmanager
def running_client(job: Mapping[str, object], directory: Path) -> Iterator[ClientProcess]:
    """Start the client of a peer, and end it afterwards. `SkippedError` when it says that it cannot be measured."""
    directory.mkdir(parents=True)
    log = directory / "client.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bytes.client"],
            env=clean_environment({"TMPDIR": str(directory)}),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            bufsize=0,
            start_new_session=True,
        )
    try:
        client = ClientProcess(process, log)
        reply = client.ask(job)
        if "skipped" in reply:
            raise SkippedError(reply["skipped"])
        yield client
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends with its standard input."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
