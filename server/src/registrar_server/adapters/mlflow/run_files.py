"""Files of runs: found wherever MLflow put them, read only where the server is allowed to.

Allowed are the artifact root in the object store, there only what is the tenant's own, and MLflow's artifact proxy.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from registrar_server.adapters.mlflow.artifact_proxy import ArtifactProxy
from registrar_server.adapters.mlflow.errors import is_absent
from registrar_server.adapters.mlflow.paths import check_relative_path, source_not_allowed
from registrar_server.adapters.mlflow.runs import fetch_run
from registrar_server.adapters.mlflow.search import quoted
from registrar_server.adapters.mlflow.stores import DEFAULT_TENANT, Stores, TenantStores
from registrar_server.application.ports.bundle_store import BundleStore, ObjectReader
from registrar_server.application.ports.mlflow_registry import RunFile
from registrar_server.domain.errors import Reason, RegistrarError

MAX_FILES = 100_000
"""Files of one artifact: the list is held in memory."""

_PROXY_SCHEME = "mlflow-artifacts"


class RunFiles:
    """The files' part of `MlflowRegistry`; see there for what each method guarantees."""

    def __init__(self, stores: TenantStores, bundles: BundleStore, tracking_uri: str) -> None:
        self._stores = stores
        self._bundles = bundles
        is_server = urlsplit(tracking_uri).scheme in {"http", "https"}
        self._proxy = ArtifactProxy(tracking_uri) if is_server else None

    def list_files(self, tenant: str, run_id: str, artifact_path: str) -> list[RunFile]:
        if artifact_path:
            check_relative_path(artifact_path)
        with self._stores.call("list_run_files", tenant, absent=Reason.RUN_NOT_FOUND, run_id=run_id) as stores:
            run = fetch_run(stores, run_id)
            for source in _locations(stores, run, artifact_path):
                files = list(islice(self._list(tenant, source), MAX_FILES + 1))
                if len(files) > MAX_FILES:
                    raise source_not_allowed(f"the artifact has more than {MAX_FILES} files")
                if files:
                    return sorted(files, key=lambda file: file.path)
        message = "the run has no files there"
        raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, message, metadata={"run_id": run_id, "path": artifact_path})

    @contextmanager
    def open_file(self, tenant: str, file: RunFile) -> Iterator[ObjectReader]:
        with ExitStack() as stack:
            # The tenant's context is for the request; the stream may be read, and closed, in another thread.
            with self._stores.call("open_run_file", tenant, absent=Reason.ARTIFACT_FILE_NOT_FOUND):
                reader = stack.enter_context(self._open(tenant, file))
            yield reader

    def _open(self, tenant: str, file: RunFile) -> AbstractContextManager[ObjectReader]:
        if urlsplit(file.source).scheme == "s3":
            # A range of no bytes can't be asked for in HTTP.
            return self._bundles.open_reader(self._own_key(tenant, file.source), length=file.size_bytes or None)
        proxy, path = self._proxied(file.source)
        return proxy.open_file(path, file.size_bytes)

    def _list(self, tenant: str, source: str) -> Iterator[RunFile]:
        if urlsplit(source).scheme == "s3":
            yield from self._list_objects(self._own_key(tenant, source))
            return
        proxy, path = self._proxied(source)
        for below, size_bytes in proxy.list_files(path):
            address = f"{_PROXY_SCHEME}:/{posixpath.join(path, below) if below else path}"
            yield RunFile(below or posixpath.basename(path), size_bytes, address)

    def _list_objects(self, key: str) -> Iterator[RunFile]:
        alone = self._bundles.stat(key)
        if alone is not None:
            yield RunFile(posixpath.basename(key), alone.size_bytes, self._bundles.uri(key))
        for stored in self._bundles.list_objects(f"{key}/"):
            # Consoles leave empty objects that end in a slash, to show as folders.
            if not stored.key.endswith("/"):
                path = check_relative_path(stored.key.removeprefix(f"{key}/"))
                yield RunFile(path, stored.size_bytes, self._bundles.uri(stored.key))

    def _own_key(self, tenant: str, source: str) -> str:
        """The key of an address that this tenant may read; SOURCE_NOT_ALLOWED for any other.

        Whoever writes to MLflow chooses where a run's artifacts lie; below the artifact root lie all tenants' bundles.
        """
        key = check_relative_path(self._bundles.key_of(source).rstrip("/"))
        if self._stores.has_workspaces():
            first, _, below = key.partition("/")
            is_mlflows = first == "workspaces" and below.partition("/")[0] == tenant
            # What MLflow wrote before its workspaces were on lies below the number of the experiment.
            is_older = tenant == DEFAULT_TENANT and first.isascii() and first.isdecimal()
            if not (is_mlflows or is_older or first == tenant):
                raise source_not_allowed("the run's files lie outside the tenant's part of the artifact root")
        return key

    def _proxied(self, source: str) -> tuple[ArtifactProxy, str]:
        address = urlsplit(source)
        if self._proxy is None or address.scheme != _PROXY_SCHEME or not self._proxy.serves(address.netloc):
            raise source_not_allowed("the run's files lie neither below the artifact root nor in MLflow's proxy")
        # Not address.path: a name may hold `?` or `#`.
        path = source.partition(":")[2].removeprefix(f"//{address.netloc}" if address.netloc else "")
        return self._proxy, check_relative_path(path.strip("/"))


def _locations(stores: Stores, run: Any, artifact_path: str) -> Iterator[str]:
    """Where `runs:/<run id>/<path>` may lie: as a logged model (MLflow 3), or below the run's own prefix."""
    name, _, below = artifact_path.partition("/")
    for location in _logged_models(stores, run, name):
        yield posixpath.join(location.rstrip("/"), below) if below else location
    yield posixpath.join(run.info.artifact_uri.rstrip("/"), artifact_path).rstrip("/")


def _logged_models(stores: Stores, run: Any, name: str) -> list[str]:
    """Locations of the run's finished models of that name, the newest first."""
    if not name or ("'" in name and '"' in name):
        return []
    try:
        found = stores.tracking.search_logged_models(
            [run.info.experiment_id], f"name = {quoted(name)} AND source_run_id = '{run.info.run_id}'"
        )
        models = [model for model in found if model.source_run_id == run.info.run_id]
        models += _outputs(stores, run, name, {model.model_id for model in models})
    except MlflowException as error:
        # A server older than 3.0 has no logged models.
        if is_absent(error) or error.error_code == "ENDPOINT_NOT_FOUND":
            return []
        raise
    models.sort(key=lambda model: (model.creation_timestamp, model.model_id), reverse=True)
    return [str(model.artifact_location) for model in models if model.status == LoggedModelStatus.READY]


def _outputs(stores: Stores, run: Any, name: str, known: set[str]) -> list[Any]:
    """Models that another run made and this one gave out as its own."""
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    models = [stores.tracking.get_logged_model(given.model_id) for given in outputs if given.model_id not in known]
    return [model for model in models if model.name == name]
