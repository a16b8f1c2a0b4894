"""A process of the server as its parent sees it, and how a set of them is replaced without a call lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from registrar_server.child import Assignment

_log = structlog.get_logger()

READY_SECONDS = 60.0
"""How long a process may take until it answers."""


@dataclass(slots=True)
class Child:
    """A process that is started again whenever it ends. It works from when it has its assignment."""

    kind: str
    name: str
    assignment: Assignment | None = None
    process: subprocess.Popen[bytes] | None = None
    is_ready: threading.Event = field(default_factory=threading.Event)
    started_at: float = 0.0
    pause_seconds: float = 0.0

    def start(self) -> None:
        """Start it; standard input stays open for as long as this process lives."""
        self.is_ready.clear()
        self.started_at = time.monotonic()
        command = [sys.executable, "-m", "registrar_server.child", self.kind]
        # Else gRPC writes a line of its own into the log for every handshake that fails: any scanner of ports can make it.
        environment = {"GRPC_VERBOSITY": "ERROR", **os.environ}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        threading.Thread(target=self._listen, args=(self.process,), name=self.name, daemon=True).start()
        self._hand_over()

    def assign(self, assignment: Assignment) -> None:
        """Tell it, and whoever is started in its place, what to do."""
        self.assignment = assignment
        self._hand_over()

    def has_ended(self) -> bool:
        """Whether it was started and is gone."""
        return self.process is not None and self.process.poll() is not None

    def _hand_over(self) -> None:
        if self.assignment is None or self.process is None or self.process.stdin is None:
            return
        # One that died meanwhile is found and started again by the watch.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(self.assignment.to_line())
            self.process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stdout or ():
            if line.strip() == b"ready" and process is self.process:
                self.is_ready.set()

    def successor(self) -> Child:
        """Another for the same work, not started."""
        return Child(self.kind, self.name, self.assignment)


class Renewal:
    """Replaces servers one by one: a successor answers before its predecessor is told to drain.

    They share the port (SO_REUSEPORT), so that there is always one to connect to. `drain_seconds`: how long a predecessor
    may take to end.
    """

    def __init__(self, servers: list[Child], drain_seconds: float, on_done: Callable[[], None]) -> None:
        self._servers = servers
        self._drain_seconds = drain_seconds
        self._on_done = on_done
        self._waiting: deque[int] = deque()
        self._successor: Child | None = None
        self._retired: Child | None = None
        self._retired_at = 0.0

    @property
    def children(self) -> list[Child]:
        """Those that are under way: a successor that does not answer yet, a predecessor that drains."""
        return [child for child in (self._successor, self._retired) if child is not None]

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not come to its end."""
        return bool(self._waiting or self.children)

    def begin(self) -> None:
        """Replace all of them."""
        self._waiting = deque(range(len(self._servers)))

    def step(self) -> None:
        """Do what can be done now; to be called over and over."""
        if self._retired is not None:
            self._watch_retired(self._retired)
        elif self._successor is not None:
            self._watch_successor(self._successor)
        elif self._waiting:
            self._successor = self._servers[self._waiting[0]].successor()
            self._successor.start()

    def _watch_successor(self, successor: Child) -> None:
        if successor.is_ready.is_set():
            place = self._waiting.popleft()
            self._retired, self._servers[place] = self._servers[place], successor
            self._retired_at = time.monotonic()
            self._successor = None
            if self._retired.process is not None:
                self._retired.process.terminate()
        elif successor.has_ended() or time.monotonic() > successor.started_at + READY_SECONDS:
            _log.error("process.not_renewed", name=successor.name)
            if successor.process is not None:
                successor.process.kill()
                successor.process.wait()
            self._successor = None
            self._waiting.clear()

    def _watch_retired(self, retired: Child) -> None:
        if retired.process is not None and retired.process.poll() is None:
            if time.monotonic() > self._retired_at + self._drain_seconds:
                retired.process.kill()
            return
        _log.info("process.renewed", name=retired.name)
        self._retired = None
        if not self._waiting:
            self._on_done()
