"""`runs:/…` becomes a bundle of ours, with what the run knows, whoever logged it and however often it breaks off."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import registrar
from registrar_server.adapters.mlflow_store import MlflowStoreRegistry
from registrar_server.application.registering import LEASE_SECONDS
from registrar_server.domain.errors import Reason
from registrar_server.domain.values import ModelKey, VersionState
from registrar_server.domain.versions import Facts
from tests.fixtures.faults import Desk, Hooked, MovableClock, fail, new_database, once
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.mlflow import MlflowBackend, unique
from tests.fixtures.server import RunningServer, clean_environment
from tests.fixtures.stores import wait_until

pytestmark = [
    # MLflow 3.17 maps a relation with the loader strategy that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOTEBOOK = f"""
import json, pathlib, sys, tempfile
import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.http_dataset_source import HTTPDatasetSource

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None) -> list[str]:
        return model_input

def files(folder):
    folder = pathlib.Path(tempfile.mkdtemp()) / folder
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "deep" / "empty.txt").write_bytes(b"")
    (folder / "deep" / "nätive name.txt").write_text("text")
    return str(folder)

mlflow.set_experiment("notebook")
with mlflow.start_run() as run:
    mlflow.log_params({{"trees": 200, "rate": 0.05, "name": "1.10", "is_balanced": True, "huge": 10**30}})
    mlflow.log_metrics({{"f1": 0.5, "auc": 0.75}})
    mlflow.set_tag("mlflow.source.git.commit", "{COMMIT}")
    mlflow.set_tag("mlflow.source.git.repoURL", "https://git.example.com/churn")
    source = HTTPDatasetSource("https://data.example.com/churn.csv")
    mlflow.log_input(MetaDataset(source, name="churn", digest="abc"), context="training")
    mlflow.log_input(MetaDataset(source, name="churn-valid", digest="def"), context="validation")
    mlflow.pyfunc.log_model(name="model", python_model=Model(), pip_requirements=["mlflow"])
    mlflow.log_artifacts(files("old"), "old")
