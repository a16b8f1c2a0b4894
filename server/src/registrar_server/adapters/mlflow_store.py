"""`MlflowRegistry` on MLflow's store interface: SQLite, PostgreSQL (both in process) or an MLflow server.

Importing this module does not import MLflow (1.4 to 3.6 seconds, 162 MB): making a `MlflowStoreRegistry` does,
after the settings that MLflow takes from the environment are in force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from registrar_server.adapters.mlflow.environment import prepare_environment
from registrar_server.application.ports.bundle_store import BundleStore, ObjectReader
from registrar_server.application.ports.mlflow_registry import NewVersion, RunFacts, RunFile


class MlflowStoreRegistry:
    """The registry and the runs behind one tracking URI: `sqlite:///…`, `postgresql://…` or `http(s)://…`.

    A tenant is an MLflow workspace of the same name. Databases always have workspaces; a server may have none, and
    then serves the tenant `default` only. Nothing is connected to before the first call, so the process can start
    while MLflow is down; a later call tries anew.

    What goes to MLflow is fitted to its limits, see `adapters/mlflow/limits.py`: long values are cut, refused keys
    are mapped. Metrics that are no finite numbers are left out of what is read.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_root: str,
        *,
        bundle_reader: BundleStore,
        request_timeout_seconds: float = 30.0,
    ) -> None:
        """`artifact_root` is `s3://bucket/prefix`; `bundle_reader` reads below it.

        `request_timeout_seconds` bounds connecting to and each wait for an MLflow server, and connecting to and
        each statement in PostgreSQL. SQLite waits 20 seconds for its lock (fixed in MLflow).
        """
        root = artifact_root.rstrip("/")
        _check_artifact_root(root)
        prepare_environment(request_timeout_seconds)
        from registrar_server.adapters.mlflow.run_files import RunFiles
        from registrar_server.adapters.mlflow.runs import Runs
        from registrar_server.adapters.mlflow.stores import TenantStores
        from registrar_server.adapters.mlflow.versions import Versions

        self._stores = TenantStores(tracking_uri, root, timeout_seconds=request_timeout_seconds)
        self._versions = Versions(self._stores)
        self._runs = Runs(self._stores, root)
        self._files = RunFiles(self._stores, bundle_reader, tracking_uri)

    def check(self) -> None:
        """Reach MLflow and its database."""
        self._runs.check()

    def ensure_tenant(self, tenant: str) -> None:
        """Make the tenant's workspace. TENANT_NOT_FOUND where there are none, or MLflow refuses the name."""
        self._stores.ensure_tenant(tenant)

    def ensure_model(self, tenant: str, name: str) -> None:
        """Make the registered model if it is absent."""
        self._versions.ensure_model(tenant, name)

    def find_versions(self, tenant: str, name: str, uid: str) -> Sequence[int]:
        """Numbers of the living versions tagged with `uid`, ascending."""
        return self._versions.find_versions(tenant, name, uid)

    def create_version(self, tenant: str, name: str, version: NewVersion) -> int:
        """Create a version. REGISTRATION_FAILED for a source over 500 characters, RUN_NOT_FOUND for an id over 32."""
        return self._versions.create_version(tenant, name, version)

    def delete_version(self, tenant: str, name: str, number: int) -> None:
        """Tombstone a version. Absent: no error."""
        self._versions.delete_version(tenant, name, number)

    def find_run(self, tenant: str, uid: str) -> str | None:
        """Id of the finished run of this version uid."""
        return self._runs.find(tenant, uid)

    def create_run(
        self, tenant: str, model: str, uid: str, parameters: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        """A finished run; a second call with the same uid returns it, or completes what a first one left open."""
        return self._runs.create(tenant, model, uid, parameters, metrics)

    def read_run(self, tenant: str, run_id: str) -> RunFacts:
        """What a run logged."""
        return self._runs.read(tenant, run_id)

    def list_run_files(self, tenant: str, run_id: str, artifact_path: str) -> Sequence[RunFile]:
        """Files of a run's artifact; the newest logged model of that name first, else the run's own directory."""
        return self._files.list_files(tenant, run_id, artifact_path)

    def open_run_file(self, tenant: str, file: RunFile) -> AbstractContextManager[ObjectReader]:
        """Stream one of those files; where it lies is checked anew."""
        return self._files.open_file(tenant, file)

    def set_version_tags(
        self, tenant: str, name: str, number: int, tags: Mapping[str, str], deleted: Sequence[str] = ()
    ) -> None:
        """Delete, then set tags, one statement each: a failure leaves some done, and the call can be repeated."""
        self._versions.set_tags(tenant, name, number, tags, deleted)

    def set_version_description(self, tenant: str, name: str, number: int, description: str) -> None:
        """Set the description."""
        self._versions.set_description(tenant, name, number, description)

    def set_version_stage(self, tenant: str, name: str, number: int, stage: str) -> None:
        """Set the deprecated stage of this version only."""
        self._versions.set_stage(tenant, name, number, stage)

    def set_alias(self, tenant: str, name: str, alias: str, number: int) -> None:
        """Point an alias at a version; `latest` and `v<digits>`, which MLflow keeps for itself, are left out."""
        self._versions.set_alias(tenant, name, alias, number)

    def delete_alias(self, tenant: str, name: str, alias: str) -> None:
        """Remove an alias. Absent: no error."""
        self._versions.delete_alias(tenant, name, alias)

    def set_model_facts(
        self, tenant: str, name: str, description: str, tags: Mapping[str, str], deleted: Sequence[str] = ()
    ) -> None:
        """Set description and tags of the registered model. Absent model: MLFLOW_DRIFT."""
        self._versions.set_model_facts(tenant, name, description, tags, deleted)

    def close(self) -> None:
        """Release connections."""
        self._stores.close()


def _check_artifact_root(root: str) -> None:
    """MLflow puts `workspaces/<tenant>` below the root and refuses one that already ends so."""
    if not root.startswith("s3://"):
        raise ValueError("the artifact root must be s3://bucket or s3://bucket/prefix")
    if "workspaces" in root.split("/")[-2:]:
        raise ValueError("the artifact root must not end in workspaces or workspaces/<name>: MLflow reserves that")
