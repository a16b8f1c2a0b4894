"""A worker, the bulk process or the background process: what runs in a child of `registrar serve`.

Started fresh (never forked after grpc is imported) as `python -m registrar_server.child KIND`. Its configuration comes
on standard input, which stays open: its end means that the parent is gone, and the child drains and ends. It says
`ready` on standard output. What serves imports what it needs before it reads, while the parent waits for the store.
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
from typing import TYPE_CHECKING

import structlog

from registrar_server.config import Config
from registrar_server.cores import keep_to
from registrar_server.logging import flush_logs, set_up_logging
from registrar_server.stopping import Notice

if TYPE_CHECKING:
    from registrar_server.transport.server import RegistrarServer
    from registrar_server.transport.tls import Certificates

WORKER = "worker"
BULK = "bulk"
BACKGROUND = "background"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a child is told by its parent."""

    name: str
    config: Config
    run_directory: str

    def to_line(self) -> bytes:
        """One line of JSON; holds secrets."""
        document = {
            "name": self.name,
            "config": self.config.to_json(),
            "run_directory": self.run_directory,
        }
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Assignment:
        """What `to_line` wrote."""
        document = json.loads(line)
        return cls(document["name"], Config.from_json(document["config"]), document["run_directory"])


def main() -> None:
    """Run until told to stop."""
    run = _RUNS[sys.argv[1]]
    if run is not _run_background:
        import registrar_server.wiring.worker  # noqa: F401
    line = sys.stdin.buffer.readline()
    if not line:
        return
    assignment = Assignment.from_line(line)
    config = assignment.config
    # Ctrl-C reaches every process of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_logging(config.log_level, config.log_format, assignment.name)
    stop = Notice()
    threading.Thread(target=_watch_parent, args=(stop,), name="parent", daemon=True).start()
    with ExitStack() as stack:
        run(assignment, stop, stack)
    sys.stdout.close()
    flush_logs()
    # Threads of libraries that are not daemons must not keep a drained process alive.
    os._exit(0)


def _run_worker(assignment: Assignment, stop: Notice, stack: ExitStack) -> None:
    from registrar_server.wiring.worker import build_worker

    cores = _keep_to_core(assignment.name, assignment.config)
    server = build_worker(assignment.config, Path(assignment.run_directory), stack, transfer_cores=cores)
    _serve(server, assignment.config.listen, assignment.config, stop, mtls_address=assignment.config.mtls_listen)


def _run_bulk(assignment: Assignment, stop: Notice, stack: ExitStack) -> None:
    from registrar_server.wiring.worker import build_bulk

    keep_to(set(assignment.config.bulk_cores))
    server = build_bulk(assignment.config, Path(assignment.run_directory), stack)
    _serve(server, assignment.config.bulk_listen, assignment.config, stop)


def _serve(server: RegistrarServer, address: str, config: Config, stop: Notice, mtls_address: str = "") -> None:
    _stop_on_signals(stop)
    certificates = _open_certificates(config)
    server.listen(address, certificates.credentials() if certificates else None)
    if certificates and mtls_address:
        server.listen(mtls_address, certificates.credentials(is_client_certificate_required=True))
    server.start()
    gc.collect()
    gc.freeze()
    _say_ready()
    while not stop.wait(0.5):
        server.look_after()
        if certificates:
            certificates.look()
    _log.info("worker.draining", seconds=config.drain_seconds)
    server.stop(config.drain_seconds)


def _open_certificates(config: Config) -> Certificates | None:
    """What the ports are served with; None: in the clear."""
    if not config.is_tls:
        return None
    from registrar_server.transport.tls import Certificates, TlsFiles

    return Certificates(TlsFiles(config.tls_certificate, config.tls_key, config.tls_client_ca))


def _run_background(assignment: Assignment, stop: Notice, stack: ExitStack) -> None:
    from registrar_server.wiring.background import build_background

    # Until it works, a signal ends it on the spot: importing MLflow takes seconds, and nothing is under way.
    background, signals = build_background(assignment.config, Path(assignment.run_directory), stack)
    _stop_on_signals(stop)
    background.start()
    gc.collect()
    gc.freeze()
    _say_ready()
    while not stop.is_set():
        if signals.wait_for_work(0.5):
            background.wake()
    background.stop(assignment.config.drain_seconds)


def _keep_to_core(name: str, config: Config) -> frozenset[int]:
    """Have a worker keep to its core, where it should; the cores where its transfers may run all the same."""
    cores = config.worker_cores
    # Before any thread is started, since threads take their cores from the one that starts them.
    if config.are_workers_pinned and cores:
        keep_to({cores[(int(name.rpartition("-")[2]) - 1) % len(cores)]})
    else:
        keep_to(set(cores))
    return frozenset(cores)


def _stop_on_signals(stop: Notice) -> None:
    signal.signal(signal.SIGTERM, lambda *_: stop.set())


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _watch_parent(stop: Notice) -> None:
    """Standard input ends when the parent does, however it died. Read past Python's buffer, whose lock would be held."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


_RUNS = {WORKER: _run_worker, BULK: _run_bulk, BACKGROUND: _run_background}

if __name__ == "__main__":
    main()
