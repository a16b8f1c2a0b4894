"""A whole server that is killed, at any time, loses nothing that it answered and numbers nothing twice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import registrar
from tests.fixtures.process_tree import child_of
from tests.fixtures.server import MakeServer, RunningServer, running_server
from tests.fixtures.stores import wait_until

CLIENTS = 8
EACH = 3


@dataclass
class Crowd:
    """Clients that register versions of one model at once, each with request ids of its own."""

    server: RunningServer
    name: str
    artifact_id: str
    patience_seconds: float = 90.0
    answers: dict[str, registrar.ModelVersion] = field(default_factory=dict)
    failures: dict[str, registrar.RegistrarError] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def request_ids(self) -> list[str]:
        return [f"client-{client}-{number}" for client in range(CLIENTS) for number in range(EACH)]

    def start(self) -> None:
        for client in range(CLIENTS):
            thread = threading.Thread(target=self._register, args=(client,))
            self.threads.append(thread)
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def repeat(self, server: RunningServer) -> dict[str, registrar.ModelVersion]:
        """The same calls once more."""
        with server.connect() as registry:
            return {
                request_id: registry.register(self.name, artifact_id=self.artifact_id, request_id=request_id)
                for request_id in self.request_ids
            }

    def _register(self, client: int) -> None:
        with self.server.connect(connect_timeout_seconds=90.0) as registry:
            for request_id in [i for i in self.request_ids if i.startswith(f"client-{client}-")]:
                try:
                    self.answers[request_id] = registry.register(
                        self.name,
                        artifact_id=self.artifact_id,
                        request_id=request_id,
                        timeout_seconds=self.patience_seconds,
                    )
                except registrar.RegistrarError as exc:
                    self.failures[request_id] = exc
                    return


def push_one(server: RunningServer, name: str, directory: Path) -> str:
    directory.mkdir(exist_ok=True)
    (directory / "model.bin").write_bytes(b"model")
    with server.connect() as registry:
        return registry.upload(directory, name=name, progress=False).id


Start = Callable[..., RunningServer]


@pytest.fixture(scope="module")
def ready_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose databases are migrated: making MLflow's takes longer than a test."""
    data = tmp_path_factory.mktemp("ready") / "data"
    with running_server(data) as server:
        artifact_id = push_one(server, "first", tmp_path_factory.mktemp("first"))
        with server.connect() as registry:
            registry.register("first", artifact_id=artifact_id)
    return data


@pytest.fixture
def start_ready(ready_data: Path, make_server: MakeServer, tmp_path: Path) -> Start:
    """Starts a server on a copy of that, or on given data."""

    def start(data: Path | None = None) -> RunningServer:
        if data is None:
            data = tmp_path / "data"
            shutil.copytree(ready_data, data, ignore=shutil.ignore_patterns("*.sock", "node-id"))
        server = make_server(data)
        # The first registration waits for MLflow's import, which is not what is tested here.
        with server.connect() as registry:
            registry.register("first", artifact_id=registry.get("first/1").artifact_id)
        return server

    return start


def test_killed_with_its_parent_while_clients_register_it_goes_on_where_it_was(
    start_ready: Start, unique_name: str, tmp_path: Path
) -> None:
    server = start_ready()
    artifact_id = push_one(server, unique_name, tmp_path / "model")
    crowd = Crowd(server, unique_name, artifact_id, patience_seconds=10.0)
    crowd.start()
    wait_until(lambda: len(crowd.answers) >= 5, 60)
    server.kill()
    before = dict(crowd.answers)
    # What waited is told so: there is no server to answer it.
    crowd.join()
    again = start_ready(server.data)
    after = crowd.repeat(again)
    require_contiguous(after, crowd)
    assert {i: (v.uid, v.version) for i, v in before.items()} == {i: (after[i].uid, after[i].version) for i in before}
    with again.connect() as registry:
        registry.wait_mirrored(registry.server_info().mirror.event_sequence, timeout_seconds=60)
        assert len(list(registry.versions(unique_name))) == len(crowd.request_ids)
    require_one_each_in_mlflow(again, unique_name, after)


def test_killed_background_process_holds_up_registrations_for_a_moment_only(
    start_ready: Start, unique_name: str, tmp_path: Path
) -> None:
    server = start_ready()
    crowd = Crowd(server, unique_name, push_one(server, unique_name, tmp_path / "model"))
    crowd.start()
    wait_until(lambda: len(crowd.answers) >= 5, 60)
    killed = child_of(server.process.pid, "registrar_server.child background")
    assert killed
    os.kill(killed, signal.SIGKILL)
    crowd.join()
    assert not crowd.failures
    require_contiguous(crowd.answers, crowd)
    require_one_each_in_mlflow(server, unique_name, crowd.answers)


def test_killed_worker_is_replaced_and_calls_go_on(start_ready: Start, unique_name: str, tmp_path: Path) -> None:
    server = start_ready()
    crowd = Crowd(server, unique_name, push_one(server, unique_name, tmp_path / "model"))
    crowd.start()
    wait_until(lambda: len(crowd.answers) >= 5, 60)
    killed = child_of(server.process.pid, "registrar_server.child worker")
    assert killed
    os.kill(killed, signal.SIGKILL)
    crowd.join()
    assert not crowd.failures
    require_contiguous(crowd.answers, crowd)
    assert child_of(server.process.pid, "registrar_server.child worker") != killed


def require_contiguous(answers: dict[str, registrar.ModelVersion], crowd: Crowd) -> None:
    assert sorted(v.version for v in answers.values()) == list(range(1, len(crowd.request_ids) + 1))
    assert {version.state.value for version in answers.values()} == {"ready"}


def require_one_each_in_mlflow(server: RunningServer, name: str, answers: dict[str, registrar.ModelVersion]) -> None:
    with closing(sqlite3.connect(server.data / "mlflow.db")) as connection:
        rows = connection.execute(
            "SELECT t.value, v.version FROM model_versions v JOIN model_version_tags t"
            " ON t.name = v.name AND t.version = v.version AND t.workspace = v.workspace"
            " WHERE v.name = ? AND t.key = 'registrar.uid' AND v.current_stage != 'Deleted_Internal'",
            [name],
        ).fetchall()
    assert sorted(rows) == sorted((version.uid, version.version) for version in answers.values())
