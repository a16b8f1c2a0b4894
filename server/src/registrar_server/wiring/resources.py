"""What every kind of process opens: the database, the object store."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.adapters.embedded_s3 import is_disk_full
from registrar_server.adapters.minio_bundles import MinioBundleStore
from registrar_server.adapters.minio_bundles.http import Around
from registrar_server.application.checkpoints import Checkpoints
from registrar_server.config import Config
from registrar_server.signing_keys import read_signing_key

_AUDIT_PREFIX = "_audit"


def open_database(config: Config, stack: ExitStack) -> SqlDatabase:
    """The database; nothing is sent to it yet."""
    database = SqlDatabase(config.database_url)
    stack.callback(database.close)
    return database


def open_store(config: Config, stack: ExitStack, *, around: Around | None = None) -> MinioBundleStore:
    """The object store; nothing is sent to it yet. `around` goes around each request."""
    store = MinioBundleStore(
        config.s3_endpoint_url or None,
        config.bucket,
        config.prefix,
        config.s3_access_key or None,
        config.s3_secret_key or None,
        config.s3_region or None,
        public_endpoint_url=config.s3_public_endpoint or None,
        around=around,
        is_full=(lambda: is_disk_full(embedded_directory(config))) if config.is_s3_embedded else None,
    )
    stack.callback(store.close)
    return store


def open_audit_store(config: Config, stack: ExitStack) -> MinioBundleStore:
    """Where the audit is exported to; nothing is sent to it yet. No tenant's name begins as its prefix in the bucket does."""
    is_own = bool(config.audit_bucket)
    store = MinioBundleStore(
        config.s3_endpoint_url or None,
        config.audit_bucket or config.bucket,
        _AUDIT_PREFIX if is_own else f"{config.prefix}/{_AUDIT_PREFIX}",
        config.s3_access_key or None,
        config.s3_secret_key or None,
        config.s3_region or None,
        is_full=(lambda: is_disk_full(embedded_directory(config))) if config.is_s3_embedded else None,
    )
    stack.callback(store.close)
    return store


def open_checkpoints(config: Config) -> Checkpoints:
    """What signs heads of audits: with the key of its file, or not at all. `SigningKeyError`."""
    signer = read_signing_key(config.audit_signing_key_file) if config.audit_signing_key_file else None
    return Checkpoints(config.audit_origin, signer)


def embedded_directory(config: Config) -> Path:
    """Where the embedded store keeps its data."""
    return Path(config.data_dir) / "s3"
