"""MLflow as the use cases see it: it numbers versions, keeps runs, and mirrors what is decided here.

Only the background process has an implementation at hand: MLflow is slow to import and to collect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from registrar_server.application.ports.bundle_store import ObjectReader


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A data set that a run logged as its input. `context` is MLflow's (training, validation, …) or empty."""

    name: str
    digest: str
    source: str
    context: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run knows about itself. Parameters are text: MLflow keeps no types."""

    run_id: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    git_commit: str
    datasets: Sequence[DatasetInput]


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file below a run's artifact directory; `path` is relative to the artifact asked for."""

    path: str
    size_bytes: int
    source: str
    """Opaque to callers; given back to `open_run_file`."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What MLflow is told about a version: everything MLflow itself can show or search."""

    uid: str
    """Our own identity of the version; written as the tag `registrar.uid`, by which it is found again."""
    source: str
    """Address of the bundle, `s3://…`."""
    run_id: str
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)


class MlflowRegistry(Protocol):
    """The registry and the runs of one MLflow, per tenant (its workspaces; without them only `default`).

    Calls are made once: no hidden retries, because a repeated POST makes a second version. Every method
    raises `RegistrarError`: MLFLOW_UNAVAILABLE when MLflow or its database does not answer (the call may or
    may not have taken effect), and what is named beside it. Thread-safe.
    """

    def check(self) -> None:
        """Reach MLflow."""

    def ensure_tenant(self, tenant: str) -> None:
        """Make the tenant's workspace if it is absent. TENANT_NOT_FOUND where MLflow has no workspaces."""

    def ensure_model(self, tenant: str, name: str) -> None:
        """Make the registered model if it is absent. Idempotent, also under races."""

    def find_versions(self, tenant: str, name: str, uid: str) -> Sequence[int]:
        """Numbers of the living versions tagged with `uid`, ascending."""

    def create_version(self, tenant: str, name: str, version: NewVersion) -> int:
        """Create a version and return the number that MLflow gave it."""

    def delete_version(self, tenant: str, name: str, number: int) -> None:
        """Tombstone a version in MLflow (its number is never given again). Absent: no error."""

    def find_run(self, tenant: str, uid: str) -> str | None:
        """Id of the run that `create_run` made for this version uid, if there is one."""

    def create_run(
        self, tenant: str, model: str, uid: str, parameters: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        """A finished run, in an experiment of the registry's own, that carries these; tagged with `uid`."""

    def read_run(self, tenant: str, run_id: str) -> RunFacts:
        """What a run logged. RUN_NOT_FOUND when there is none."""

    def list_run_files(self, tenant: str, run_id: str, artifact_path: str) -> Sequence[RunFile]:
        """Files of a run's artifact, a logged model of that name included, in path order.

        RUN_NOT_FOUND; ARTIFACT_NOT_FOUND when it has no files; SOURCE_NOT_ALLOWED when the files lie where this
        server is not allowed to read (allowed: the artifact root, and MLflow's own artifact proxy).
        """

    def open_run_file(self, tenant: str, file: RunFile) -> AbstractContextManager[ObjectReader]:
        """Read one of those files as a stream."""

    def set_version_tags(
        self, tenant: str, name: str, number: int, tags: Mapping[str, str], deleted: Sequence[str] = ()
    ) -> None:
        """Set and delete tags of a version. Idempotent. Absent version: MLFLOW_DRIFT."""

    def set_version_description(self, tenant: str, name: str, number: int, description: str) -> None:
        """Set the description of a version. Idempotent. Absent version: MLFLOW_DRIFT."""

    def set_version_stage(self, tenant: str, name: str, number: int, stage: str) -> None:
        """Set the deprecated stage: `None`, `Staging`, `Production` or `Archived`. Idempotent; archives no other."""

    def set_alias(self, tenant: str, name: str, alias: str, number: int) -> None:
        """Point an alias at a version. Idempotent. Absent version: MLFLOW_DRIFT."""

    def delete_alias(self, tenant: str, name: str, alias: str) -> None:
        """Remove an alias. Idempotent."""

    def set_model_facts(
        self, tenant: str, name: str, description: str, tags: Mapping[str, str], deleted: Sequence[str] = ()
    ) -> None:
        """Set the description and tags of the registered model. Idempotent."""

    def close(self) -> None:
        """Release connections."""