client = mlflow.MlflowClient()
elsewhere = client.create_run(client.create_experiment("elsewhere"))
print(json.dumps({{"run": run.info.run_id}}))
"""


@pytest.fixture(scope="module")
def run_id(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that a notebook logged with plain MLflow, given the file that `serve` wrote."""
    database = Path(server.mlflow_environment()["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    wait_until(lambda: _has_workspace(database), 60)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NOTEBOOK],
        env=clean_environment(**server.mlflow_environment(), MLFLOW_DISABLE_TELEMETRY="true"),
        cwd=tmp_path_factory.mktemp("notebook"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: str = json.loads(done.stdout.strip().splitlines()[-1])["run"]
    return found


def _has_workspace(database: Path) -> bool:
    """Whether the server has made MLflow's database, which it does by itself in its first seconds."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as connection, suppress(sqlite3.OperationalError):
        query = "SELECT count(*) FROM workspaces WHERE default_artifact_root LIKE 's3://%'"
        return bool(connection.execute(query).fetchone()[0])
    return False


class TestPlainMlflow:
    def test_a_logged_model_arrives_with_what_its_run_knows(
        self, registry: registrar.Registry, run_id: str, unique_name: str, tmp_path: Path
    ) -> None:
        version = registry.register(unique_name, run_artifact=f"runs:/{run_id}/model")
        assert version.version == 1
        assert version.metrics == {"f1": 0.5, "auc": 0.75}
        assert version.parameters == {
            "trees": 200,
            "rate": 0.05,
            "name": "1.10",
            "is_balanced": True,
            "huge": str(10**30),
        }
        assert [type(version.parameters[name]) for name in ("trees", "rate", "is_balanced")] == [int, float, bool]
        assert version.provenance.run_id == run_id
        assert version.provenance.git_commit == COMMIT
        assert [(data.name, data.digest) for data in version.provenance.training_data] == [("churn", "abc")]
        assert [data.name for data in version.provenance.validation_data] == ["churn-valid"]
        assert "data.example.com" in version.provenance.training_data[0].uri
        assert "python_function" in version.flavors
        pulled = registry.pull(f"{unique_name}/1", tmp_path / "pulled")
        assert (pulled / "MLmodel").is_file()
        assert (pulled / "python_model.pkl").is_file()

    def test_the_files_are_ours_and_verified(
        self, registry: registrar.Registry, run_id: str, unique_name: str, tmp_path: Path
    ) -> None:
        version = registry.register(unique_name, run_artifact=f"runs:/{run_id}/old")
        assert version.artifact_kind.value == "bundle"
        assert "/workspaces/" not in version.artifact_uri
        pulled = registry.pull(f"{unique_name}/1", tmp_path / "pulled")
        content = {
            path.relative_to(pulled).as_posix(): path.read_bytes() for path in pulled.rglob("*") if path.is_file()
        }
        assert content == {
            "weights.bin": bytes(range(256)) * 100,
            "deep/empty.txt": b"",
            "deep/nätive name.txt": b"text",
        }
        digests = {file.path: file.sha256 for file in registry.files(f"{unique_name}/1")}
        assert digests == {path: hashlib.sha256(data).hexdigest() for path, data in content.items()}

    def test_the_callers_word_wins(self, registry: registrar.Registry, run_id: str, unique_name: str) -> None:
        version = registry.register(
            unique_name,
            run_artifact=f"runs:/{run_id}/old/deep",
            metrics={"f1": 0.99},
            parameters={"trees": 7, "mine": "x"},
            provenance=registrar.Provenance(git_commit="f" * 40),
        )
        assert version.metrics == {"f1": 0.99, "auc": 0.75}
        assert (version.parameters["trees"], version.parameters["mine"], version.parameters["rate"]) == (7, "x", 0.05)
        assert version.provenance.git_commit == "f" * 40
        assert version.provenance.run_id == run_id

    def test_the_same_run_twice_is_two_versions_of_one_bundle(
        self, registry: registrar.Registry, run_id: str, unique_name: str
    ) -> None:
        first, second = (registry.register(unique_name, run_artifact=f"runs:/{run_id}/old") for _ in range(2))
        assert (first.version, second.version) == (1, 2)
        assert first.artifact_id == second.artifact_id

    @pytest.mark.parametrize(
        ("artifact", "reason"),
        [("runs:/0123456789abcdef0123456789abcdef/model", "RUN_NOT_FOUND"), ("runs:/{run}/none", "ARTIFACT_NOT_FOUND")],
    )
    def test_what_is_not_there_is_named(
        self, registry: registrar.Registry, run_id: str, unique_name: str, artifact: str, reason: str
    ) -> None:
        with pytest.raises(registrar.RegistrarError) as refused:
            registry.register(unique_name, run_artifact=artifact.format(run=run_id))
        assert refused.value.reason == reason
        assert refused.value.code.value == "NOT_FOUND"
        assert list(registry.versions(unique_name)) == []
        # What failed takes no number.
        assert registry.register(unique_name, run_artifact=f"runs:/{run_id}/old").version == 1

    def test_a_path_out_of_the_run_is_refused(
        self, registry: registrar.Registry, run_id: str, unique_name: str
    ) -> None:
        with pytest.raises(registrar.RegistrarError) as refused:
            registry.register(unique_name, run_artifact=f"runs:/{run_id}/../../model")
        assert refused.value.reason in ("SOURCE_NOT_ALLOWED", "INVALID_FIELD")

    def test_what_a_run_brings_is_part_of_lineage(
        self, registry: registrar.Registry, run_id: str, unique_name: str
    ) -> None:
        registry.register(unique_name, run_artifact=f"runs:/{run_id}/model")
        found = registry.lineage(f"{unique_name}/1", direction=registrar.LineageDirection.UPSTREAM)
        things = list(found.nodes.values())
        assert [thing.run_id for thing in things if isinstance(thing, registrar.LineageRun)] == [run_id]
        assert {thing.name for thing in things if isinstance(thing, registrar.Dataset)} == {"churn", "churn-valid"}
        down = registry.lineage(run_id=run_id, depth=1)
        assert f"{unique_name}/1" in {str(thing) for thing in down.nodes.values()}

    def test_a_signature_that_is_only_known_from_the_run_is_held_against_the_semantic_version(
        self, registry: registrar.Registry, run_id: str, unique_name: str
    ) -> None:
        address = f"runs:/{run_id}/model"
        first = registry.register(unique_name, run_artifact=address)
        assert first.signature is not None
        stricter = registrar.Signature(first.signature.inputs, [registrar.TensorSpec("score", "double")])
        registry.register(unique_name, artifact_id=first.artifact_id, signature=stricter, semantic_version="1.0.0")
        advice = registry.check(unique_name, run_artifact=address, semantic_version="1.1.0")
        assert advice.suggested_semantic_version == ""
        with pytest.raises(registrar.FailedPrecondition) as refused:
            registry.register(unique_name, run_artifact=address, semantic_version="1.1.0")
        assert refused.value.reason == "SIGNATURE_BREAKING"
        assert [version.version for version in registry.versions(unique_name)] == [2, 1]
        made = registry.register(unique_name, run_artifact=address, semantic_version="2.0.0")
        assert made.advice is not None
        assert made.advice.suggested_semantic_version == "2.0.0"

    def test_what_a_run_brings_counts_where_metadata_is_required(
        self, registry: registrar.Registry, run_id: str, unique_name: str
    ) -> None:
        def demand(*paths: str) -> None:
            required, models = registrar.MetadataRequirement.REQUIRED, [unique_name]
            registry.update_metadata_schema(
                [registrar.MetadataField(path, required, model_patterns=models) for path in paths]
            )

        address = f"runs:/{run_id}/model"
        brought = ("metrics.f1", "provenance.git_commit", "provenance.training_data.digest", "signature", "flavors")
        try:
            demand(*brought)
            assert registry.register(unique_name, run_artifact=address).version == 1
            demand(*brought, "metrics.recall")
            with pytest.raises(registrar.InvalidArgument, match=r"metrics\.recall: is required") as refused:
                registry.register(unique_name, run_artifact=address)
            assert refused.value.reason == "METADATA_INCOMPLETE"
            assert "metrics.f1" not in str(refused.value)
            demand("tags.owner")
            with pytest.raises(registrar.InvalidArgument) as refused:
                registry.check(unique_name, run_artifact=address)
            assert [violation.field for violation in refused.value.violations] == ["tags.owner"]
        finally:
            registry.update_metadata_schema([])


@dataclass
class Lab:
    """A desk whose MLflow reads runs out of the same store that bundles go to."""

    desk: Desk
    backend: MlflowBackend
    store: MemoryStore

    def run(self, files: dict[str, bytes], location: str = "") -> tuple[str, str]:
        """A tenant's run with files below `model`: model name, address."""
        with self.backend.client("default") as client:
            run = client.create_run(client.create_experiment(unique("experiment-")))
            client.log_param(run.info.run_id, "depth", "8")
        key = self.store.key_of(run.info.artifact_uri)
        for path, data in files.items():
            self.store.objects[f"{key}/model/{path}"] = data
        return unique("model-"), f"runs:/{run.info.run_id}/model"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, mlflow_environment: None) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("lab")
    store: Any = MemoryStore()
    uri = f"sqlite:///{directory}/mlflow.db"
    registry = MlflowStoreRegistry(uri, store.root, bundle_reader=store)
    registry.ensure_tenant("default")
    database = new_database(directory / "registrar.db")
    desk = Desk(database, Hooked(registry), store=Hooked(store), clock=MovableClock())
    yield Lab(desk, MlflowBackend(uri, True, registry, store), store)
    registry.close()
    database.close()


@pytest.fixture(autouse=True)
def _no_hooks(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "lab" in request.fixturenames:
        desk = request.getfixturevalue("lab").desk
        desk.mlflow.before.clear()
        desk.mlflow.after.clear()
        desk.store.before.clear()


FILES = {"MLmodel": b"flavors: {}\n", "data/one.bin": b"1" * 1000, "data/two.bin": b"2" * 2000}


class TestBreakingOff:
    @pytest.mark.parametrize("call", range(1, 8))
    def test_a_crash_in_the_middle_of_the_copy_is_taken_up(self, lab: Lab, call: int) -> None:
        """Files are opened twice each: to hash them, to store them."""
        name, address = lab.run(FILES)
        model = ModelKey("default", name)

        class Died(BaseException):
            pass

        opened = 0

        def die(*_: object) -> None:
            nonlocal opened
            opened += 1
            if opened == call:
                raise Died

        lab.desk.mlflow.before["open_run_file"] = die
        uid, _, _ = lab.desk.submit(model, run_artifact=address)
        if call <= 2 * len(FILES):
            with pytest.raises(Died):
                lab.desk.work()
            assert lab.desk.version(uid).state is VersionState.PENDING
        lab.desk.release_leases()
        lab.desk.work_all()
        version = lab.desk.version(uid)
        assert version.number == 1
        assert version.facts.parameters["depth"] == 8
        for path, data in FILES.items():
            assert lab.store.objects[f"{lab.store.key_of(version.artifact.uri)}/{path}"] == data

    def test_a_store_that_is_away_for_a_while_fails_nothing_for_good(self, lab: Lab) -> None:
        name, address = lab.run(FILES)
        lab.desk.mlflow.before["open_run_file"] = once(fail(Reason.STORE_UNAVAILABLE))
        uid, _, _ = lab.desk.submit(ModelKey("default", name), run_artifact=address)
        lab.desk.work()
        assert lab.desk.version(uid).state is VersionState.PENDING
        lab.desk.clock.advance(60)
        lab.desk.work()
        assert lab.desk.version(uid).number == 1

    def test_files_that_change_while_they_are_copied_make_no_version(self, lab: Lab) -> None:
        name, address = lab.run(FILES)
        opened = 0

        def change(_tenant: str, file: Any) -> None:
            nonlocal opened
            opened += 1
            if opened == len(FILES) + 1:
                for key in lab.store.objects:
                    if key.endswith("model/MLmodel") and lab.store.uri(key) == file.source:
                        lab.store.objects[key] = b"flavors: {x}"

        lab.desk.mlflow.before["open_run_file"] = change
        uid, _, _ = lab.desk.submit(ModelKey("default", name), run_artifact=address)
        lab.desk.work()
        version = lab.desk.version(uid)
        assert version.state is VersionState.FAILED
        assert not version.artifact.is_bundle

    def test_who_lost_the_lease_while_copying_changes_no_ready_version(self, lab: Lab) -> None:
        name, address = lab.run(FILES)
        # The lab's clock may stand anywhere: the tests before moved it, in any order.
        clock = lab.desk.clock.copy()
        other = Desk(lab.desk.database, Hooked(lab.desk.mlflow._inner), node="other", clock=clock, store=lab.store)
        taken: list[Any] = []

        def take_over() -> None:
            # All is copied, and the lease was last asked for before that: now the other one does it all.
            with lab.backend.client("default") as client:
                client.log_metric(address.split("/")[1], "late", 1.0)
            clock.advance(LEASE_SECONDS + 1)
            assert other.work() == 1
            taken.append(other.version(uid))

        lab.desk.store.before["list_objects"] = once(take_over)
        uid, _, _ = lab.desk.submit(ModelKey("default", name), run_artifact=address, facts=Facts())
        lab.desk.work()
        assert taken, "the other one never came"
        assert taken[0].state is VersionState.READY
        assert lab.desk.version(uid) == taken[0]
        found = lab.desk.mlflow._inner.find_versions("default", name, uid)
        assert list(found) == [1]

    def test_a_run_outside_the_artifact_root_is_refused(self, lab: Lab) -> None:
        # The service alone decides what may be read: MLflow takes any address.
        with lab.backend.client("default") as client:
            run = client.create_run(client.create_experiment(unique("elsewhere-")))
        with closing(sqlite3.connect(lab.backend.uri.removeprefix("sqlite:///"))) as connection:
            connection.execute("UPDATE runs SET artifact_uri = 'file:///etc' WHERE run_uuid = ?", [run.info.run_id])
            connection.commit()
        name = unique("model-")
        address = f"runs:/{run.info.run_id}/passwd"
        uid, _, _ = lab.desk.submit(ModelKey("default", name), run_artifact=address)
        lab.desk.work()
        version = lab.desk.version(uid)
        assert (version.state, version.failure_reason) == (VersionState.FAILED, "SOURCE_NOT_ALLOWED")
        assert "etc" not in version.failure
