"""Promotions and registrations a second with everything that is written about them, against MLflow's over REST.

One tenant has ten audit entries before, another 100,000; one client and sixteen, each with a model of its own; SQLite and
PostgreSQL. The servers of a database stand at the same time and are called in turns.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.governance.history import write_history
from benchmarks.governance.load import Client, calls_per_second
from benchmarks.governance.mlflow_clients import mlflow_clients
from benchmarks.governance.registrar_clients import registrar_clients
from benchmarks.reads.backends import BACKENDS, open_backend
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import mlflow_server, registrar_server, sink_environment, sink_server
from benchmarks.tools import require_mlflow_server

_SHORT, _LONG = "10 entries", "100,000 entries"
_ENTRIES = {_SHORT: 10, _LONG: 100_000}
_MLFLOW = "MLflow"
_KINDS = ("promotion", "registration")
_CLIENTS = (1, 16)
# By default eight registrations wait at once, and the ninth caller is told to come again.
_ROOM = {"REGISTRAR_TRANSFER_SLOTS": "16", "REGISTRAR_THREADS": "80"}


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_mlflow_server()
    trials, seconds = (2, 1.0) if is_quick else (3, 2.0)
    entries = {_SHORT: 10, _LONG: 2_000} if is_quick else _ENTRIES
    report = Report("governance", {"trials": trials, "seconds": seconds, "entries": entries})
    for backend in BACKENDS:
        found = _measure(backend, entries, trials, seconds)
        for kind in _KINDS:
            for count in _CLIENTS:
                _add_figures(report, found, f"{backend}, {kind}, {count} at once", (kind, count))
    report.notes = [
        "A promotion is a TransitionStage: half of them to production, which archives the version that is there.",
        "MLflow's on PostgreSQL archives nobody: with the driver psycopg 3 its statement for that compares a number with text.",
        "A registration makes a run with its metrics and a version in MLflow, too; so does the peer's, in three calls.",
    ]
    return report


_Key = tuple[str, str, int]


def _measure(backend: str, entries: Mapping[str, int], trials: int, seconds: float) -> Mapping[_Key, list[float]]:
    """Calls a second by server, kind and number of clients."""
    rates: dict[_Key, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory, ExitStack() as stack:
        servers = stack.enter_context(_servers(backend, Path(directory), entries))
        for trial in range(trials):
            for kind in _KINDS:
                for count in _CLIENTS:
                    for name, clients in servers.items():
                        rate = calls_per_second([getattr(one, kind) for one in clients[:count]], seconds)
                        rates[name, kind, count].append(rate)
            print(f"  … {backend}, {trial + 1} of {trials}", flush=True)
    return rates


@contextmanager
def _servers(backend: str, base: Path, entries: Mapping[str, int]) -> Iterator[Mapping[str, Sequence[Client]]]:
    """Clients of two registries and of MLflow."""
    most = max(_CLIENTS)
    with ExitStack() as stack:
        new_database = stack.enter_context(open_backend(backend, base / "databases"))
        sink = stack.enter_context(sink_server(base / "sink"))
        found: dict[str, Sequence[Client]] = {}
        for number, (name, size) in enumerate(entries.items()):
            url = new_database(f"registrar{number}")
            write_history(url, size)
            settings = {**sink_environment(sink), **_ROOM, "REGISTRAR_DATABASE_URL": url}
            server = stack.enter_context(registrar_server(base / f"registrar-{number}", settings))
            found[name] = stack.enter_context(registrar_clients(server, most))
        peer = stack.enter_context(mlflow_server(base / "mlflow", backend_url=new_database("mlflow")))
        found[_MLFLOW] = stack.enter_context(mlflow_clients(peer, most, is_archiving=backend != "postgresql"))
        yield found


def _add_figures(report: Report, found: Mapping[_Key, list[float]], label: str, key: tuple[str, int]) -> None:
    short, long, peer = (Sample(tuple(found[name, *key])) for name in (_SHORT, _LONG, _MLFLOW))
    report.figures.append(Figure(f"{label}: {_SHORT}", "calls/s", short, peer, f"{_MLFLOW} over REST"))
    report.figures.append(Figure(f"{label}: {_LONG}", "calls/s", long, short, _SHORT))
