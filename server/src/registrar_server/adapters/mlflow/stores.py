"""MLflow's stores, opened once, entered per tenant.

The stores are used and not `MlflowClient`: its writes first load the model with all its versions.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
from mlflow.entities import Workspace
from mlflow.exceptions import MlflowException
from mlflow.tracking._model_registry.utils import _get_store as open_registry_store
from mlflow.tracking._tracking_service.utils import _get_store as open_tracking_store
from mlflow.tracking._workspace.registry import get_workspace_store
from mlflow.utils.workspace_context import ServerWorkspaceContext
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from registrar_server.adapters.mlflow.errors import is_absent, translated
from registrar_server.domain.errors import Reason, RegistrarError

# MLflow has no types here.
_open_registry_store: Any = open_registry_store
_open_tracking_store: Any = open_tracking_store

DEFAULT_TENANT = "default"

# Any number that no one else uses for a lock in MLflow's database ("registrar" in base 36, cut to 63 bits).
_SCHEMA_LOCK = 0x5265_6769_7374_7261


@dataclass(frozen=True, slots=True)
class Stores:
    """MLflow's three interfaces. Untyped in MLflow, hence `Any`, which must not leave this package."""

    registry: Any
    tracking: Any
    workspaces: Any | None
    """None when the server behind `http://` has none."""
    is_server: bool


class TenantStores:
    """Opens the stores of one tracking URI at the first call, and gives them out per tenant. Thread-safe."""

    def __init__(self, tracking_uri: str, artifact_root: str, *, timeout_seconds: float) -> None:
        self._uri = tracking_uri
        self._artifact_root = artifact_root
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._opened: Stores | None = None
        self._known_tenants = {DEFAULT_TENANT}

    @contextmanager
    def call(
        self, operation: str, tenant: str, *, absent: Reason = Reason.MLFLOW_DRIFT, **facts: str
    ) -> Iterator[Stores]:
        """The stores, seeing this tenant only; errors inside are translated.

        TENANT_NOT_FOUND for a tenant without a workspace: the SQL stores would write rows for any name.
        """
        with translated(operation, absent=absent, tenant=tenant, **facts):
            stores = self._open()
            self._require(stores, tenant)
            with ServerWorkspaceContext(tenant if stores.workspaces is not None else None):
                yield stores

    def ensure_tenant(self, tenant: str) -> None:
        """Make the tenant's workspace; TENANT_NOT_FOUND where there are none, or MLflow refuses the name."""
        try:
            with self.call("ensure_tenant", tenant):
                return
        except RegistrarError as error:
            if error.reason is not Reason.TENANT_NOT_FOUND or self._opened is None or self._opened.workspaces is None:
                raise
        with translated("ensure_tenant", tenant=tenant):
            try:
                # A server has an artifact root of its own.
                root = None if self._opened.is_server else self._artifact_root
                self._opened.workspaces.create_workspace(_workspace(tenant, root))
            except MlflowException as error:
                if error.error_code == "INVALID_PARAMETER_VALUE":
                    raise _tenant_not_found(tenant) from error
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        self._known_tenants.add(tenant)

    def has_workspaces(self) -> bool:
        """Whether tenants other than `default` can exist."""
        with translated("open"):
            return self._open().workspaces is not None

    def close(self) -> None:
        """Give the database connections back. MLflow keeps its engines for ever; they connect anew when used."""
        with self._lock:
            stores, self._opened = self._opened, None
        for store in () if stores is None else (stores.registry, stores.tracking, stores.workspaces):
            engine = getattr(store, "engine", None) or getattr(store, "_engine", None)
            if engine is not None:
                engine.dispose()

    def _open(self) -> Stores:
        with self._lock:
            if self._opened is None:
                self._opened = _open_stores(self._uri, self._artifact_root, self._timeout_seconds)
            return self._opened

    def _require(self, stores: Stores, tenant: str) -> None:
        if tenant in self._known_tenants:
            return
        if stores.workspaces is None:
            raise _tenant_not_found(tenant)
        try:
            stores.workspaces.get_workspace(tenant)
        except MlflowException as error:
            if is_absent(error) or error.error_code == "INVALID_PARAMETER_VALUE":
                raise _tenant_not_found(tenant) from error
            raise
        self._known_tenants.add(tenant)


