"""What a worker loads and when: never MLflow, everything else before it is told what to do; and how much memory it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import registrar
from tests.fixtures.process_tree import child_of, descendants
from tests.fixtures.server import RunningServer, clean_environment, running_server
from tests.fixtures.stores import wait_until

WORKER_BYTES_AT_MOST = 150_000_000

# Python imports a module of this name at its start, so it sees every import of every process.
_RECORDER = """
import os, sys

class Recorder:
    def find_spec(self, name, path=None, target=None):
        with open(os.environ["TEST_IMPORTS"], "a") as file:
            file.write(f"{os.getpid()} {name}\\n")
        return None

sys.meta_path.insert(0, Recorder())
"""


@dataclass(frozen=True)
class Imports:
    """Who imported what."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Has Python record imports."""
        path = os.pathsep.join(filter(None, (str(self.folder), os.environ.get("PYTHONPATH"))))
        return {"PYTHONPATH": path, "TEST_IMPORTS": str(self.folder / "imports")}

    def by_process(self) -> dict[int, set[str]]:
        """Full names of modules, by pid."""
        found: dict[int, set[str]] = defaultdict(set)
        # The last line may not be whole yet.
        for line in (self.folder / "imports").read_text().split("\n")[:-1]:
            pid, _, name = line.partition(" ")
            found[int(pid)].add(name)
        return found


def record_imports(folder: Path) -> Imports:
    """A recorder that writes into that folder."""
    (folder / "sitecustomize.py").write_text(_RECORDER)
    return Imports(folder)


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> Imports:
    """What the server below imports."""
    return record_imports(tmp_path_factory.mktemp("imports"))


@pytest.fixture(scope="module")
def used(imports: Imports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of one worker that has done a bit of everything."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "model.bin").write_bytes(b"model")
    with running_server(folder / "data", imports.environment, ("--workers", "1")) as server:
        with server.connect() as registry:
            version = registry.push(folder / "model.bin", name="used-model", progress=False)
            registry.promote(version, to=registrar.Stage.STAGING)
            registry.pull(version.ref, folder / "pulled", progress=False)
            registry.set_alias(version.name, "champion", version.version)
            registry.wait_mirrored(timeout_seconds=60)
        yield server


def pid_of(server: RunningServer, kind: str) -> int:
    found = child_of(server.process.pid, f"registrar_server.child {kind}")
    assert found
    return found


def test_only_the_background_process_loads_mlflow(used: RunningServer, imports: Imports) -> None:
    assert "mlflow" in imports.by_process()[pid_of(used, "background")]
    others = imports.by_process().keys() & {used.process.pid, *descendants(used.process.pid)}
    assert pid_of(used, "worker") in others
    loaded = {pid for pid in others if "mlflow" in imports.by_process()[pid]}
    assert loaded == {pid_of(used, "background")}


def test_a_worker_has_imported_what_it_needs_before_it_is_told_what_to_do(
    used: RunningServer, imports: Imports, tmp_path: Path
) -> None:
    waiting = record_imports(tmp_path)
    # Told nothing: it imports, finds the end of its input, and ends.
    subprocess.run(
        [sys.executable, "-m", "registrar_server.child", "worker"],
        env=clean_environment(**waiting.environment),
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    (before,) = waiting.by_process().values()
    late = imports.by_process()[pid_of(used, "worker")] - before
    assert {"grpc", "sqlalchemy", "minio", "registrar_server.transport.server"} <= before
    assert packages(late) - packages(before) == set()
    assert not [name for name in late if name.startswith("registrar_server.")]


def test_a_worker_stays_small(used: RunningServer) -> None:
    def resident_bytes() -> int:
        status = Path(f"/proc/{pid_of(used, 'worker')}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) * 1024

    wait_until(lambda: resident_bytes() < WORKER_BYTES_AT_MOST, 10)


def packages(names: set[str]) -> set[str]:
    """The distributions' packages among modules."""
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names
