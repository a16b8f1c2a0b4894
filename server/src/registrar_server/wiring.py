"""Put the application together: one plain function for each kind of process, every resource in one ExitStack."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from importlib.metadata import version as distribution_version
from pathlib import Path

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.local_signals import BackgroundSignals, WorkerSignals
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.application.aliases import Aliases
from registrar_server.application.artifacts import Artifacts
from registrar_server.application.background import Background
from registrar_server.application.bundle_writer import BundleWriter
from registrar_server.application.clearing import Clearing
from registrar_server.application.lifecycle import Lifecycle
from registrar_server.application.mirroring import Mirroring
from registrar_server.application.models import Models
from registrar_server.application.mutations import Mutations
from registrar_server.application.ports.clock import SystemClock
from registrar_server.application.registering import Registering
from registrar_server.application.registration import Registration
from registrar_server.application.run_import import RunImport
from registrar_server.application.server_status import ServerFacts, ServerStatus
from registrar_server.application.verification import Verification
from registrar_server.application.versions import Versions
from registrar_server.config import Config
from registrar_server.transport.server import RegistrarServer, ServerSettings, UseCases


def build_worker(config: Config, run_directory: Path, stack: ExitStack) -> RegistrarServer:
    """A worker's server, not yet listening."""
    clock = SystemClock()
    database = _open_database(config, stack)
    store = open_store(config, stack)
    signals = WorkerSignals(run_directory)
    stack.callback(signals.close)
    mutations = Mutations(database, clock, signals)
    writer = BundleWriter(database, store, clock)
    use_cases = UseCases(
        models=Models(database, mutations),
        versions=Versions(database, mutations),
        registration=Registration(database, store, clock, signals),
        aliases=Aliases(database, mutations),
        lifecycle=Lifecycle(database, mutations, Verification(database, store, clock)),
        artifacts=Artifacts(database, store, writer),
        status=ServerStatus(database),
    )
    facts = ServerFacts(
        version=distribution_version("registrar-server"),
        artifact_root=config.artifact_root,
        transfer_slots=config.transfer_slots,
        bulk_endpoint=config.bulk_endpoint,
    )
    settings = ServerSettings(
        threads=config.threads,
        transfer_slots=config.transfer_slots,
        registration_waits=config.transfer_slots,
        stall_seconds=config.stall_seconds,
    )
    return RegistrarServer(use_cases, facts, settings)


def build_background(config: Config, run_directory: Path, stack: ExitStack) -> tuple[Background, BackgroundSignals]:
    """The background process: the only one that loads MLflow."""
    from registrar_server.adapters.mlflow_store import MlflowStoreRegistry

    clock = SystemClock()
    signals = BackgroundSignals(run_directory)
    stack.callback(signals.close)
    database = _open_database(config, stack)
    store = open_store(config, stack)
    mlflow = MlflowStoreRegistry(config.mlflow_tracking_uri, config.artifact_root, bundle_reader=store)
    stack.callback(mlflow.close)
    node = node_id(Path(config.data_dir))
    _release_leases(database, node)
    holder = f"{node}:{secrets.token_hex(8)}"
    runs = RunImport(database, mlflow, BundleWriter(database, store, clock))
    background = Background(
        database,
        clock,
        Registering(database, mlflow, runs, clock, signals, holder),
        Mirroring(database, mlflow, clock, holder),
        Clearing(database, store, clock),
    )
    return background, signals


def open_store(config: Config, stack: ExitStack) -> MinioBundleStore:
    """The object store; nothing is sent to it yet."""
    store = MinioBundleStore(
        config.s3_endpoint_url or None,
        config.bucket,
        config.prefix,
        config.s3_access_key or None,
        config.s3_secret_key or None,
        config.s3_region or None,
    )
    stack.callback(store.close)
    return store


def node_id(data_directory: Path) -> str:
    """This data directory's identity, made at the first start: leases in its name are dead when it starts again."""
    file = data_directory / "node-id"
    if not file.exists():
        file.write_text(secrets.token_hex(8), encoding="ascii")
    return file.read_text(encoding="ascii").strip()


def _open_database(config: Config, stack: ExitStack) -> SqlDatabase:
    database = SqlDatabase(config.database_url)
    stack.callback(database.close)
    return database


def _release_leases(database: SqlDatabase, node: str) -> None:
    with database.writing() as transaction:
        transaction.registrations.release(node)
        transaction.mirror.release(node)
