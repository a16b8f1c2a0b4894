"""`registrar serve`: the parent that starts the store and all other processes, watches them, and stops them."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from registrar_server.addresses import split_address
from registrar_server.child import BACKGROUND, BULK, WORKER, Assignment
from registrar_server.config import Config
from registrar_server.mlflow_environment import mlflow_environment_file
from registrar_server.stopping import Notice
from registrar_server.supervised import READY_SECONDS, Child, Renewal

_log = structlog.get_logger()

_GRACE_SECONDS = 5.0
"""Beyond the time that calls may go on, before a process is killed."""
_LONGEST_PAUSE_SECONDS = 10.0
_SOCKET_DIRECTORY_BYTES = 64


class StartError(Exception):
    """The server cannot start; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: the configuration as it came to be, with real ports and the embedded store's keys."""

    config: Config
    seconds: float


class Supervisor:
    """Runs a server until it is told to stop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = Notice()
        self._servers = [Child(WORKER, f"worker-{number}") for number in range(1, config.workers + 1)]
        if config.bulk_listen:
            self._servers.append(Child(BULK, "bulk"))
        self._background = Child(BACKGROUND, "background")
        self._is_renewal_wanted = Notice()
        self._renewal = Renewal(self._servers, config.drain_seconds + _GRACE_SECONDS, self._renew_background)

    def stop(self) -> None:
        """Ask for the end; may be called from a signal handler."""
        self._stop.set()

    def renew(self) -> None:
        """Ask for every process to be replaced, with no call lost; may be called from a signal handler."""
        self._is_renewal_wanted.set()

    def run(self, on_ready: Callable[[Running], None]) -> None:
        """Start everything, call `on_ready` when calls are answered, and return when all has stopped.

        Python's imports are most of a start, so what serves begins with them while the store and the schema are
        prepared. MLflow's come last: no read waits for them.
        """
        began = time.monotonic()
        for warning in self._config.warnings:
            _log.warning("server.plaintext_network", problem=warning)
        with ExitStack() as stack:
            lock_data_directory(Path(self._config.data_dir), stack)
            # What an earlier run told of its store's port and keys no longer holds.
            mlflow_environment_file(self._config).unlink(missing_ok=True)
            addressed = reserve_addresses(self._config, stack)
            run_directory = Path(tempfile.mkdtemp(prefix="registrar-", dir=_directory_of_sockets()))
            stack.callback(shutil.rmtree, run_directory, ignore_errors=True)
            try:
                for child in self._servers:
                    child.start()
                addressed = self._serve_metrics(addressed, run_directory, stack)
                # Heavy imports, made while the workers make theirs.
                from registrar_server.wiring.preparation import prepare

                config = prepare(addressed, stack)
                for child in self._servers:
                    child.assign(Assignment(child.name, config, str(run_directory)))
                if self._wait_ready():
                    self._background.start()
                    self._background.assign(Assignment(self._background.name, config, str(run_directory)))
                    on_ready(Running(config, time.monotonic() - began))
                    self._watch_until_stopped()
            finally:
                # Before the store, which what they accepted still needs.
                self._stop_children()

    def _serve_metrics(self, config: Config, run_directory: Path, stack: ExitStack) -> Config:
        """The configuration with the real port of metrics, which are served from now on, if they are wanted."""
        if not config.metrics_listen:
            return config
        from registrar_server.wiring.metrics import serve_metrics

        host, _ = split_address(config.metrics_listen)
        try:
            port = serve_metrics(config, run_directory, self._running_processes, stack)
        except OSError as exc:
            raise StartError(f"cannot listen on {config.metrics_listen}: {exc.strerror}") from exc
        return replace(config, metrics_listen=f"{host}:{port}")

    def _running_processes(self) -> dict[str, int]:
        """Pids by name."""
        children = [(child.name, child.process) for child in (*self._servers, self._background)]
        return {name: process.pid for name, process in children if process is not None}

    def _watch_until_stopped(self) -> None:
        while not self._stop.wait(0.2):
            self._watch_children()
            if self._is_renewal_wanted.is_set() and not self._renewal.is_under_way:
                self._is_renewal_wanted.clear()
                _log.info("server.renewing")
                self._renewal.begin()
            self._renewal.step()
        _log.info("server.stopping")

    def _wait_ready(self) -> bool:
        """Whether all servers answer; False: the end was asked for meanwhile."""
        deadline = time.monotonic() + READY_SECONDS
        while not all(server.is_ready.is_set() for server in self._servers):
            if self._stop.wait(0.02):
                return False
            if any(server.has_ended() for server in self._servers) or time.monotonic() > deadline:
                raise StartError("a process did not start; the lines above say why")
        return True

    def _watch_children(self) -> None:
        """Start again what ended, with a growing pause for what keeps ending."""
        for child in (*self._servers, self._background):
            if child.process is None:
                if time.monotonic() > child.started_at + child.pause_seconds:
                    child.start()
            elif child.process.poll() is not None:
                pause, code = self._pause_seconds(child), child.process.returncode
                log = _log.error if code else _log.info
                log("process.ended", name=child.name, code=code, pause_seconds=pause)
                child.process, child.pause_seconds, child.started_at = None, pause, time.monotonic()

    def _pause_seconds(self, ended: Child) -> float:
        """How long to wait before it is started again: longer each time for what ends soon, unless it was told to."""
        was_short = time.monotonic() - ended.started_at < 30
        if not was_short or (ended.process is not None and ended.process.returncode == 0):
            return 0.0
        return min(_LONGEST_PAUSE_SECONDS, max(0.2, ended.pause_seconds * 2))

    def _renew_background(self) -> None:
        """Last, and by its end alone: what it works on waits until the next has taken its place."""
        if self._background.process is not None:
            self._background.process.terminate()

    def _stop_children(self) -> None:
        """Those that serve first, so that what they accepted can still be worked on; whoever does not end is killed."""
        for children in ([*self._servers, *self._renewal.children], [self._background]):
            processes = [child.process for child in children if child.process is not None]
            for process in processes:
                process.terminate()
            deadline = time.monotonic() + self._config.drain_seconds + _GRACE_SECONDS
            for process in processes:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def lock_data_directory(directory: Path, stack: ExitStack) -> None:
    """Make sure that this is the only server on a data directory; the lock ends with the process."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = stack.enter_context((directory / "lock").open("w"))
    except OSError as exc:
        raise StartError(f"cannot use the data directory {directory}: {exc.strerror}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise StartError(f"another server uses the data directory {directory}; stop it or pass --data") from exc


def reserve_addresses(config: Config, stack: ExitStack) -> Config:
    """The configuration with real ports, all reserved until the end, and the bulk endpoint that clients are told."""
    config = replace(config, listen=_reserve(config.listen, stack))
    if config.mtls_listen:
        config = replace(config, mtls_listen=_reserve(config.mtls_listen, stack))
    if not config.bulk_listen:
        return config
    bulk = _reserve(config.bulk_listen, stack)
    return replace(config, bulk_listen=bulk, bulk_endpoint=config.bulk_endpoint or bulk)


def _reserve(address: str, stack: ExitStack) -> str:
    host, port = split_address(address)
    return f"{host}:{reserve_port(host, port, stack)}"


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
        raise StartError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    except OverflowError as exc:
        raise StartError(f"cannot listen on {host}:{port}: ports end at 65535") from exc
    return bound


def handle_signals(supervisor: Supervisor) -> None:
    """SIGTERM and Ctrl-C stop the server, SIGHUP replaces its processes; the children are told by their parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.renew())


def _directory_of_sockets() -> str:
    """Where temporary files go, unless its path leaves no room: the kernel takes 107 bytes for that of a socket."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= _SOCKET_DIRECTORY_BYTES else "/tmp"  # noqa: S108  (mkdtemp makes it ours)
