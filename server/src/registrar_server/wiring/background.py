"""What the background process is made of: the only one that loads MLflow."""

from __future__ import annotations

import fcntl
import secrets
import threading
from contextlib import ExitStack
from pathlib import Path

import structlog

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.local_signals import BackgroundSignals
from registrar_server.adapters.mlflow_store import MlflowStoreRegistry
from registrar_server.application.audit_export import AuditExporting, ExportSettings
from registrar_server.application.background import Background
from registrar_server.application.bundle_writer import BundleWriter
from registrar_server.application.cards.prefill import CardPrefill
from registrar_server.application.cards.storing import CardStoring
from registrar_server.application.clearing import Clearing
from registrar_server.application.mirroring import Mirroring
from registrar_server.application.ports.clock import Clock, SystemClock
from registrar_server.application.ports.mlflow_registry import MlflowRegistry
from registrar_server.application.provisioning import Provisioning
from registrar_server.application.registering import Registering
from registrar_server.application.run_import import RunImport
from registrar_server.application.upload_finishing import UploadFinishing
from registrar_server.config import Config
from registrar_server.domain.errors import RegistrarError
from registrar_server.mlflow_environment import write_mlflow_environment
from registrar_server.wiring.metrics import CountsFailures, open_metrics
from registrar_server.wiring.resources import open_audit_store, open_checkpoints, open_database, open_store

_log = structlog.get_logger()


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
    _await_predecessor(Path(config.data_dir), stack)
    _release_leases(database, node)
    threading.Thread(target=_open_mlflow, args=(mlflow, config), name="mlflow", daemon=True).start()
    holder = f"{node}:{secrets.token_hex(8)}"
    runs = RunImport(database, mlflow, BundleWriter(database, store, clock))
    cards = CardPrefill(database, store)
    registering = Registering(database, mlflow, runs, clock, signals, holder, cards)
    mirroring = Mirroring(database, mlflow, clock, holder)
    finishing = UploadFinishing(database, store, clock, signals, holder)
    clearing = Clearing(database, store, clock)
    provisioning = Provisioning(database, mlflow, clock)
    exporting = _open_exporting(config, database, clock, holder, stack)
    card_storing = CardStoring(database, store, clock)
    background = Background(
        database, clock, registering, mirroring, finishing, clearing, provisioning, exporting, card_storing
    )
    metrics = open_metrics(config, run_directory)
    if metrics is not None:
        workers: dict[str, CountsFailures] = {
            "registering": registering,
            "mirroring": mirroring,
            "finishing": finishing,
        }
        if exporting is not None:
            workers["exporting"] = exporting
        metrics.watch_background(background, workers, database)
        metrics.start(stack)
    return background, signals


def _open_exporting(
    config: Config, database: SqlDatabase, clock: Clock, holder: str, stack: ExitStack
) -> AuditExporting | None:
    """What exports the audit; None: it is not to be exported."""
    if not config.audit_export_seconds:
        return None
    settings = ExportSettings(config.audit_export_seconds, config.audit_retention_days)
    return AuditExporting(database, open_audit_store(config, stack), open_checkpoints(config), clock, holder, settings)


def node_id(data_directory: Path) -> str:
    """This data directory's identity, made at the first start: leases in its name are dead when it starts again."""
    file = data_directory / "node-id"
    if not file.exists():
        file.write_text(secrets.token_hex(8), encoding="ascii")
    return file.read_text(encoding="ascii").strip()


def _await_predecessor(data_directory: Path, stack: ExitStack) -> None:
    """Wait until the background process before this one has ended; the kernel frees its lock however it died.

    One whose parent was killed goes on for a while. Were its leases taken from it alive, both would have MLflow number
    the same version.
    """
    lock = stack.enter_context((data_directory / "background.lock").open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX)


def _open_mlflow(mlflow: MlflowRegistry, config: Config) -> None:
    """Make MLflow's database and workspaces before somebody else does; only then tell others how to reach it.

    A notebook that came first would make them with its own directory as the place of artifacts, from where no run can
    be taken in. Nothing waits for this, and whatever comes later tries anew.
    """
    if not config.mlflow_tracking_uri.startswith("http"):
        for tenant in config.tenants:
            try:
                mlflow.ensure_tenant(tenant)
            except RegistrarError as exc:
                _log.warning("mlflow.not_opened", tenant=tenant, reason=exc.reason.value)
    write_mlflow_environment(config)


def _release_leases(database: SqlDatabase, node: str) -> None:
    with database.writing() as transaction:
        transaction.registrations.release(node)
        transaction.mirror.release(node)
        transaction.uploads.release(node)
        transaction.audit_exports.release(node)
