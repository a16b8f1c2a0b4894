"""What must be there before a process answers: the schema, and a store that answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import structlog

from registrar_server.adapters.embedded_s3 import EmbeddedS3, EmbeddedS3Address
from registrar_server.adapters.private_file import write_private
from registrar_server.config import Config, ConfigError
from registrar_server.signing_keys import SigningKeyError, new_signing_key, read_signing_key
from registrar_server.wiring.resources import embedded_directory, open_store

_SIGNING_KEY_FILE = "audit-signing-key.pem"

_log = structlog.get_logger()


def prepare(config: Config, stack: ExitStack) -> Config:
    """Schema and store, side by side; the configuration with the embedded store's address, if that is the store."""
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(_start_embedded, config) if config.is_s3_embedded else None
        # Imported while the store starts: this and SQLAlchemy are half of what a start takes.
        from registrar_server.adapters.database.migrate import migrate
        from registrar_server.wiring.access import apply_declaration, read_declaration

        declaration = read_declaration(config)
        before, after = migrate(config.database_url, tenant_names=config.tenants)
        apply_declaration(config, declaration)
    if before != after:
        _log.info("database.migrated", before=before, after=after)
    if starting is not None:
        store, address = starting.result()
        stack.callback(store.stop)
        config = replace(
            config,
            s3_endpoint_url=address.endpoint_url,
            s3_access_key=address.access_key,
            s3_secret_key=address.secret_key,
        )
    open_store(config, stack).check()
    return _with_signing_key(config)


def _with_signing_key(config: Config) -> Config:
    """The configuration with a key that signs heads, which is made at the first start where the server may do so."""
    if config.is_signing_key_made:
        path = Path(config.data_dir) / _SIGNING_KEY_FILE
        if not path.exists():
            write_private(path, new_signing_key())
            _log.info("audit.signing_key_made", path=str(path))
        config = replace(config, audit_signing_key_file=str(path))
    if not config.audit_signing_key_file:
        _log.warning("audit.heads_unsigned", problem="REGISTRAR_AUDIT_SIGNING_KEY_FILE is not set")
        return config
    try:
        read_signing_key(config.audit_signing_key_file)
    except SigningKeyError as exc:
        raise ConfigError([f"REGISTRAR_AUDIT_SIGNING_KEY_FILE: {exc}"]) from exc
    return config


def _start_embedded(config: Config) -> tuple[EmbeddedS3, EmbeddedS3Address]:
    store = EmbeddedS3(embedded_directory(config))
    return store, store.start()
