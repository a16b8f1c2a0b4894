"""The process of one peer's client: `python -m benchmarks.bytes.client`, a line of JSON in, a line of JSON out.

The first line says which peer, and the answer comes when it is warm. Each further line is one move; its answer has the
seconds and the CPU seconds of this process, so neither Python's start nor an import is in them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from benchmarks.bytes.mover import Mover, SkippedError


def main() -> None:
    """Answer until standard input ends."""
    replies = _take_standard_output()
    job = json.loads(sys.stdin.readline())
    try:
        mover = _mover(job)
    except SkippedError as exc:
        _reply(replies, {"skipped": str(exc)})
        return
    # A small file there, and back where the store keeps it: connections stand and everything is loaded.
    mover.up(Path(job["warm_up"]))
    if job["warm_up_destination"]:
        mover.down(Path(job["warm_up_destination"]))
    _reply(replies, {"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        move: Callable[[Path], None] = {"up": mover.up, "down": mover.down}[order["direction"]]
        began, cpu_began = time.perf_counter(), time.process_time()
        move(Path(order["folder"]))
        _reply(replies, {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu_began})


def _mover(job: dict[str, Any]) -> Mover:
    """The client of a peer; only what that peer needs is imported."""
    match job["peer"]:
        case "a":
            from benchmarks.bytes.minio_client import MinioMover

            return MinioMover(**job["store"])
        case "b" | "c":
            from benchmarks.bytes.registrar_client import RegistrarMover

            return RegistrarMover(job["address"], is_direct=job["peer"] == "c")
        case "d" | "e":
            from benchmarks.bytes.mlflow_client import MlflowMover

            return MlflowMover(job["address"], is_proxied=job["peer"] == "d")
        case "f":
            from benchmarks.bytes.bare_stream import StreamMover

            return StreamMover(job["address"])
        case other:
            raise ValueError(f"there is no peer {other!r}")


def _take_standard_output() -> TextIO:
    """Standard output for the replies alone: what a library prints goes to the log."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _reply(replies: TextIO, document: dict[str, object]) -> None:
    print(json.dumps(document), file=replies, flush=True)


if __name__ == "__main__":
    main()
