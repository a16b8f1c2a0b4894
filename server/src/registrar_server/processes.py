"""`registrar serve`: the parent that starts store, background process and workers, watches them, and stops them."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Self

import structlog

from registrar_server.adapters.database.migrate import migrate
from registrar_server.adapters.embedded_s3 import EmbeddedS3
from registrar_server.child import Assignment
from registrar_server.config import Config
from registrar_server.wiring import open_store

_log = structlog.get_logger()

_READY_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 10.0


class StartError(Exception):
    """The server cannot start; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: the configuration as it came to be, with real ports and the embedded store's keys."""

    config: Config
    seconds: float


@dataclass(slots=True)
class _Child:
    """A process that is started again whenever it ends."""

    assignment: Assignment
    process: subprocess.Popen[bytes] | None = None
    is_ready: threading.Event = field(default_factory=threading.Event)
    started_at: float = 0.0
    pause_seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.assignment.name

    def start(self) -> None:
        """Start it and hand it its assignment; standard input stays open for as long as this process lives."""
        self.is_ready.clear()
        self.started_at = time.monotonic()
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", "registrar_server.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child was started without its pipes")
        process.stdin.write(self.assignment.to_line())
        process.stdin.flush()
        threading.Thread(target=self._listen, args=(process.stdout,), name=self.name, daemon=True).start()

    def _listen(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            if line.strip() == b"ready":
                self.is_ready.set()


class Supervisor:
    """Runs a server until it is told to stop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = threading.Event()
        self._children: list[_Child] = []

    def stop(self) -> None:
        """Ask for the end; may be called from a signal handler."""
        self._stop.set()

    def run(self, on_ready: Callable[[Running], None]) -> None:
        """Start everything, call `on_ready` when calls are answered, and return when all has stopped."""
        began = time.monotonic()
        with ExitStack() as stack:
            config = self._prepare(stack)
            run_directory = Path(tempfile.mkdtemp(prefix="registrar-"))
            stack.callback(shutil.rmtree, run_directory, ignore_errors=True)
            stack.callback(self._stop_children)
            self._start_children(config, str(run_directory))
            if not self._wait_ready():
                return
            seconds = time.monotonic() - began
            _log.info("server.serving", listen=config.listen, workers=config.workers, seconds=round(seconds, 2))
            on_ready(Running(config, seconds))
            while not self._stop.wait(0.2):
                self._watch_children()
            _log.info("server.stopping")

    def _prepare(self, stack: ExitStack) -> Config:
        """Everything that must be there before a process answers: data directory, port, store, schema."""
        config = self._config
        lock_data_directory(Path(config.data_dir), stack)
        config = replace(config, listen=f"{config.host}:{reserve_port(config.host, config.port, stack)}")
        if config.is_s3_embedded:
            address = stack.enter_context(_Embedded(Path(config.data_dir) / "s3")).address
            config = replace(
                config,
                s3_endpoint_url=address.endpoint_url,
                s3_access_key=address.access_key,
                s3_secret_key=address.secret_key,
            )
        before, after = migrate(config.database_url, tenant_names=config.tenants)
        if before != after:
            _log.info("database.migrated", before=before, after=after)
        open_store(config, stack).check()
        return config

    def _start_children(self, config: Config, run_directory: str) -> None:
        kinds = [("worker", f"worker-{number}") for number in range(1, config.workers + 1)]
        for kind, name in [*kinds, ("background", "background")]:
            child = _Child(Assignment(kind, name, config, run_directory))
            self._children.append(child)
            child.start()

    def _wait_ready(self) -> bool:
        """Whether all workers answer. The background process may take longer: no read waits for MLflow."""
        deadline = time.monotonic() + _READY_SECONDS
        workers = [child for child in self._children if child.assignment.kind == "worker"]
        while not all(worker.is_ready.is_set() for worker in workers):
            if self._stop.wait(0.02):
                return False
            dead = [worker for worker in workers if worker.process is not None and worker.process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise StartError("a worker did not start; the lines above say why")
        return True

    def _watch_children(self) -> None:
        """Start again what ended, with a growing pause for what keeps ending."""
        for child in self._children:
            if child.process is None:
                if time.monotonic() > child.started_at + child.pause_seconds:
                    child.start()
            elif child.process.poll() is not None:
                is_short = time.monotonic() - child.started_at < 30
                pause = min(_LONGEST_PAUSE_SECONDS, max(0.2, child.pause_seconds * 2)) if is_short else 0.0
                _log.error("process.ended", name=child.name, code=child.process.returncode, pause_seconds=pause)
                child.process, child.pause_seconds, child.started_at = None, pause, time.monotonic()

    def _stop_children(self) -> None:
        """Workers first, so that what they accepted can still be worked on; whoever does not end is killed."""
        for kind in ("worker", "background"):
            processes = [c.process for c in self._children if c.assignment.kind == kind and c.process is not None]
            for process in processes:
                process.terminate()
            deadline = time.monotonic() + self._config.drain_seconds + 5
            for process in processes:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class _Embedded:
    """The embedded store as a context, with its address."""

    def __init__(self, directory: Path) -> None:
        self._store = EmbeddedS3(directory)

    def __enter__(self) -> Self:
        self.address = self._store.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._store.stop()


def lock_data_directory(directory: Path, stack: ExitStack) -> None:
    """Make sure that this is the only server on a data directory; the lock ends with the process."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = stack.enter_context((directory / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise StartError(f"another server uses the data directory {directory}; stop it or pass --data") from exc


def reserve_port(host: str, port: int, stack: ExitStack) -> int:
    """The port to serve on, bound until the end without listening, so that workers can share it and nobody else takes it.

    With SO_REUSEPORT a second server would silently share the port, so it is tried without first.
    """
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bare, port))
            probe.listen(1)
            bound: int = probe.getsockname()[1]
        reservation = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind((bare, bound))
    except OSError as exc:
        raise StartError(f"cannot listen on {host}:{port}: {os.strerror(exc.errno or 0)}") from exc
    return bound


def handle_signals(supervisor: Supervisor) -> None:
    """SIGTERM and Ctrl-C stop the server; the children are told by their parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
