"""A worker or the background process: what runs in a child of `registrar serve`.

Started fresh (never forked after grpc is imported) as `python -m registrar_server.child KIND`. Its configuration comes
on standard input, which stays open: its end means that the parent is gone, and the child drains and ends. It says
`ready` on standard output.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from registrar_server.config import Config
from registrar_server.logging import set_up_logging

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a child is told by its parent."""

    kind: str
    name: str
    config: Config
    run_directory: str

    def to_line(self) -> bytes:
        """One line of JSON; holds secrets."""
        document = {
            "kind": self.kind,
            "name": self.name,
            "config": self.config.to_json(),
            "run_directory": self.run_directory,
        }
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Assignment:
        """What `to_line` wrote."""
        document = json.loads(line)
        return cls(document["kind"], document["name"], Config.from_json(document["config"]), document["run_directory"])


def main() -> None:
    """Run until told to stop."""
    assignment = Assignment.from_line(sys.stdin.buffer.readline())
    config = assignment.config
    set_up_logging(config.log_level, config.log_format, assignment.name)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_parent, args=(stop,), name="parent", daemon=True).start()
    run = _run_worker if assignment.kind == "worker" else _run_background
    with ExitStack() as stack:
        run(assignment, stop, stack)
    sys.stdout.close()
    # Threads of libraries that are not daemons must not keep a drained process alive.
    os._exit(0)


def _run_worker(assignment: Assignment, stop: threading.Event, stack: ExitStack) -> None:
    from registrar_server.wiring import build_worker

    config = assignment.config
    server = build_worker(config, Path(assignment.run_directory), stack)
    server.listen(config.listen)
    server.start()
    gc.collect()
    gc.freeze()
    _say_ready()
    stop.wait()
    _log.info("worker.draining", seconds=config.drain_seconds)
    server.stop(config.drain_seconds)


def _run_background(assignment: Assignment, stop: threading.Event, stack: ExitStack) -> None:
    from registrar_server.wiring import build_background

    background, signals = build_background(assignment.config, Path(assignment.run_directory), stack)
    background.start()
    gc.collect()
    gc.freeze()
    _say_ready()
    while not stop.is_set():
        signals.wait_for_work(0.5)
        background.wake()
    background.stop(assignment.config.drain_seconds)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _watch_parent(stop: threading.Event) -> None:
    """Standard input ends when the parent does, however it died. Read past Python's buffer, whose lock would be held."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