def _workspace(tenant: str, artifact_root: str | None) -> Workspace:
    """With the root in it, whoever opens the database finds where files go.

    A notebook's own default is the directory `mlruns` beside it, from which no server could take a model in.
    """
    return Workspace(name=tenant, default_artifact_root=artifact_root and f"{artifact_root}/workspaces/{tenant}")


def _tenant_not_found(tenant: str) -> RegistrarError:
    message = "MLflow has no workspace of this tenant"
    return RegistrarError(Reason.TENANT_NOT_FOUND, message, metadata={"tenant": tenant})


def _open_stores(uri: str, artifact_root: str, timeout_seconds: float) -> Stores:
    if urlsplit(uri).scheme in {"http", "https"}:
        tracking = _open_tracking_store(uri, artifact_root)
        registry = _open_registry_store(uri, uri)
        workspaces = get_workspace_store(uri) if _server_has_workspaces(tracking) else None
        return Stores(registry, tracking, workspaces, is_server=True)
    bounded = _with_connect_timeout(uri, timeout_seconds)
    with _schema_lock(bounded, timeout_seconds) as is_new:
        # The tracking store first: only opening it checks the schema's revision.
        tracking = _open_tracking_store(bounded, artifact_root)
        registry = _open_registry_store(bounded, bounded)
        workspaces = get_workspace_store(bounded)
        if is_new:
            workspaces.update_workspace(_workspace(DEFAULT_TENANT, artifact_root))
    for store in (tracking, registry):
        _bound_statements(store.engine, timeout_seconds)
    return Stores(registry, tracking, workspaces, is_server=False)


def _server_has_workspaces(tracking: Any) -> bool:
    try:
        return bool(tracking.supports_workspaces)
    except MlflowException as error:
        # A server older than 3.10 knows neither of the addresses that would tell.
        if error.error_code == "INVALID_PARAMETER_VALUE":
            return False
        raise


def _with_connect_timeout(uri: str, timeout_seconds: float) -> str:
    """Bound how long connecting, and writing to a host that vanished, may take (libpq's own parameters)."""
    url = make_url(uri)
    if url.get_backend_name() != "postgresql":
        return uri
    bounds = {
        "connect_timeout": str(max(2, round(timeout_seconds))),
        "tcp_user_timeout": str(max(2_000, round(timeout_seconds * 1_000))),
    }
    return url.update_query_dict({**bounds, **url.query}).render_as_string(hide_password=False)


@contextmanager
def _schema_lock(uri: str, timeout_seconds: float) -> Iterator[bool]:
    """Reach the database once before MLflow does, and let one process at a time make its tables.

    MLflow tries ten times to reach a database that is down, which takes 102 seconds; and of processes that open an
    empty one at the same time, all but one fail in its migrations. Gives whether the database is a new one.
    """
    url = make_url(uri)
    is_sqlite_file = url.get_backend_name() == "sqlite" and bool(url.database)
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with ExitStack() as stack:
        if is_sqlite_file:
            _lock_file(stack, Path(str(url.database)))
        with engine.connect() as connection:
            if url.get_backend_name() == "postgresql":
                connection.execute(sqlalchemy.text(f"SET lock_timeout = {round(timeout_seconds * 1_000)}"))
                connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": _SCHEMA_LOCK})
            if is_sqlite_file:
                # Kept by the file: readers (a notebook) and the writer no longer wait for each other.
                connection.execute(sqlalchemy.text("PRAGMA journal_mode = WAL"))
            # The lock is the session's and stays; an open transaction would hinder the migrations.
            is_new = not sqlalchemy.inspect(connection).has_table("experiments")
            connection.commit()
            yield is_new


def _lock_file(stack: ExitStack, database: Path) -> None:
    """A lock beside the database: one in it would shut out its migrations. The kernel frees it with the process."""
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context(database.with_name(f"{database.name}.lock").open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX)


def _bound_statements(engine: Any, timeout_seconds: float) -> None:
    """Let PostgreSQL end statements that run, or wait for a lock, too long. Not while migrations run."""
    if engine.dialect.name != "postgresql":
        return
    milliseconds = max(1_000, round(timeout_seconds * 1_000))

    def set_timeout(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {milliseconds}")
        connection.commit()

    sqlalchemy.event.listen(engine, "connect", set_timeout)
    engine.dispose()
