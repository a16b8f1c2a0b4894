"""What the background process is made of: the only one that loads MLflow."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.local_signals import BackgroundSignals
from registrar_server.adapters.mlflow_store import MlflowStoreRegistry
from registrar_server.application.background import Background
from registrar_server.application.bundle_writer import BundleWriter
from registrar_server.application.clearing import Clearing
from registrar_server.application.mirroring import Mirroring
from registrar_server.application.ports.clock import SystemClock
from registrar_server.application.registering import Registering
from registrar_server.application.run_import import RunImport
from registrar_server.config import Config
from registrar_server.wiring.resources import open_database, open_store


def build_background(config: Config, run_directory: Path, stack: ExitStack) -> tuple[Background, BackgroundSignals]:
    """The loops, not yet running, and what wakes them."""
    clock = SystemClock()
    signals = BackgroundSignals(run_directory)
    stack.callback(signals.close)
    database = open_database(config, stack)
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


def node_id(data_directory: Path) -> str:
    """This data directory's identity, made at the first start: leases in its name are dead when it starts again."""
    file = data_directory / "node-id"
    if not file.exists():
        file.write_text(secrets.token_hex(8), encoding="ascii")
    return file.read_text(encoding="ascii").strip()


def _release_leases(database: SqlDatabase, node: str) -> None:
    with database.writing() as transaction:
        transaction.registrations.release(node)
        transaction.mirror.release(node)
