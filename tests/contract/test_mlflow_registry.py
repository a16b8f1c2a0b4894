"""The contract of `MlflowRegistry`, on every MLflow that it is meant for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog

from registrar_server.application.ports.mlflow_registry import DatasetInput, NewVersion, RunFile
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.mlflow import ARTIFACT_ROOT, MlflowBackend, open_registry, relay_to, unique

pytestmark = [
    # MLflow 3.17 maps a relation with the loader strategy that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

THREADS = 8
STAGES = ("None", "Staging", "Production", "Archived")


@pytest.fixture
def tenant(mlflow_backend: MlflowBackend) -> str:
    return mlflow_backend.new_tenant()


@pytest.fixture
def model(mlflow_backend: MlflowBackend, tenant: str) -> str:
    name = unique("model.")
    mlflow_backend.registry.ensure_model(tenant, name)
    return name


@contextmanager
def refused(*reasons: Reason) -> Iterator[None]:
    with pytest.raises(RegistrarError) as caught:
        yield
    assert caught.value.reason in reasons
    # A backend's text in a reply would show SQL, addresses or stacks.
    assert not any(text in caught.value.message for text in ("sqlalchemy", "psycopg", "http:", "INSERT", "Traceback"))


def in_parallel(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


def new_version(uid: str = "", **values: Any) -> NewVersion:
    uid = uid or unique("uid-")
    return NewVersion(
        uid, **{"source": f"{ARTIFACT_ROOT}/default/m/sha256-0", "run_id": "", "description": "", **values}
    )


def read(registry: Any, tenant: str, file: RunFile) -> bytes:
    with registry.open_run_file(tenant, file) as reader:
        return b"".join(reader)


class TestTenants:
    def test_answers_a_check(self, mlflow_backend: MlflowBackend) -> None:
        mlflow_backend.registry.check()

    def test_makes_a_tenant_once_or_has_only_default(self, mlflow_backend: MlflowBackend) -> None:
        name = unique("tenant-")
        mlflow_backend.registry.ensure_tenant("default")
        if not mlflow_backend.has_workspaces:
            with refused(Reason.TENANT_NOT_FOUND):
                mlflow_backend.registry.ensure_tenant(name)
            return
        mlflow_backend.registry.ensure_tenant(name)
        mlflow_backend.registry.ensure_tenant(name)
        mlflow_backend.registry.ensure_model(name, "model")

    def test_makes_a_tenant_under_races(self, mlflow_backend: MlflowBackend) -> None:
        name = unique("tenant-") if mlflow_backend.has_workspaces else "default"
        in_parallel(lambda _: mlflow_backend.registry.ensure_tenant(name))

    def test_refuses_a_tenant_that_was_not_made(self, mlflow_backend: MlflowBackend) -> None:
        with refused(Reason.TENANT_NOT_FOUND):
            mlflow_backend.registry.ensure_model(unique("tenant-"), "model")

    @pytest.mark.parametrize("name", ["x", "Upper", "under_score", "workspaces", "a'b"])
    def test_refuses_a_tenant_whose_name_mlflow_refuses(self, mlflow_backend: MlflowBackend, name: str) -> None:
        with refused(Reason.TENANT_NOT_FOUND):
            mlflow_backend.registry.ensure_tenant(name)

    def test_keeps_tenants_with_equal_model_names_apart(self, mlflow_backend: MlflowBackend) -> None:
        if not mlflow_backend.has_workspaces:
            with refused(Reason.TENANT_NOT_FOUND):
                mlflow_backend.registry.find_versions(unique("tenant-"), "model", "uid")
            return
        registry, one, other = mlflow_backend.registry, mlflow_backend.new_tenant(), mlflow_backend.new_tenant()
        for tenant in (one, other):
            registry.ensure_model(tenant, "model")
        assert [registry.create_version(one, "model", new_version("uid")) for _ in range(2)] == [1, 2]
        assert registry.create_version(other, "model", new_version("uid")) == 1
        assert registry.find_versions(one, "model", "uid") == [1, 2]
        assert registry.find_versions(other, "model", "uid") == [1]
        run_id = registry.create_run(one, "model", "uid", {}, {})
        assert registry.find_run(other, "uid") is None
        with refused(Reason.RUN_NOT_FOUND):
            registry.read_run(other, run_id)
        with refused(Reason.MLFLOW_DRIFT):
            registry.set_alias(other, "model", "champion", 2)


class TestVersions:
    def test_makes_a_model_under_races(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        name = unique("model-")
        in_parallel(lambda _: mlflow_backend.registry.ensure_model(tenant, name))
        mlflow_backend.registry.ensure_model(tenant, name)
        assert mlflow_backend.registry.create_version(tenant, name, new_version()) == 1

    def test_numbers_versions_without_gaps_under_races(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str
    ) -> None:
        registry = mlflow_backend.registry
        numbers = in_parallel(lambda _: [registry.create_version(tenant, model, new_version()) for _ in range(3)])
        assert sorted(number for some in numbers for number in some) == list(range(1, 3 * THREADS + 1))

    def test_gives_no_number_of_an_absent_model(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        with refused(Reason.MLFLOW_DRIFT):
            mlflow_backend.registry.create_version(tenant, unique("absent-"), new_version())

    @pytest.mark.parametrize("prefix", ["a--b", "AND", "1.e5-", "a_b", "name", "in"])
    def test_finds_versions_by_uid(self, mlflow_backend: MlflowBackend, tenant: str, prefix: str) -> None:
        registry, name = mlflow_backend.registry, unique(prefix)
        assert registry.find_versions(tenant, name, "uid") == []
        registry.ensure_model(tenant, name)
        registry.ensure_model(tenant, f"{name}x")
        registry.create_version(tenant, f"{name}x", new_version("uid"))
        for uid in ("uid", "uid2", "UID", "uid"):
            registry.create_version(tenant, name, new_version(uid))
        assert registry.find_versions(tenant, name, "uid") == [1, 4]

    def test_finds_more_versions_than_fit_a_page(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from registrar_server.adapters.mlflow import versions

        monkeypatch.setattr(versions, "_PAGE_SIZE", 2)
        for _ in range(5):
            mlflow_backend.registry.create_version(tenant, model, new_version("uid"))
        assert mlflow_backend.registry.find_versions(tenant, model, "uid") == [1, 2, 3, 4, 5]

    def test_tombstones_a_version_and_never_gives_its_number_again(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str
    ) -> None:
        registry = mlflow_backend.registry
        for _ in range(2):
            registry.create_version(tenant, model, new_version("uid"))
        registry.delete_version(tenant, model, 2)
        registry.delete_version(tenant, model, 2)
        registry.delete_version(tenant, model, 77)
        registry.delete_version(tenant, unique("absent-"), 1)
        assert registry.find_versions(tenant, model, "uid") == [1]
        assert registry.create_version(tenant, model, new_version("uid")) == 3
        with refused(Reason.MLFLOW_DRIFT):
            registry.set_version_stage(tenant, model, 2, "Production")

    def test_shows_mlflow_what_a_version_is(self, mlflow_backend: MlflowBackend, tenant: str, model: str) -> None:
        registry = mlflow_backend.registry
        run_id = registry.create_run(tenant, model, unique("uid-"), {}, {})
        tags = {"team": "fraud", "empty": "", "registrar.uid": "forged", "mlflow.prompt.is_prompt": "true"}
        number = registry.create_version(
            tenant, model, new_version("uid", run_id=run_id, description="text", tags=tags)
        )
        with mlflow_backend.client(tenant) as client:
            seen = client.get_model_version(model, str(number))
        assert (seen.source, seen.run_id, seen.description) == (f"{ARTIFACT_ROOT}/default/m/sha256-0", run_id, "text")
        assert seen.tags == {"team": "fraud", "empty": "", "registrar.uid": "uid"}

    def test_refuses_an_address_or_a_run_id_that_would_be_cut(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str
    ) -> None:
        with refused(Reason.REGISTRATION_FAILED):
            mlflow_backend.registry.create_version(tenant, model, new_version(source="s3://" + "a" * 500))
        with refused(Reason.RUN_NOT_FOUND):
            mlflow_backend.registry.create_version(tenant, model, new_version(run_id="a" * 33))


class TestMirror:
    @pytest.fixture
    def version(self, mlflow_backend: MlflowBackend, tenant: str, model: str) -> int:
        return mlflow_backend.registry.create_version(tenant, model, new_version())

    def test_sets_and_deletes_tags_again_and_again(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str, version: int
    ) -> None:
        registry = mlflow_backend.registry
        for _ in range(2):
            registry.set_version_tags(tenant, model, version, {"kept": "1", "gone": "2", "moved": "3"})
            registry.set_version_tags(tenant, model, version, {"moved": "4"}, deleted=["gone", "moved", "never"])
        with mlflow_backend.client(tenant) as client:
            tags = client.get_model_version(model, str(version)).tags
        assert {key: tags[key] for key in tags if key != "registrar.uid"} == {"kept": "1", "moved": "4"}

    def test_fits_what_mlflow_refuses(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str, version: int
    ) -> None:
        registry, long = mlflow_backend.registry, "é" * 20_000
        refused_keys = ["a%b", "a$b", "a//b", "../a", "/a", "a/.", "", ".", "k" * 400, "línea\nnueva", "a\x00"]
        registry.set_version_tags(
            tenant, model, version, {"long": long, "nul": "a\x00b", **dict.fromkeys(refused_keys, "v")}
        )
        registry.set_version_description(tenant, model, version, long)
        registry.set_model_facts(tenant, model, long, {"long": long, **dict.fromkeys(refused_keys, "v")})
        with mlflow_backend.client(tenant) as client:
            seen, seen_model = client.get_model_version(model, str(version)), client.get_registered_model(model)
        for found in (seen, seen_model):
            assert found.tags["long"] == "é" * 4_999 + "…"
            assert found.description == "é" * 4_999 + "…"
            assert sum(value == "v" for value in found.tags.values()) == len(refused_keys)
        assert seen.tags["nul"] == "a\N{REPLACEMENT CHARACTER}b"
        registry.set_version_tags(tenant, model, version, {}, deleted=refused_keys)
        with mlflow_backend.client(tenant) as client:
            assert "v" not in client.get_model_version(model, str(version)).tags.values()

    def test_keeps_the_uid_whatever_tags_say(self, mlflow_backend: MlflowBackend, tenant: str, model: str) -> None:
        registry = mlflow_backend.registry
        number = registry.create_version(tenant, model, new_version("uid"))
        registry.set_version_tags(tenant, model, number, {"registrar.uid": "forged"}, deleted=["registrar.uid"])
        assert registry.find_versions(tenant, model, "uid") == [number]

    def test_sets_a_stage_and_archives_no_other(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str, version: int
    ) -> None:
        registry = mlflow_backend.registry
        other = registry.create_version(tenant, model, new_version())
        registry.set_version_stage(tenant, model, other, "Production")
        for stage in (*STAGES, "Production", "Production"):
            registry.set_version_stage(tenant, model, version, stage)
            with mlflow_backend.client(tenant) as client:
                assert client.get_model_version(model, str(version)).current_stage == stage
                assert client.get_model_version(model, str(other)).current_stage == "Production"

    def test_points_moves_and_removes_an_alias(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str, version: int
    ) -> None:
        registry = mlflow_backend.registry
        other = registry.create_version(tenant, model, new_version())
        for number in (version, version, other):
            registry.set_alias(tenant, model, "production", number)
            with mlflow_backend.client(tenant) as client:
                assert int(client.get_model_version_by_alias(model, "production").version) == number
        for _ in range(2):
            registry.delete_alias(tenant, model, "production")
        registry.delete_alias(tenant, unique("absent-"), "production")
        with mlflow_backend.client(tenant) as client:
            assert client.get_registered_model(model).aliases == {}

    @pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V20"])
    def test_leaves_out_an_alias_that_mlflow_keeps_for_itself(
        self, mlflow_backend: MlflowBackend, tenant: str, model: str, version: int, alias: str
    ) -> None:
        mlflow_backend.registry.set_alias(tenant, model, alias, version)
        mlflow_backend.registry.delete_alias(tenant, model, alias)

    def test_calls_an_absent_version_drift(self, mlflow_backend: MlflowBackend, tenant: str, model: str) -> None:
        registry = mlflow_backend.registry
        calls: list[Callable[[], None]] = [
            lambda: registry.set_version_tags(tenant, model, 9, {"a": "b"}),
            lambda: registry.set_version_tags(tenant, model, 9, {}, deleted=["a"]),
            lambda: registry.set_version_description(tenant, model, 9, ""),
            lambda: registry.set_version_stage(tenant, model, 9, "Staging"),
            lambda: registry.set_alias(tenant, model, "champion", 9),
            lambda: registry.set_model_facts(tenant, unique("absent-"), "", {}),
        ]
        for call in calls:
            with refused(Reason.MLFLOW_DRIFT):
                call()

    def test_sets_what_a_model_is(self, mlflow_backend: MlflowBackend, tenant: str, model: str) -> None:
        registry = mlflow_backend.registry
        for _ in range(2):
            registry.set_model_facts(tenant, model, "text", {"gone": "1"})
            registry.set_model_facts(tenant, model, "text", {"kept": "2"}, deleted=["gone", "never"])
        with mlflow_backend.client(tenant) as client:
            seen = client.get_registered_model(model)
        assert (seen.description, seen.tags) == ("text", {"kept": "2"})
        registry.set_model_facts(tenant, model, "", {})
        with mlflow_backend.client(tenant) as client:
            assert not client.get_registered_model(model).description


class TestRuns:
    def test_makes_one_finished_run_for_a_uid(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        registry, uid = mlflow_backend.registry, unique("uid-")
        assert registry.find_run(tenant, uid) is None
        run_id = registry.create_run(tenant, "model", uid, {"depth": "3", "empty": ""}, {"auc": 0.0, "huge": 1e300})
        assert registry.create_run(tenant, "model", uid, {"depth": "4"}, {"auc": 1.0}) == run_id
        assert registry.find_run(tenant, uid) == run_id
        facts = registry.read_run(tenant, run_id)
        assert facts.parameters == {"depth": "3", "empty": ""}
        assert facts.metrics == {"auc": 0.0, "huge": 1e300}
        assert (facts.git_commit, facts.datasets, facts.tags["registrar.uid"]) == ("", (), uid)
        with mlflow_backend.client(tenant) as client:
            run = client.get_run(run_id)
            location = client.get_experiment(run.info.experiment_id).artifact_location
        assert run.info.status == "FINISHED"
        # On the plain server a whole registry of another test may have made the experiment, below a root of its own.
        is_anothers = not mlflow_backend.has_workspaces and location.endswith("/workspaces/default/registrar")
        assert location.startswith((ARTIFACT_ROOT, "mlflow-artifacts:")) or is_anothers

    def test_makes_the_experiment_under_races(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        registry = mlflow_backend.registry
        runs = in_parallel(lambda _: registry.create_run(tenant, "model", unique("uid-"), {"a": "b"}, {"m": 1.0}))
        assert len(set(runs)) == THREADS

    def test_restores_its_experiment(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        registry = mlflow_backend.registry
        registry.create_run(tenant, "model", unique("uid-"), {}, {})
        with mlflow_backend.client(tenant) as client:
            client.delete_experiment(client.get_experiment_by_name("registrar").experiment_id)
        uid = unique("uid-")
        assert registry.create_run(tenant, "model", uid, {}, {}) == registry.find_run(tenant, uid)

    def test_logs_more_and_longer_values_than_a_batch_takes(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        # 6,000 such characters are 36 kB of JSON: 100 of them are over the megabyte a request may have.
        parameters = {f"p{number}": "é" * 9_000 for number in range(230)}
        metrics = {f"m{number}": float(number) for number in range(1_100)}
        run_id = mlflow_backend.registry.create_run(tenant, "model", unique("uid-"), parameters, metrics)
        facts = mlflow_backend.registry.read_run(tenant, run_id)
        assert facts.metrics == metrics
        assert facts.parameters == dict.fromkeys(parameters, "é" * 5_999 + "…")

    def test_completes_a_run_that_was_left_open(
        self, mlflow_backend: MlflowBackend, tenant: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from registrar_server.adapters.mlflow import limits

        registry, uid = mlflow_backend.registry, unique("uid-")
        registry.create_run(tenant, "model", unique("uid-"), {}, {})
        with mlflow_backend.client(tenant) as client:
            experiment_id = client.get_experiment_by_name("registrar").experiment_id
            left = client.create_run(experiment_id, tags={"registrar.uid": uid}).info.run_id
            client.log_param(left, "a", "1")
        assert registry.find_run(tenant, uid) is None
        monkeypatch.setattr(limits, "MAX_PARAMETERS_PER_BATCH", 1)
        assert registry.create_run(tenant, "model", uid, {"a": "1", "b": "2"}, {"m": 1.0}) == left
        assert registry.find_run(tenant, uid) == left
        facts = registry.read_run(tenant, left)
        assert (facts.parameters, facts.metrics) == ({"a": "1", "b": "2"}, {"m": 1.0})

    def test_reads_what_a_client_logged(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        from mlflow.entities import Dataset, InputTag
        from mlflow.entities import DatasetInput as LoggedInput

        with mlflow_backend.client(tenant) as client:
            experiment_id = client.create_experiment(unique("experiment-"))
            run_id = client.create_run(experiment_id, tags={"mlflow.source.git.commit": "c0ffee"}).info.run_id
            for step, value in enumerate((0.1, 0.3, 0.2)):
                client.log_metric(run_id, "auc", value, step=step)
            client.log_metric(run_id, "broken", float("nan"))
            client.log_metric(run_id, "endless", float("-inf"))
            client.log_param(run_id, "depth", 3)
            dataset = Dataset(name="loans", digest="d1", source_type="s3", source='{"uri": "s3://x/y"}')
            client.log_inputs(run_id, [LoggedInput(dataset, [InputTag("mlflow.data.context", "training")])])
        facts = mlflow_backend.registry.read_run(tenant, run_id)
        assert (facts.run_id, facts.git_commit) == (run_id, "c0ffee")
        assert (facts.metrics, facts.parameters) == ({"auc": 0.2}, {"depth": "3"})
        assert facts.datasets == (DatasetInput("loans", "d1", '{"uri": "s3://x/y"}', "training"),)

    @pytest.mark.parametrize("run_id", ["0" * 32, "../x", "", "a" * 300, "a'b", "a\nb"])
    def test_finds_no_run_of_an_unknown_id(self, mlflow_backend: MlflowBackend, tenant: str, run_id: str) -> None:
        with refused(Reason.RUN_NOT_FOUND):
            mlflow_backend.registry.read_run(tenant, run_id)
        with refused(Reason.RUN_NOT_FOUND):
            mlflow_backend.registry.list_run_files(tenant, run_id, "model")

    def test_finds_no_deleted_run(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        uid = unique("uid-")
        run_id = mlflow_backend.registry.create_run(tenant, "model", uid, {}, {})
        with mlflow_backend.client(tenant) as client:
            client.delete_run(run_id)
        assert mlflow_backend.registry.find_run(tenant, uid) is None
        with refused(Reason.RUN_NOT_FOUND):
            mlflow_backend.registry.read_run(tenant, run_id)


class TestRunFiles:
    FILES: ClassVar = {
        "MLmodel": b"flavors:",
        "data/weights.bin": bytes(3_000_000),
        "data/ä b.txt": b"x",
        "empty": b"",
    }

    @pytest.fixture
    def run(self, mlflow_backend: MlflowBackend, tenant: str) -> Any:
        with mlflow_backend.client(tenant) as client:
            return client.create_run(client.create_experiment(unique("experiment-")))

    def log_model(self, backend: MlflowBackend, tenant: str, run: Any, name: str, *, is_ready: bool = True) -> Any:
        from mlflow.entities import LoggedModelStatus

        with backend.client(tenant) as client:
            model = client.create_logged_model(run.info.experiment_id, name, run.info.run_id)
            if is_ready:
                client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return model

    def test_reads_files_below_the_runs_own_directory(
        self, mlflow_backend: MlflowBackend, tenant: str, run: Any, tmp_path: Path
    ) -> None:
        registry, run_id = mlflow_backend.registry, run.info.run_id
        files = {f"model/{path}": data for path, data in self.FILES.items()}
        mlflow_backend.put_files(tenant, run.info.artifact_uri, {**files, "model2/other": b"y"}, tmp_path)
        listed = registry.list_run_files(tenant, run_id, "model")
        assert [file.path for file in listed] == sorted(self.FILES)
        assert {file.path: file.size_bytes for file in listed} == {path: len(self.FILES[path]) for path in self.FILES}
        assert {file.path: read(registry, tenant, file) for file in listed} == self.FILES
        assert [file.path for file in registry.list_run_files(tenant, run_id, "model/data")] == [
            "weights.bin",
            "ä b.txt",
        ]
        (alone,) = registry.list_run_files(tenant, run_id, "model/MLmodel")
        assert (alone.path, read(registry, tenant, alone)) == ("MLmodel", b"flavors:")
        assert len(registry.list_run_files(tenant, run_id, "")) == len(self.FILES) + 1

    def test_reads_the_newest_finished_logged_model(
        self, mlflow_backend: MlflowBackend, tenant: str, run: Any, tmp_path: Path
    ) -> None:
        registry, run_id = mlflow_backend.registry, run.info.run_id
        mlflow_backend.put_files(tenant, run.info.artifact_uri, {"model/old": b"old"}, tmp_path / "a")
        for number, is_ready in enumerate((True, True, False)):
            model = self.log_model(mlflow_backend, tenant, run, "model", is_ready=is_ready)
            files = {"MLmodel": str(number).encode(), "data/x": b"x"}
            mlflow_backend.put_files(tenant, model.artifact_location, files, tmp_path / str(number))
        self.log_model(mlflow_backend, tenant, run, "other")
        listed = registry.list_run_files(tenant, run_id, "model")
        assert [file.path for file in listed] == ["MLmodel", "data/x"]
        assert read(registry, tenant, listed[0]) == b"1"
        assert [file.path for file in registry.list_run_files(tenant, run_id, "model/data")] == ["x"]

    def test_reads_a_model_of_another_run_that_this_one_gave_out(
        self, mlflow_backend: MlflowBackend, tenant: str, run: Any, tmp_path: Path
    ) -> None:
        from mlflow.entities import LoggedModelOutput

        with mlflow_backend.client(tenant) as client:
            other = client.create_run(run.info.experiment_id)
            model = self.log_model(mlflow_backend, tenant, other, "model")
            client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
        mlflow_backend.put_files(tenant, model.artifact_location, {"MLmodel": b"m"}, tmp_path)
        assert [file.path for file in mlflow_backend.registry.list_run_files(tenant, run.info.run_id, "model")] == [
            "MLmodel"
        ]

    def test_falls_back_to_the_run_when_the_logged_model_is_empty(
        self, mlflow_backend: MlflowBackend, tenant: str, run: Any, tmp_path: Path
    ) -> None:
        self.log_model(mlflow_backend, tenant, run, "model")
        mlflow_backend.put_files(tenant, run.info.artifact_uri, {"model/MLmodel": b"m"}, tmp_path)
        listed = mlflow_backend.registry.list_run_files(tenant, run.info.run_id, "model")
        assert [file.path for file in listed] == ["MLmodel"]

    def test_says_when_there_are_no_files(self, mlflow_backend: MlflowBackend, tenant: str, run: Any) -> None:
        for path in ("model", "model/x", "it's", "both'\""):
            with refused(Reason.ARTIFACT_NOT_FOUND):
                mlflow_backend.registry.list_run_files(tenant, run.info.run_id, path)

    @pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc", "a//b", "./a", "a\\..\\b", "a/", "a\x00b"])
    def test_refuses_a_path_that_leaves_the_run(
        self, mlflow_backend: MlflowBackend, tenant: str, run: Any, path: str
    ) -> None:
        with refused(Reason.SOURCE_NOT_ALLOWED):
            mlflow_backend.registry.list_run_files(tenant, run.info.run_id, path)

    @pytest.mark.parametrize(
        "location",
        [
            "file:///etc",
            "s3://other/x",
            f"{ARTIFACT_ROOT}x/y",
            "http://127.0.0.1:1/x",
            "mlflow-artifacts://elsewhere/x",
        ],
    )
    def test_refuses_a_run_whose_files_lie_elsewhere(self, mlflow_backend: MlflowBackend, location: str) -> None:
        tenant, run = mlflow_backend.new_run(location)
        with refused(Reason.SOURCE_NOT_ALLOWED):
            mlflow_backend.registry.list_run_files(tenant, run.info.run_id, "model")

    @pytest.mark.parametrize(
        "source",
        [
            "file:///etc/passwd",
            "s3://other/x",
            f"{ARTIFACT_ROOT}/../x",
            "mlflow-artifacts:/../x",
            "mlflow-artifacts://elsewhere/x",
        ],
    )
    def test_opens_no_file_elsewhere(self, mlflow_backend: MlflowBackend, tenant: str, source: str) -> None:
        with refused(Reason.SOURCE_NOT_ALLOWED):
            read(mlflow_backend.registry, tenant, RunFile("x", 1, source))

    def test_opens_no_file_of_another_tenant(self, mlflow_backend: MlflowBackend, tenant: str) -> None:
        for key in ("workspaces/other/1/x", "other/uid/sha256-0/x", "1/x"):
            mlflow_backend.bundles.objects[key] = b"x"
            file = RunFile("x", 1, f"{ARTIFACT_ROOT}/{key}")
            if not mlflow_backend.has_workspaces:
                assert read(mlflow_backend.registry, tenant, file) == b"x"  # there is one tenant: all is its own
                continue
            with refused(Reason.SOURCE_NOT_ALLOWED):
                read(mlflow_backend.registry, tenant, file)
        key = f"{tenant}/uid/sha256-0/x"
        mlflow_backend.bundles.objects[key] = b"x"
        assert read(mlflow_backend.registry, tenant, RunFile("x", 1, f"{ARTIFACT_ROOT}/{key}")) == b"x"

    def test_reads_files_in_the_object_store(self, mlflow_backend: MlflowBackend) -> None:
        tenant, run = mlflow_backend.new_run(f"{ARTIFACT_ROOT}/workspaces/<tenant>")
        objects, registry = mlflow_backend.bundles.objects, mlflow_backend.registry
        prefix = f"{mlflow_backend.bundles.key_of(run.info.artifact_uri)}/model"
        objects.update(
            {f"{prefix}/a%20#?b": b"odd", f"{prefix}/folder/": b"", f"{prefix}/empty": b"", f"{prefix}2/x": b""}
        )
        files = {file.path: file for file in registry.list_run_files(tenant, run.info.run_id, "model")}
        assert list(files) == ["a%20#?b", "empty"]
        assert read(registry, tenant, files["a%20#?b"]) == b"odd"
        del objects[f"{prefix}/a%20#?b"]
        with refused(Reason.ARTIFACT_FILE_NOT_FOUND):
            read(registry, tenant, files["a%20#?b"])
        objects[f"{prefix}/../../x"] = b"x"
        with refused(Reason.SOURCE_NOT_ALLOWED):
            registry.list_run_files(tenant, run.info.run_id, "model")


class FalseProxy(BaseHTTPRequestHandler):
    """An artifact proxy that lies: the directory asked for says how."""

    def do_GET(self) -> None:
        path = parse_qs(urlsplit(self.path).query).get("path", [""])[0]
        if self.path.startswith("/api/2.0/mlflow-artifacts/artifacts/"):
            self._answer(b"four")
        elif not path:
            self._list({"path": path_listed, "is_dir": True} for path_listed in FALSE_NAMES)
        elif FALSE_NAMES.get(path):
            self._list([{"path": FALSE_NAMES[path], "file_size": "1"}])
        else:
            self._list([{"path": "deeper", "is_dir": True}])

    def _list(self, files: Iterable[dict[str, Any]]) -> None:
        self._answer(json.dumps({"files": list(files)}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (the name is the base class's)
        """Say nothing."""


FALSE_NAMES = {"up": "..", "above": "../x", "root": "/etc/passwd", "windows": "..\\x", "below": "a/b", "endless": ""}


class TestArtifactProxy:
    @pytest.fixture
    def proxy(self, mlflow_environment: None) -> Iterator[Any]:
        from registrar_server.adapters.mlflow.artifact_proxy import ArtifactProxy

        server = ThreadingHTTPServer(("127.0.0.1", 0), FalseProxy)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield ArtifactProxy(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
        server.server_close()

    @pytest.mark.parametrize("directory", FALSE_NAMES)
    def test_refuses_names_that_are_none_and_directories_without_end(self, proxy: Any, directory: str) -> None:
        with refused(Reason.SOURCE_NOT_ALLOWED):
            list(proxy.list_files(directory))

    @pytest.mark.parametrize("size_bytes", [0, 3, 5])
    def test_calls_a_file_of_another_size_corrupt(self, proxy: Any, size_bytes: int) -> None:
        with refused(Reason.ARTIFACT_CORRUPT), proxy.open_file("a", size_bytes) as reader:
            list(reader)
        with proxy.open_file("a", 4) as reader:
            assert list(reader) == [b"four"]


class TestServer:
    """What only a server can do, or fail to do."""

    def test_makes_one_version_when_the_reply_is_lost(self, mlflow_environment: None, mlflow_server_uri: str) -> None:
        name = unique("model-")
        with relay_to(mlflow_server_uri) as relay:
            registry = open_registry(relay.uri)
            registry.ensure_model("default", name)
            for attempt in range(1, 4):
                relay.cuts_replies = True
                with refused(Reason.MLFLOW_UNAVAILABLE):
                    registry.create_version("default", name, new_version("uid"))
                relay.cuts_replies = False
                assert registry.find_versions("default", name, "uid") == list(range(1, attempt + 1))

    def test_fails_soon_when_the_server_is_gone(self, mlflow_environment: None, mlflow_server_uri: str) -> None:
        with relay_to(mlflow_server_uri) as relay:
            registry = open_registry(relay.uri)
            registry.check()
            relay.stop()
            self.assert_unavailable(registry, within_seconds=2)
        self.assert_unavailable(open_registry(relay.uri), within_seconds=2)

    def test_fails_in_bounded_time_when_the_server_hangs(
        self, mlflow_environment: None, mlflow_server_uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with relay_to(mlflow_server_uri) as relay:
            registry = open_registry(relay.uri)
            registry.check()
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
            relay.swallows_replies = True
            self.assert_unavailable(registry, within_seconds=5)

    def test_reads_a_model_that_scikit_learn_logged(
        self, mlflow_environment: None, mlflow_server_uri: str, tmp_path: Path
    ) -> None:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
        registry, tenant = open_registry(mlflow_server_uri), unique("tenant-")
        registry.ensure_tenant(tenant)
        script = textwrap.dedent("""
            import mlflow, sklearn.linear_model
            mlflow.set_experiment("loans")  # a workspace has no experiment of its own
            with mlflow.start_run() as run:
                mlflow.sklearn.log_model(sklearn.linear_model.LinearRegression().fit([[0], [1]], [0, 1]), name="model")
            print("run", run.info.run_id)
        """)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
        environment = {**kept, "MLFLOW_TRACKING_URI": mlflow_server_uri, "MLFLOW_WORKSPACE": tenant}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        run_id = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("run "))
        files = {file.path: file for file in registry.list_run_files(tenant, run_id, "model")}
        assert {"MLmodel", "requirements.txt"} <= files.keys()
        assert run_id.encode() in read(registry, tenant, files["MLmodel"])

    @staticmethod
    def assert_unavailable(registry: Any, *, within_seconds: float) -> None:
        started = time.monotonic()
        with refused(Reason.MLFLOW_UNAVAILABLE):
            registry.check()
        assert time.monotonic() - started < within_seconds


def test_does_not_import_mlflow_before_it_is_used() -> None:
    script = "import sys, registrar_server.adapters.mlflow_store; sys.exit('mlflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


class TestDatabase:
    """What only a database in process can do, or fail to do."""

    @pytest.mark.postgresql
    def test_fails_soon_when_postgresql_is_gone(self, mlflow_environment: None, mlflow_postgres_uri: str) -> None:
        open_registry(mlflow_postgres_uri).check()
        with relay_to(mlflow_postgres_uri) as relay:
            registry = open_registry(relay.uri, timeout_seconds=5)
            registry.check()
            relay.stop()
            TestServer.assert_unavailable(registry, within_seconds=2)
        TestServer.assert_unavailable(open_registry(relay.uri), within_seconds=2)

    def test_fails_soon_when_the_file_can_not_be_made(self, mlflow_environment: None, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        TestServer.assert_unavailable(open_registry(f"sqlite:///{tmp_path}/file/mlflow.db"), within_seconds=2)

    def test_tries_anew_after_it_could_not_open(self, mlflow_environment: None, tmp_path: Path) -> None:
        (tmp_path / "later").write_text("not a directory")
        registry = open_registry(f"sqlite:///{tmp_path}/later/mlflow.db")
        TestServer.assert_unavailable(registry, within_seconds=2)
        (tmp_path / "later").unlink()
        registry.check()
        registry.close()
        registry.check()

    @pytest.mark.parametrize("scheme", ["postgresql", "http"])
    def test_says_no_credentials(self, mlflow_environment: None, scheme: str) -> None:
        registry = open_registry(f"{scheme}://someone:s3cr3t@127.0.0.1:1/x", timeout_seconds=2)
        with structlog.testing.capture_logs() as logged, pytest.raises(RegistrarError) as caught:
            registry.check()
        assert caught.value.reason is Reason.MLFLOW_UNAVAILABLE
        (event,) = [entry for entry in logged if entry["event"] == "mlflow.failed"]
        assert (event["operation"], event["tenant"]) == ("check", "default")
        assert "s3cr3t" not in str(logged) + caught.value.message

    @pytest.mark.parametrize("root", ["file:///x", "s3://b/workspaces", "s3://b/workspaces/x/"])
    def test_refuses_an_artifact_root_that_mlflow_could_not_use(self, root: str) -> None:
        from registrar_server.adapters.mlflow_store import MlflowStoreRegistry

        reader: Any = None
        with pytest.raises(ValueError, match="artifact root"):
            MlflowStoreRegistry("sqlite:///x", root, bundle_reader=reader)
